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


def run_script() -> None:
    """Run the script that the command is called after: train.py for `autoencoders-train`."""
    name = Path(sys.argv[0]).stem.removeprefix("autoencoders-")
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
