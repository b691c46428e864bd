"""What the README says to type works as it is typed."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, SHORT, compose_train

README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)[2:]
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python train.py") and "model=rae" not in line  # that one has its own test
]


def test_the_first_command_trains_the_default(train_py, tmp_path):
    (line,) = [line for line in README.splitlines() if line.endswith("&& python train.py")]
    assert line.startswith("python3 -m venv .venv")
    done = train_py()
    assert done.returncode == 0, done.stderr
    assert "test/mse" in done.stdout
    assert len(list((tmp_path / "outputs/digits/wae").glob("*/figures/samples.png"))) == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_composes(arguments):
    # Hydra's own are checked where they are used, in test_sweeps.py.
    others = ("-", "resume=", "ckpt_path=", "sweep=", "hydra")
    overrides = [a for a in arguments if not a.startswith(others)]
    choices = [
        [f"{key}={value}" for value in values.split(",")]
        for key, _, values in (override.partition("=") for override in overrides)
    ]
    for job in itertools.product(*choices):
        compose_train(*job)


def code_after(title, language):
    """The README's code block under a line that holds `title` alone."""
    return re.search(rf"^`{re.escape(title)}`\n\n```{language}\n(.*?)```", README, re.S | re.M)[1]


def test_the_model_that_the_readme_adds(tmp_path):
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "train.py", tmp_path)
    for file, language in (
        ("src/autoencoders/models/rae.py", "python"),
        ("conf/model/rae.yaml", "yaml"),
    ):
        (tmp_path / file).write_text(code_after(file, language))
    done = subprocess.run(
        [sys.executable, "train.py", "model=rae", *SHORT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "test/penalty" in done.stdout


def test_the_layout_is_the_trees():
    block = README.partition("## Layout\n\n```\n")[2].partition("```")[0]
    drawn = set(re.findall(r"^  (\w+\.py) ", block, re.M))
    there = {file.name for file in (ROOT / "src/autoencoders").glob("*.py")} - {"__init__.py"}
    assert drawn == there
    for line in block.splitlines():
        if line and not line.startswith(" "):
            assert (ROOT / line.split()[0]).exists()


def test_the_group_table_is_confs():
    for group, choices in re.findall(r"^\| `(\w+)=` \| ([^|]+) \|", README, re.M):
        if (ROOT / "conf" / group).is_dir() and len(re.findall(r"`", choices)) > 2:
            there = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
            assert set(re.findall(r"`(\w+)`", choices)) == there
