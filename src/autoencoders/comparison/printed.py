"""A comparison on a terminal: a table that it is wide enough for, and where everything is."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from autoencoders.comparison.page import overview
from autoencoders.comparison.table import Cell, Comparison, Row
from autoencoders.evaluation.catalogue import FLOOR, Column
from autoencoders.evaluation.settings import RECONSTRUCTION
from autoencoders.terminal import console, print_files

HEADLINED = 10  # models at most whose headlines are printed


def print_comparison(comparison: Comparison, folder: Path, verbose: bool = False) -> None:
    """The comparison's table and where everything is.

    Args:
        verbose: all numbers of all models, and all figures, in place of the headlines, those that
            the page begins with, of the best models.
    """
    screen = console()
    rows = comparison.rows if verbose else comparison.best(HEADLINED)
    if verbose:
        tables = [(f"{name}: {comparison.label}", cs) for name, cs in comparison.sections()]
    else:
        tables = [(f"Comparison on {comparison.label}", overview(comparison))]
    for title, columns in tables:
        for part in _parts(rows, columns, comparison, screen.width):
            screen.print(_by_metric(title, columns, part))
    if len(rows) < len(comparison.rows):
        best = f"the best {len(rows)} of {len(comparison.rows)} by {comparison.objective.key}"
        screen.print(f"{best}; verbose=true prints all")
    if differences := comparison.differences():
        screen.print(differences)
    print_files(folder, verbose)


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
