"""The console commands `autoencoders-train`, `-evaluate` and `-compare`: train.py, evaluate.py and
compare.py, wherever this package is installed. What they write goes below the current folder.
"""

import runpy
from pathlib import Path

IN_WHEEL = Path(__file__).parent / "scripts"
# The three scripts and conf/ beside them: in the repository where it is installed with -e.
FOLDER = IN_WHEEL if IN_WHEEL.is_dir() else Path(__file__).parents[2]


def train() -> None:
    runpy.run_path(str(FOLDER / "train.py"), run_name="__main__")


def evaluate() -> None:
    runpy.run_path(str(FOLDER / "evaluate.py"), run_name="__main__")


def compare() -> None:
    runpy.run_path(str(FOLDER / "compare.py"), run_name="__main__")
