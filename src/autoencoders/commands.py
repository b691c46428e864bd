"""The scripts as console commands, `autoencoders-train` and so on, wherever this package is
installed. What they write goes below the current folder.
"""

import os
import runpy
import sys
from pathlib import Path

IN_WHEEL = Path(__file__).parent / "scripts"
# The scripts and conf/ beside them: in the repository where it is installed with -e.
FOLDER = IN_WHEEL if IN_WHEEL.is_dir() else Path(__file__).parents[2]


def use_own_modules() -> None:
    """Let a config name classes of modules in the current folder, as `python -m` would: after all
    that is installed, so that no file there takes another's place."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)


def train() -> None:
    runpy.run_path(str(FOLDER / "train.py"), run_name="__main__")


def evaluate() -> None:
    runpy.run_path(str(FOLDER / "evaluate.py"), run_name="__main__")


def compare() -> None:
    runpy.run_path(str(FOLDER / "compare.py"), run_name="__main__")


def export() -> None:
    runpy.run_path(str(FOLDER / "export.py"), run_name="__main__")


def encode() -> None:
    runpy.run_path(str(FOLDER / "encode.py"), run_name="__main__")
