"""What the README and docs/ say to type works as it is typed."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

README = ROOT / "README.md"
PAGES = [README, ROOT / "outputs/README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPT = r"(train|evaluate|compare)\.py"
# A line that holds a file's name alone, then what the file holds, or what changes in it.
FILE = re.compile(
    r"^`([\w/.]+)`\n\n(```(?:python|yaml)\n.*?^```$|(?:```diff\n.*?^```\n\n?)+)", re.M | re.S
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FOLDER = re.compile(r"outputs/\w+/\w+/[\d_-]+")


def text(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    return [block for kind, block in BLOCK.findall(text(page)) if kind == language]


def commands():
    """(script, arguments) of every command in a block of code or in a sentence."""
    for page in PAGES:
        lines = [
            line
            for block in blocks(page, "bash")
            for line in block.replace("\\\n", " ").splitlines()
        ]
        lines += re.findall(r"`(python [^`]+)`", BLOCK.sub("", text(page)).replace("\n", " "))
        for line in lines:
            if found := re.search(rf"\b{SCRIPT}(?= |$)", line):
                # What stands in for a folder, such as <folder>, is not a name that Hydra reads.
                arguments = re.sub(r"<[^>]+>|\.\.\.", "x", line[found.end() :])
                yield found[1], *shlex.split(arguments, comments=True)


def edit(root: Path, file: str, diff: str):
    """Change a file as a diff without line numbers says."""
    lines = [(line[:1], line[1:]) for line in diff.splitlines(keepends=True)]
    before = "".join(line or "\n" for sign, line in lines if sign != "+")
    after = "".join(line or "\n" for sign, line in lines if sign != "-")
    content = (root / file).read_text(encoding="utf-8")
    assert content.count(before) == 1, f"{file} has not once:\n{before}"
    (root / file).write_text(content.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with all that README and docs/ add to it."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("train.py", "evaluate.py", "compare.py"):
        shutil.copy(ROOT / name, root)
    for page in PAGES:
        for file, contents in FILE.findall(text(page)):
            for language, content in BLOCK.findall(contents):
                if language == "diff":
                    edit(root, file, content)
                else:
                    assert not (root / file).exists(), f"{page}: {file} is there already"
                    (root / file).write_text(content, encoding="utf-8")
    return root


def added(root: Path, group: str) -> list[str]:
    there = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    return sorted({path.stem for path in (root / "conf" / group).glob("*.yaml")} - there)


def composed(root: Path, script: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        return compose(script, list(overrides), return_hydra_config=True)


@pytest.mark.slow
def test_every_command_composes(extended):
    parser = OverridesParser.create()
    jobs = set()
    for script, *arguments in commands():
        given = parser.parse_overrides([a for a in arguments if not a.startswith("-")])
        # Of a multirun, as many jobs as show each value once.
        values = [
            [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [o.input_line]
            for o in given
        ]
        for i in range(max(map(len, values), default=1)):
            jobs.add((script, *(those[min(i, len(those) - 1)] for those in values)))
    assert len(jobs) > 30
    for script, *overrides in jobs:
        composed(extended, script, *overrides)


def test_every_key_is_in_the_config(extended):
    """Keys that a sentence names, such as `model.beta=` or `evaluation.split=val`."""
    groups = {path.name for path in (extended / "conf").iterdir() if path.is_dir()}
    models = [path.stem for path in (extended / "conf/model").glob("*.yaml")]
    networks = [path.stem for path in (extended / "conf/network").glob("*.yaml")]
    datasets = [path.stem for path in (extended / "conf/dataset").glob("*.yaml")]
    searches = ["grid", "search_wae"]  # with Hydra's sweeper, and with the one of searches
    configs = [
        *(composed(extended, "train", f"model={model}") for model in models),
        *(composed(extended, "train", f"network={network}") for network in networks),
        *(composed(extended, "train", f"dataset={dataset}") for dataset in datasets),
        *(composed(extended, "train", f"sweep={sweep}") for sweep in searches),
        composed(extended, "train", "trainer=debug_profile"),
        composed(extended, "train", "hydra/launcher=joblib"),
        composed(extended, "evaluate"),
        composed(extended, "compare"),
        composed(extended, "export"),
        composed(extended, "encode"),
    ]
    seen = 0
    for page in PAGES:
        for span in re.findall(r"`([^`\n]+)`", BLOCK.sub("", text(page))):
            for key in re.findall(r"(?:^|\s)([a-z][\w.]*)=", span):
                seen += 1
                known = key in groups or any(has(config, key) for config in configs)
                assert known, f"{page}: {key} in `{span}`"
            no_file = r"(?!json|yaml|safetensors)"
            if re.fullmatch(rf"({'|'.join(groups)}|evaluation)\.{no_file}[\w.]+", span):
                assert any(has(config, span) for config in configs), f"{page}: `{span}`"
    assert seen > 30


def has(config, key):
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return OmegaConf.is_dict(node) and name in [*node]  # also a key without a default


def test_the_groups_are_confs():
    row = re.compile(r"^\| `(\w+)=` \| ([^|]+) \|", re.M)
    rows = [pair for pair in row.findall(text(README)) if "` " in pair[1]]
    found = [pair for pair in rows if (ROOT / "conf" / pair[0]).is_dir()]
    for group, choices in found:
        there = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", choices)) == there
    every = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
    assert {group for group, _ in found} == every


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = BLOCK.sub("", text(page))
    links = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\((docs/\w+\.md)\)", text(README)))
    assert linked == {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")}


def test_the_readme_is_short():
    assert len(text(README).splitlines()) <= 230


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project


# Runs a command in this process, then each piece of Python that reads a run back.
DRIVER = """
import runpy, sys
blocks = sys.stdin.read().split(chr(0))
runpy.run_path("train.py", run_name="__main__")
for block in blocks:
    exec(compile(block, "<docs>", "exec"), {})
