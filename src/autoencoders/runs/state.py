"""run.json: whether a run is finished, and which versions trained it."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

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
    what_to_do = f"remove it, then python train.py resume={folder} goes on"
    return read_json(folder / RUN, what_to_do).get("finished") is True


def mark(folder: Path, *, finished: bool) -> None:
    """Say in run.json whether the run in `folder` is finished."""
    content = {"finished": finished, "versions": versions()}
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
