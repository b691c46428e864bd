"""run.json: whether a run is finished, and which versions trained it."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoencoders.commands import FOLDER
from autoencoders.files import METRICS, RUN, write_whole
from autoencoders.runs.trust import read_json

PACKAGES = ("autoencoders", "torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn")


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` has been trained, tested and, if its config says so, evaluated.

    Raises:
        InputError: its run.json is damaged.
    """
    if not (folder / RUN).is_file():
        return (folder / METRICS).is_file()  # a run from before there was a run.json
    return _read(folder).get("finished") is True


def begin(folder: Path) -> None:
    """Say in run.json that the run in `folder` trains, or trains on, and with which versions."""
    _write(folder, {"finished": False, "versions": versions()})


def mark(folder: Path, *, finished: bool) -> None:
    """Say in run.json whether the run in `folder` is finished."""
    known = _read(folder) if (folder / RUN).is_file() else {}
    _write(folder, {**known, "finished": finished})


def _read(folder: Path) -> dict[str, Any]:
    return read_json(folder / RUN, f"remove it, then python train.py resume={folder} goes on")


def _write(folder: Path, content: dict[str, Any]) -> None:
    write_whole(folder / RUN, json.dumps(content, indent=2) + "\n")


def versions() -> dict[str, str]:
    """The versions of this package and of those that its numbers depend on; in a git checkout also
    its commit, with `+changes` if files differ from it."""
    known = {name: version(name) for name in PACKAGES}
    commit = _git("rev-parse", "HEAD") if (FOLDER / ".git").exists() else ""
    if commit:
        changes = _git("status", "--porcelain", "--untracked-files=no")
        known["commit"] = commit + ("+changes" if changes else "")
    return known


def _git(*arguments: str) -> str:
    """What git prints about this checkout; empty if there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(FOLDER), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
