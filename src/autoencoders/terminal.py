"""What is printed: paths and values as they are, and the stages of some work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from autoencoders.files import FIGURES, METRICS, shown


@contextmanager
def stages(work: str, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """What shows each stage of some work as it begins: on a terminal in one line, which goes when
    all is done, else a plain line each, unless it is to be quiet."""
    screen = console()
    if screen.is_terminal:
        with screen.status(work) as status:
            yield lambda stage: status.update(f"{work}: {stage}")
    elif quiet:
        yield lambda stage: None
    else:
        yield lambda stage: print(f"{work}: {stage}", flush=True)


def console() -> Console:
    """For paths and values, which are printed as they are: no markup, emoji or highlights."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def print_files(folder: Path, verbose: bool) -> None:
    """Where everything is that a run or a comparison has left: each figure, or their folder."""
    folder = shown(folder)
    figures = sorted([*folder.glob(f"{FIGURES}/*.png"), *folder.glob("*.png")])
    files = [
        *([("figure", file) for file in figures] if verbose else [("figures", folder / FIGURES)]),
        ("metrics", folder / METRICS),
        ("table", folder / "comparison.md"),
        ("page", folder / "index.html"),
        ("folder", folder),
    ]
    for kind, file in files:
        if file.exists():
            console().print(f"{kind:<9}{file}")
