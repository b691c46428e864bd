"""The contents of a file as a matrix, and which of its columns cannot be features."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.data.readers.matrix import (
    CLASSES,
    Contents,
    Matrix,
    ReadOptions,
    as_text,
    counts_up,
    listed,
    named,
    unique,
)
from autoencoders.errors import InputError


def arrange(contents: Contents, path: Path, labels: str | None, options: ReadOptions) -> Matrix:
    """The contents of a file as a matrix, with a name for each row and column.

    Raises:
        InputError: no rows, no columns, no numbers, or a column that was asked for is not there.
    """
    if options.row_names is not None:
        contents = _name_rows(contents, path, options.row_names)
    if options.transpose:
        contents = _transposed(contents, path)
    _check(contents, path)
    rows = contents.rows if contents.rows is not None else _numbers(contents.values.shape[0])
    columns, renamed = unique(contents.columns or _numbers(contents.values.shape[1]))
    frame = pd.DataFrame(index=range(len(rows))) if contents.frame is None else contents.frame
    frame = frame.reset_index(drop=True)
    allowed = [*frame.columns, *(columns if contents.table else ())]
    wanted = {**({} if labels is None else {labels: "dataset.labels"}), **options.annotations}
    for name, key in wanted.items():
        named(frame, name, key, path, allowed)
    hints = [] if labels else _label_hints(allowed)
    hints += _counting_hints(contents.values, columns) if contents.table else []
    return Matrix(
        contents.values,
        rows,
        columns,
        None if labels is None else _classes(frame[labels]),
        contents.rows is not None and not counts_up(rows),
        frame,
        [name for name in contents.text_columns if name not in wanted],
        contents.faults,
        contents.splits,
        [*contents.remarks, *renamed, *_shared(rows), *hints],
    )


def refuse_text(matrix: Matrix, path: Path, spared: Collection[str] = ()) -> None:
    """Refuse columns that cannot be features.

    Args:
        spared: columns that are left out, or taken for something else.

    Raises:
        InputError: columns hold text, or numbers and something else in a cell.
    """
    text = [name for name in matrix.text_columns if name not in spared]
    if text:
        described = listed([f"{name} ({_examples(matrix.frame[name])})" for name in text])
        what = "a column holds" if len(text) == 1 else f"{len(text)} columns hold"
        raise InputError(
            f"dataset.path={path}: {what} no numbers: {described}; {_drop(text)} leaves out"
            f" what is no feature, dataset.labels={text[0]} takes a column for the classes,"
            f" dataset.one_hot={text[0]} makes a feature of each of its values"
        )
    for name, fault in matrix.faults.items():
        if name not in spared:
            raise InputError(
                f"dataset.path={path}: {fault}; mend it, or {_drop([name])} leaves the column out"
            )


def _classes(column: pd.Series) -> list[str]:
    """Classes as text: numbers such as 2.0000e+00 as 2, but 02 as it is."""
    cells = as_text(column)
    numbers = pd.to_numeric(column, errors="coerce")
    written_as_floats = any("." in cell or "e" in cell for cell in cells)
    if written_as_floats and not (numbers.isna() & column.notna()).any():
        return as_text(numbers.astype(float))
    return cells


def _name_rows(contents: Contents, path: Path, name: str) -> Contents:
    frame = pd.DataFrame() if contents.frame is None else contents.frame
    allowed = [*frame.columns, *((contents.columns or ()) if contents.table else ())]
    rows = as_text(named(frame, name, "dataset.row_names", path, allowed))
    text = [column for column in contents.text_columns if column != name]
    return replace(contents, rows=rows, frame=frame.drop(columns=name), text_columns=text)


def _transposed(contents: Contents, path: Path) -> Contents:
    """Rows and columns exchanged. What a table has beside its numbers then belongs to features."""
    for fault in contents.faults.values():
        raise InputError(f"dataset.path={path}: {fault}; mend it")
    values = contents.values
    values = values.to_memory() if hasattr(values, "to_memory") else values
    values = values.T.tocsr() if hasattr(values, "tocsr") else np.asanyarray(values).T
    left_out = (
        [f"left out, as it describes features: {listed(contents.text_columns)}"]
        if contents.text_columns
        else []
    )
    return Contents(
        values,
        contents.columns,
        contents.rows,
        contents.columns_frame,
        contents.frame,
        remarks=[*contents.remarks, *left_out],
    )


def _check(contents: Contents, path: Path) -> None:
    rows, columns = contents.values.shape
    if not rows or not columns:
        text = f" (text: {listed(contents.text_columns)})" if contents.text_columns else ""
        what = f"columns of numbers{text}" if rows else "rows"
        raise InputError(f"dataset.path={path}: holds no {what}; allowed: at least one")
    if contents.values.dtype.kind not in "buif":
        raise InputError(
            f"dataset.path={path}: holds {contents.values.dtype}; allowed: real numbers"
        )


def _numbers(length: int) -> list[str]:
    return list(map(str, range(length)))


def _shared(rows: Sequence[str]) -> list[str]:
    """A remark if rows have the same name."""
    repeated = [name for name, times in Counter(rows).items() if times > 1]
    return [f"rows have the same name: {listed(repeated[:3])}"] if repeated else []


def _label_hints(names: Sequence[str]) -> list[str]:
    found = [name for name in names if name.lower() in CLASSES]
    return [f"labels: {found[0]} is there, dataset.labels={found[0]} takes it"] if found else []


def _counting_hints(values: Any, columns: Sequence[str]) -> list[str]:
    """A remark if the first feature is 0, 1, 2, ... or 1, 2, 3, ..."""
    if len(values) < 3 or len(columns) < 2:
        return []
    counts = any(np.array_equal(values[:, 0], np.arange(len(values)) + first) for first in (0, 1))
    name = columns[0]
    taken = f"dataset.row_names={name} takes it for their names, {_drop([name])} leaves it out"
    return [f"column {name} counts the rows ({taken})"] if counts else []


def _drop(names: Sequence[str]) -> str:
    """The override that leaves columns out, as a shell takes it."""
    if all(re.fullmatch(r"\w+", name) for name in names):
        return f"dataset.drop=[{','.join(names)}]"
    quoted = ",".join("'" + name.replace("'", "\\'") + "'" for name in names)
    return f'"dataset.drop=[{quoted}]"'


def _examples(column: pd.Series) -> str:
    values = column.dropna().map(str).unique()[:3]
    return ", ".join(value if len(value) <= 20 else f"{value[:17]}..." for value in values)
