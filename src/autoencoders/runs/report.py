"""What a run, a comparison and a multirun print at their end."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from autoencoders.comparison.page import overview
from autoencoders.comparison.table import FLOOR, Cell, Comparison, Row
from autoencoders.evaluation import catalogue
from autoencoders.evaluation.advice import far_from_prior
from autoencoders.evaluation.catalogue import Column
from autoencoders.evaluation.settings import RECONSTRUCTION
from autoencoders.files import FIGURES, METRICS, shown
from autoencoders.models import AutoEncoder

HEADLINED = 10  # models at most whose headlines are printed


def print_model(model: nn.Module) -> None:
    """A line for each of the model's networks, with its parameters: shared ones count once, and
    those that no network owns come last."""
    counted: set[int] = set()
    for name, network in (*model.named_children(), ("others", model)):
        new = [p for p in network.parameters() if id(p) not in counted]
        counted |= {id(parameter) for parameter in new}
        if count := sum(parameter.numel() for parameter in new):
            _console().print(f"{name:<15}{count:>12,} parameters")


@contextmanager
def stages(work: str, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """What shows each stage of some work as it begins: on a terminal in one line, which goes when
    all is done, else a plain line each, unless it is to be quiet."""
    console = _console()
    if console.is_terminal:
        with console.status(work) as status:
            yield lambda stage: status.update(f"{work}: {stage}")
    elif quiet:
        yield lambda stage: None
    else:
        yield lambda stage: print(f"{work}: {stage}", flush=True)


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that metrics.json can hold; a line names those that are NaN or infinite."""
    kept = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if len(kept) < len(metrics):
        names = ", ".join(name for name in metrics if name not in kept)
        _console().print(f"not in metrics.json, since NaN or infinite: {names}")
    return kept


def print_run(
    metrics: dict[str, float],
    samplers: Sequence[str],
    folder: Path,
    split: Literal["test", "val"] = "test",
    verbose: bool = False,
) -> None:
    """The run's numbers by section, and where everything lies.

    Args:
        samplers: the names of those that it was evaluated with.
        split: what it was measured on.
        verbose: all numbers and figures, in place of those that matter most.
    """
    console = _console()
    if verbose:
        columns = catalogue.columns(samplers, metrics, split)
    else:
        columns = catalogue.headlines(samplers, split)
    title = {"test": "Test", "val": "Validation"}[split]
    table = Table(title=f"{title} of {shown(folder)}", title_justify="left")
    for heading in ("", "", "value", FLOOR):
        table.add_column(heading, justify="right" if heading else "left")
    section = ""
    for column in columns:
        if column.key not in metrics:
            continue
        new = column.section != section
        if new:
            table.add_section()
            section = column.section
        floor = metrics.get(column.floor or "")
        table.add_row(
            Text(section if new else "", "bold"),
            column.name,
            _number(metrics[column.key]),
            "" if floor is None else _number(floor),
        )
    console.print(table)
    _print_files(console, folder, verbose)


def print_advice(model: AutoEncoder, metrics: dict[str, float]) -> None:
    """What the numbers suggest to change, if they suggest anything."""
    if line := far_from_prior(model, metrics):
        _console().print(line)


def print_comparison(comparison: Comparison, folder: Path, verbose: bool = False) -> None:
    """The comparison's table and where everything is.

    Args:
        verbose: all numbers of all models, and all figures, in place of the headlines, those that
            the page begins with, of the best models.
    """
    console = _console()
    rows = comparison.rows if verbose else comparison.best(HEADLINED)
    if verbose:
        tables = [(f"{name}: {comparison.label}", cs) for name, cs in comparison.sections()]
    else:
        tables = [(f"Comparison on {comparison.label}", overview(comparison))]
    for title, columns in tables:
        for part in _parts(rows, columns, comparison, console.width):
            console.print(_by_metric(title, columns, part))
    if len(rows) < len(comparison.rows):
        best = f"the best {len(rows)} of {len(comparison.rows)} by {comparison.objective.key}"
        console.print(f"{best}; verbose=true prints all")
    if differences := comparison.differences():
        console.print(differences)
    _print_files(console, folder, verbose)


def _parts(
    rows: list[Row], columns: list[Column], comparison: Comparison, width: int
) -> Iterator[dict[str, list[Text]]]:
    """Models beside each other, as many as a terminal is wide for, after what real examples reach:
    by label their numbers, metric by metric."""
    examples = int(comparison.conditions["images"])
    floor = _numbers(comparison.floor, columns, examples)
    room = width - max(len(_name(column)) for column in columns) - 5
    part, used = {FLOOR: floor}, _width(FLOOR, floor)
    for row in rows:
        numbers = _numbers(row.cells, columns, examples)
        if len(part) > 1 and used + _width(row.label, numbers) > room:
            yield part
            part, used = {FLOOR: floor}, _width(FLOOR, floor)
        part[row.label] = numbers
        used += _width(row.label, numbers)
    yield part


def _width(label: str, numbers: list[Text]) -> int:
    return max(len(label), *map(len, numbers)) + 3


def _by_metric(title: str, columns: list[Column], numbers: Mapping[str, list[Text]]) -> Table:
    """A row for each metric: a terminal is too narrow for one for each model."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for label in numbers:
        table.add_column(Text(label), style="dim" if label == FLOOR else "")
    for i, column in enumerate(columns):
        table.add_row(_name(column), *(those[i] for those in numbers.values()))
    return table


def _name(column: Column) -> str:
    """A metric's name, with what it is of where several have it."""
    of = column.key.partition("/")[0]
    several = column.section.startswith("Samples") or of == RECONSTRUCTION
    return f"{of}: {column.name}" if several else column.name


def _numbers(cells: Mapping[str, Cell], columns: list[Column], examples: int) -> list[Text]:
    """A model's values, their points below each other, those in bold that no other's is better
    than."""
    known = [cells.get(column.key) for column in columns]
    texts = ["" if c is None else warranted(c.mean, c.std, examples) for c in known]
    wholes = [re.split(r"[. ]", text)[0] for text in texts]
    most = max(map(len, wholes), default=0)
    styles = ["bold green" if cell and cell.best else "" for cell in known]
    return [
        Text(" " * (most - len(whole)) + text, style)
        for whole, text, style in zip(wholes, texts, styles, strict=True)
    ]


def warranted(mean: float, std: float | None, examples: int) -> str:
    """A number with the digits that its sample warrants.

    The spread between seeds is known to one digit, or two if the first is a 1, and so is the mean's
    last place. Of one run, n examples tell a mean to about one part in the square root of n: three
    digits of 10,000 examples, two of 100.
    """
    if std:
        places = -math.floor(math.log10(std))
        places += f"{std:e}"[0] == "1"
        return f"{mean:,.{max(places, 0)}f} ± {std:,.{max(places, 0)}f}"
    if mean == int(mean):  # such as a count
        return f"{mean:,.0f}"
    digits = 1 + math.ceil(math.log10(max(examples, 10)) / 2)
    places = digits - 1 - math.floor(math.log10(abs(mean)))
    return f"{mean:,.{min(max(places, 0), 9)}f}"


def _console() -> Console:
    """For paths and values, which are printed as they are: no markup, emoji or highlights."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _print_files(console: Console, folder: Path, verbose: bool) -> None:
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
            console.print(f"{kind:<9}{file}")
