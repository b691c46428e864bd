"""The matrix that every reader gives, and how the contents of a file become one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.errors import InputError

BLOCK = 1000  # rows that are held in full at once
LISTED = 12  # names at most in a message
CLASSES = ("y", "label", "labels", "target", "targets", "class")  # what people call their classes


@dataclass(frozen=True)
class ReadOptions:
    """How a file is to be read. None leaves it to what the file shows.

    separator: between a text file's cells: a character, `tab` or `spaces`.
    decimal: a text file's decimal mark, `.` or `,`.
    encoding: a text file's, by one of Python's names.
    header: whether a text file's first line names the columns.
    skip_lines: a text file's lines in front of the header.
    row_names: the column that names the rows, as they are in the file.
    transpose: the file has a feature in each row and an example in each column.
    annotations: columns that are no features but a split, a group or covariates, and the key that
        names each in a message. They come in `frame`, those of text files as text.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    skip_lines: int = 0
    row_names: str | None = None
    transpose: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Matrix:
    """A matrix of N rows, the examples, by D columns, the features.

    values: (N, D), an array in memory, memory-mapped or in the open file, dense or sparse, whose
        slices of rows are NumPy arrays or SciPy matrices.
    rows: a name for each row: the file's, else its number.
    columns: the same of the columns; no two are equal.
    labels: a class for each row, empty where the file names none; None if none were asked for.
    named: whether the file names its rows. Names that only count them, as pandas writes them, are
        positions too.
    frame: N rows of what is in the file beside the features: annotations, columns of text.
    text_columns: those of `frame` that hold text where features were expected.
    faults: columns that hold what is no feature in a cell, and where.
    splits: train, val or test for each row, where the names of arrays say it.
    remarks: what the user has to know about how the file was read.
    """

    values: Any
    rows: Sequence[str]
    columns: Sequence[str]
    labels: Sequence[str] | None = None
    named: bool = False
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    text_columns: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    splits: Sequence[str] | None = None
    remarks: Sequence[str] = ()

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """The rows in blocks, as float64, each dense or sparse as the matrix is."""
        for start in range(0, len(self.rows), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self.values[rows].astype(np.float64)


@dataclass(frozen=True)
class Contents:
    """What is in a file, with rows and columns as the file has them.

    values: (rows, columns), see `Matrix`.
    rows, columns: their names, None if the file has none.
    frame: further columns, a row for each of the file's.
    columns_frame: the same of the columns: a row for each.
    table: whether features and annotations are columns of one table.
    splits: see `Matrix`.
    """

    values: Any
    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    frame: pd.DataFrame | None = None
    columns_frame: pd.DataFrame | None = None
    table: bool = False
    text_columns: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    splits: Sequence[str] | None = None
    remarks: Sequence[str] = ()


def named(known: Any, name: str, key: str, path: Path, allowed: Sequence[str] | None = None) -> Any:
    """What has that name.

    Raises:
        InputError: nothing has.
    """
    if name not in known:
        choices = listed(known if allowed is None else allowed) or "none"
        raise InputError(f"{key}={name}: not in {path}; allowed: {choices}")
    return known[name]


def listed(names: Iterable[Any]) -> str:
    names = list(map(str, names))
    more = f", ... ({len(names):,} in all)" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def damaged(path: Path, error: Exception | str, what: str | None = None) -> InputError:
    """The line for a file that is not what its name says."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"dataset.path={path}: cannot be read as {what or path.suffix}: {reason}")


def unique(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of which no two are equal, and a remark if some were: a, a become a, a.1."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if not repeated:
        return list(names), []
    taken, seen = set(names), Counter[str]()
    result = []
    for name in names:
        other = name
        while seen[name] and other in taken:
            other = f"{name}.{seen[name]}"
            seen[name] += other in taken
        seen[name] += 1
        taken.add(other)
        result.append(other)
    first = repeated[0]
    remark = f"column names that occur again get a number, as {first} and {first}.1"
    return result, [f"{remark} ({listed(repeated)})"]


def as_text(column: pd.Series) -> list[str]:
    """A column's cells as text, empty where they are missing, and whole numbers without `.0`."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return [
        "" if missing else str(cell) for cell, missing in zip(column, column.isna(), strict=True)
    ]


def counts_up(names: Sequence[str]) -> bool:
    """Whether names are 0, 1, 2, ... or 1, 2, 3, ..."""
    first = {"0": 0, "1": 1}.get(names[0]) if len(names) else None
    return first is not None and all(
        name == str(number) for number, name in enumerate(names, first)
    )
