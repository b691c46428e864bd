"""What `--help` shows: a script's groups with their choices, and its keys with the comments that
stand behind them in conf/.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

COLUMN = 33  # that a comment stands behind

HEADER = re.compile(r"^# @package (\S+)", re.MULTILINE)
KEY = re.compile(r"(?P<indent> *)(?P<key>\w+):(?: .*?)?(?: # (?P<comment>.*))?")
PARENT = re.compile(r"^  - (?!_self_)(\w+)(?:@\w+)?(?: #.*)?$", re.MULTILINE)
GROUP = re.compile(r"  - (?:optional )?(?P<key>\w+): .*? # (?P<comment>.*)")


def explain_keys() -> None:
    """Let a config's `hydra.help.template` ask for `${explain:groups}`, `${explain:keys}` and
    `${explain:own}`, the keys that its file has itself."""
    OmegaConf.register_new_resolver("explain", _explain, replace=True)


def _explain(what: str, *, _root_: DictConfig) -> str:
    hydra, own = _root_.hydra, f"{_root_.hydra.job.config_name}.yaml"
    sources = [Path(s.path) for s in hydra.runtime.config_sources if s.schema == "file"]
    folders = [folder for folder in sources if folder.is_dir()]
    known: dict[str, str] = {}
    choices = OmegaConf.to_container(hydra.runtime.choices)
    for file in _files(folders, [own, *_chosen(choices, folders)]):
        known = comments(*file) | known
    if what == "groups":
        text = "\n".join(_groups(folders, known))
    else:
        keys = [str(key) for key in _root_ if key != "hydra"]
        if what == "own":
            keys = [key for key in keys if key in _yaml_keys(folders[0] / own)]
        text = "\n".join(annotated(OmegaConf.to_yaml(OmegaConf.masked_copy(_root_, keys)), known))
    return text.replace("$", "$$")  # Hydra fills in what follows one


def _chosen(choices: Any, folders: list[Path]) -> Iterator[str]:
    """The files that the choices of groups come from; all of a group that several were chosen of,
    such as samplers, which Hydra does not name."""
    for group, choice in choices.items():
        yield f"{group.partition('@')[0]}/{choice}.yaml"
    for folder in folders:
        for file in sorted(folder.glob("*/*.yaml")):
            if file.parent.name not in choices:
                yield str(file.relative_to(folder))


def _files(folders: list[Path], names: list[str]) -> Iterator[tuple[Path, Path]]:
    """Of each file and of those that it takes its defaults from, the path and the folder that it is
    found in."""
    for name in names:
        for folder in folders:
            if (folder / name).is_file():
                yield folder / name, folder
                parents = PARENT.findall((folder / name).read_text(encoding="utf-8"))
                parent = Path(name).parent
                yield from _files(folders, [str(parent / f"{p}.yaml") for p in parents])


def _yaml_keys(file: Path) -> set[str]:
    return {key for key, _ in _keys(file.read_text(encoding="utf-8"))}


def _groups(folders: list[Path], known: dict[str, str]) -> Iterator[str]:
    """A line for the choices of each group that the script's defaults say something about, and one
    that says it."""
    for key, comment in known.items():
        if group := re.fullmatch(r"defaults\.(\w+)", key):
            files = {file.stem for folder in folders for file in (folder / group[1]).glob("*.yaml")}
            yield f"{group[1]}: {', '.join(sorted(files))}"
            yield f"    {comment}"


def comments(file: Path, folder: Path) -> dict[str, str]:
    """By dotted key, what stands behind it in a config's file; `defaults.<group>` for a group."""
    text = file.read_text(encoding="utf-8")
    header = HEADER.search(text)
    package = header[1] if header else ".".join(file.relative_to(folder).parent.parts)
    prefix = "" if package == "_global_" else package
    known = {}
    for line, (key, comment) in zip(text.splitlines(), _keys(text), strict=True):
        if group := GROUP.fullmatch(line):
            known[f"defaults.{group['key']}"] = group["comment"]
        elif comment:
            known[f"{prefix}.{key}".removeprefix(".")] = comment
    return known


def annotated(text: str, known: dict[str, str]) -> Iterator[str]:
    """The lines of a config as YAML, with a comment behind each key that one is known of."""
    for line, (key, _) in zip(text.splitlines(), _keys(text), strict=True):
        yield f"{line:<{COLUMN}} # {known[key]}" if key in known else line


def _keys(text: str) -> Iterator[tuple[str, str]]:
    """Of each line of YAML the dotted key and the comment; empty where it has none."""
    above: dict[int, str] = {}  # keys by their indentation
    for line in text.splitlines():
        match = KEY.fullmatch(line)
        if match is None:
            yield "", ""
            continue
        indent = len(match["indent"])
        above = {depth: key for depth, key in above.items() if depth < indent}
        above[indent] = match["key"]
        yield ".".join(above.values()), match["comment"] or ""
