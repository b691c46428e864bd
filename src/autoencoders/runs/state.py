"""What run.json says: whether a run is finished, and which versions and which commit trained it."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoencoders.commands import FOLDER
from autoencoders.files import RUN, read_state, write_whole

PACKAGES = ("autoencoders", "torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn")


def begin(folder: Path) -> None:
    """Say in run.json that the run in `folder` trains, or trains on, and with what."""
    _write(folder, {"finished": False, "versions": versions(), **checkout()})


def mark(folder: Path, *, finished: bool) -> None:
    """Say in run.json whether the run in `folder` is finished."""
    known = read_state(folder) if (folder / RUN).is_file() else {}
    _write(folder, {**known, "finished": finished})


def _write(folder: Path, content: dict[str, Any]) -> None:
    write_whole(folder / RUN, json.dumps(content, indent=2) + "\n")


def versions() -> dict[str, str]:
    """The versions of this package and of those that its numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def checkout() -> dict[str, Any]:
    """In a git checkout its commit, and whether all files were as they are there and none was new;
    empty elsewhere."""
    commit = _git("rev-parse", "HEAD") if (FOLDER / ".git").exists() else None
    return {"commit": commit, "clean": _git("status", "--porcelain") == ""} if commit else {}


def _git(*arguments: str) -> str | None:
    """What git prints about this checkout; None if it does not answer."""
    command = ["git", "-C", str(FOLDER), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
