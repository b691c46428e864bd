"""The console commands, as another project has them that installs this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SHORT
from test_outside import MODULE, YAML

from autoencoders.commands import FOLDER
from autoencoders.runs.state import mark


def test_the_scripts_are_found_in_the_repository():
    assert ROOT == FOLDER
    scripts = ("train", "evaluate", "compare", "export", "encode")
    assert all((FOLDER / f"{name}.py").exists() for name in scripts)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_commands_of_a_wheel(tmp_path):
    """Installed without this repository, from an empty folder; outputs go there."""
    pytest.importorskip("hatchling")
    pip = (sys.executable, "-m", "pip", "-q")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    site, folder = tmp_path / "site", tmp_path / "elsewhere"
    run(*pip, "install", "--no-deps", "--target", site, wheel)
    folder.mkdir()
    options = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(site)}}

    def command(name, *arguments):
        return run(sys.executable, site / "bin" / f"autoencoders-{name}", *arguments, **options)

    where = "import autoencoders; print(autoencoders.__file__)"
    assert Path(run(sys.executable, "-c", where, **options).strip()).is_relative_to(site)
    evaluated = ("evaluate=true", "evaluation.images=40")
    command("train", "-m", *SHORT, *evaluated, "model=ae,vae", "hydra.sweep.dir=sweep")
    assert {path.name for path in folder.iterdir()} == {"sweep"}
    job = "sweep/0_model=ae"
    assert "FD-CNN" in command("evaluate", f"run={job}", "evaluation.images=40")
    assert "index.html" in command("compare", "multirun=sweep", "points=20")
    assert (folder / "outputs/comparisons/digits").is_dir()
    # What is printed to go on with is typed as this was.
    mark(folder / job, finished=False)
    assert "Test of sweep/0_model=ae" in command("train", f"resume={job}")
    # A class of one's own beside the command, and messages that ask for no checkout.
    (folder / "own_lab.py").write_text(MODULE)
    (folder / "conf/model").mkdir(parents=True)
    (folder / "conf/model/sparse.yaml").write_text(YAML)
    own = ("--config-dir=conf", "model=sparse", "network=mlp", "hydra.run.dir=own")
    assert "AUTOENCODERS_TRUST=own_lab" in command("train", *own, *SHORT)
    hint = "from autoencoders.errors import how_to_install; print(how_to_install('flow'))"
    printed = run(sys.executable, "-c", hint, **options)
    assert printed.strip() == "pip install 'autoencoders[flow]'"
