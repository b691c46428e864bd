"""Paths on the command line, as Hydra reads them."""

import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from autoencoders.runs.paths import PATHS


def quote_paths(arguments: list[str]) -> None:
    """Have Hydra read paths as the shell passes them: unquoted, `=`, `,` and brackets mean
    something to it, 2024 is a number, and letters such as `ö` are none.

    What is there is taken for a path, and so is each part between commas of a multirun; anything
    else is Hydra's to read, if it can.
    """
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    for i, argument in enumerate(arguments):
        key, _, value = argument.partition("=")
        if key.lstrip("+") not in PATHS or not value:
            continue
        if path := _there(value):
            arguments[i] = path_override(key, path)
        elif multirun and (paths := _several(value)):
            arguments[i] = f"{key}={','.join(map(_quoted, paths))}"
        elif not _is_readable(argument):
            arguments[i] = path_override(key, Path(value))


def path_override(key: str, path: Path) -> str:
    """Hydra's override that sets `key` to this path, whatever characters it has."""
    plain = re.fullmatch(r"[\w./:-]+", str(path), re.ASCII)  # of other letters it reads none
    parse = OverridesParser.create().parse_override
    if plain and isinstance(parse(f"{key}={path}").value(), str):
        return f"{key}={path}"
    return f"{key}={_quoted(path)}"


def _there(text: str) -> Path | None:
    """The file or folder of that path, from the home folder for `~/`; None if there is none."""
    path = Path(text)
    if not path.exists() and text.startswith("~/"):
        path = path.expanduser()
    return path if text and path.exists() else None


def _several(text: str) -> list[Path]:
    """What is there of the paths between commas, which may have commas themselves; none unless all
    are there."""
    paths, started = [], ""
    for part in text.split(","):
        started = f"{started},{part}" if started else part
        if path := _there(started):
            paths.append(path)
            started = ""
    return [] if started else paths


def _quoted(path: Path) -> str:
    # Inside quotes a backslash counts as one only before a quote; `${` would be an interpolation.
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + m[2].replace('"', '\\"'), str(path))
    return f'"{escaped}"'.replace("${", r"\${")


def _is_readable(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