"""


@pytest.mark.slow
def test_what_the_docs_add_runs(extended):
    groups = ("dataset", "model", "network", "sampler")
    datasets, models, networks, samplers = (added(extended, group) for group in groups)
    assert all(
        (datasets, models, networks, samplers)
    )  # in one multirun: processes take long to start
    short = [
        *("-m", f"dataset={','.join(datasets)}", f"model={','.join(models)}"),
        *(f"network={','.join(networks)}", "model.cost=mse", "model.latent_dim=3"),
        *("trainer.max_epochs=1", "+trainer.limit_train_batches=3", "trainer.precision=32-true"),
        *("evaluation.images=40", "hydra.sweep.dir=sweep"),
        f"sampler=[prior,mixture,{','.join(samplers)}]",
    ]
    jobs = list(itertools.product(datasets, models, networks))
    keys = ("dataset", "model", "network")
    values = (datasets, models, networks)
    names = [
        ",".join(f"{key}={v}" for key, v, of in zip(keys, job, values, strict=True) if len(of) > 1)
        for job in jobs
    ]
    run = next(f"sweep/{i}_{names[i]}" for i, job in enumerate(jobs) if "patches" in job)
    examples = [
        FOLDER.sub(run, block)
        for page in PAGES
        for block in blocks(page, "python")
        if "load_run(" in block or "autoencoders.testing" in block
    ]
    assert examples
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *short],
        cwd=extended,
        env={**os.environ, "PYTHONPATH": str(extended / "src")},
        input="\0".join(examples),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for i, (dataset, _, _) in enumerate(jobs):
        folder = extended / f"sweep/{i}_{names[i]}"
        metrics = yaml.safe_load((folder / "metrics.json").read_text())
        assert {"test/penalty", "floor/variance_ratio", "kde/variance_ratio"} <= metrics.keys()
        assert (folder / "samplers/kde.safetensors").exists()
        assert (folder / "figures/traversal.png").exists() == (dataset == "patches")


def test_every_piece_of_python_compiles():
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, str(page), "exec")


@pytest.mark.slow
def test_the_first_command_trains_the_default(train_py, tmp_path):
    (line,) = [line for line in text(README).splitlines() if line.endswith("&& python train.py")]
    assert line.startswith("python3 -m venv .venv")
    done = train_py("trainer.max_epochs=2")  # as written, except for its length
    assert done.returncode == 0, done.stderr
    assert "test/mse" in done.stdout or "MSE" in done.stdout
    assert len(list((tmp_path / "outputs/digits/wae").glob("*/figures/samples.png"))) == 1
