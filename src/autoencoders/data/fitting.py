"""What is found in a matrix before its rows can become vectors: the preprocessing, fitted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from autoencoders.data.preprocessing import Preprocessing, dense, some_of
from autoencoders.data.readers import Matrix, named, refuse_text
from autoencoders.errors import InputError

LARGEST = np.finfo(np.float32).max
UNEVEN = (
    1000  # times that one column's standard deviation is another's, from which a remark says so
)

Missing = Literal["median", "drop_rows"]


@dataclass(frozen=True)
class Wishes:
    """What the user wants of the columns, see `Table`."""

    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    one_hot: Sequence[str] = ()
    missing: Missing | None = None
    normalise: bool = True
    standardise: bool = False
    features: int | None = 2000

    def of(self, names: Iterable[str]) -> list[str]:
        """Those of the names of columns that `columns` and `drop` leave."""

        def fits(name: str, patterns: Sequence[str]) -> bool:
            return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)

        chosen = [name for name in names if not self.columns or fits(name, self.columns)]
        return [name for name in chosen if not fits(name, self.drop)]


@dataclass(frozen=True)
class Scan:
    """What is in a matrix's cells.

    whole, binary: whether all are whole numbers, or 0 and 1.
    most: the largest.
    negative: the first negative one and its place; empty if there is none.
    missing: how many are missing.
    first_missing: the place of the first of them.
    rows, columns: which rows, (N,), and which columns, (D,), have missing cells: bool.
    """

    whole: bool
    binary: bool
    most: float
    negative: str
    missing: int
    first_missing: str
    rows: np.ndarray
    columns: np.ndarray


def choose_columns(matrix: Matrix, path: Path, wishes: Wishes) -> Preprocessing:
    """The columns that are read, and nothing done to them.

    Raises:
        InputError: a name or pattern fits no column, none is left, or one holds text.
    """
    text = [*matrix.text_columns]
    every = [*matrix.columns, *text]
    chosen = matching(wishes.columns, every, "dataset.columns", path) if wishes.columns else every
    further = [str(name) for name in matrix.frame if name not in text]  # of which none is read
    dropped = matching(wishes.drop, [*every, *further], "dataset.drop", path)
    kept = [n for n in chosen if n not in {*dropped, *wishes.one_hot}]
    refuse_text(matrix, path, {*every, *matrix.faults} - {*kept})
    if not kept:
        raise InputError(
            f"dataset.path={path}: dataset.columns and dataset.drop leave none of its columns;"
            f" allowed: some of {some_of(every)}"
        )
    categories = {}
    for name in wishes.one_hot:
        cells = named(matrix.frame, name, "dataset.one_hot", path).dropna().astype(str)
        categories[name] = tuple(sorted(set(cells)))
    return Preprocessing(tuple(kept), categories=categories)


def matching(patterns: Iterable[str], names: Sequence[str], key: str, path: Path) -> list[str]:
    """The names that are one of the patterns, or fit one such as `gene_*`; in their order.

    Raises:
        InputError: none fits a pattern.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = [n for n in names if n == pattern] or [
            n for n in names if fnmatchcase(n, pattern)
        ]
        if not fitting:
            raise InputError(f"{key}={pattern}: not in {path}; allowed: {some_of([*names])}")
        chosen |= {*fitting}
    return [name for name in names if name in chosen]


def scan(matrix: Matrix, columns: Preprocessing, path: Path) -> Scan:
    """Look at each cell of the columns that are read.

    Raises:
        InputError: a value is infinite, or too large for float32.
    """
    whole, binary, most, negative, missing, first = True, True, -np.inf, "", 0, ""
    rows_missing = np.zeros(len(matrix.rows), bool)
    columns_missing = np.zeros(len(columns.columns), bool)
    for rows, block in columns.blocks(matrix):
        values = block if isinstance(block, np.ndarray) else block.data
        empty = np.isnan(values)
        if empty.any():
            cells = np.isnan(dense(block))
            first = first or place_of(matrix, columns, rows, cells)
            missing += int(cells.sum())
            rows_missing[rows] = cells.any(1)
            columns_missing |= cells.any(0)
            values = values[~empty]
        if (np.abs(values) > LARGEST).any():
            wrong = describe_cell(matrix, columns, rows, block, np.abs(dense(block)) > LARGEST)
            raise InputError(f"dataset.path={path}: {wrong}; allowed: finite float32 numbers")
        whole = whole and bool((values == np.round(values)).all())
        binary = binary and bool(((values == 0) | (values == 1)).all())
        most = max(most, values.max(initial=-np.inf))
        if not negative and values.min(initial=0) < 0:
            negative = describe_cell(matrix, columns, rows, block, dense(block) < 0)
    return Scan(whole, binary, most, negative, missing, first, rows_missing, columns_missing)


def complete_rows(
    scanned: Scan, columns: Preprocessing, path: Path, missing: Missing | None
) -> np.ndarray:
    """Which rows become vectors: bool, (N,).

    Args:
        columns: with medians, if they are fitted already.

    Raises:
        InputError: cells are missing, and nothing says what becomes of them.
    """
    if missing == "drop_rows":
        return ~scanned.rows
    medians = [name in columns.medians for name in columns.columns]
    unfilled = scanned.columns & ~np.array(medians) if columns.medians else scanned.columns
    if unfilled.any() and (missing is None or columns.features):
        raise InputError(
            f"dataset.path={path}: {scanned.first_missing} is missing, one of {scanned.missing:,}"
            f" cells in {scanned.rows.sum():,} rows and {scanned.columns.sum():,} columns;"
            " dataset.missing=median fills them with their column's, dataset.missing=drop_rows"
            " leaves these rows out, dataset.drop= leaves columns out"
        )
    return np.ones(len(scanned.rows), bool)


def fit(
    matrix: Matrix,
    path: Path,
    columns: Preprocessing,
    scanned: Scan,
    train: np.ndarray,
    wishes: Wishes,
) -> tuple[Preprocessing, list[str]]:
    """What is done to the columns that are read.

    Args:
        train: bool, (N,), the rows that may be looked at for what depends on values.

    Returns:
        The preprocessing; remarks on what was chosen.

    Raises:
        InputError: see `are_counts` and `medians_of`.
    """
    counts = are_counts(scanned, path, wishes.normalise)
    medians = (
        medians_of(matrix, columns, scanned, train, path) if wishes.missing == "median" else {}
    )
    prepared = replace(columns, counts=counts, medians=medians)
    means, variances = moments(matrix, prepared, train)
    kept = most_variable(variances, wishes.features)
    means, stds = means[kept], np.sqrt(variances[kept])
    features = tuple(columns.columns[place] for place in kept)
    fitted = replace(prepared, features=features, binary=scanned.binary and not wishes.standardise)
    if wishes.standardise:
        further = len(fitted.feature_names) - len(features)  # 0 and 1 of categories stay so
        fitted = replace(
            fitted,
            means=(*means.tolist(), *[0.0] * further),
            stds=(*np.where(stds > 0, stds, 1).tolist(), *[1.0] * further),
        )
    return fitted, remarks(fitted, stds, scanned)


def remarks(fitted: Preprocessing, stds: np.ndarray, scanned: Scan) -> list[str]:
    """What a user has to know of a preprocessing, with the key that does otherwise."""
    said = []
    if fitted.counts:
        said.append(
            "raw counts, normalised by their totals and log(1 + x) (dataset.normalise=false"
            " leaves them)"
        )
    if fitted.medians:
        said.append(f"missing cells ({scanned.missing:,}) filled with their column's median")
    if (kept := len(fitted.features)) < (known := len(fitted.columns)):
        said.append(
            f"the {kept:,} most variable of {known:,} columns (dataset.features=null keeps all)"
        )
    some = stds[stds > 0]
    if not fitted.counts and not fitted.stds and len(some) and some.max() > UNEVEN * some.min():
        said.append(
            f"columns differ in scale, with standard deviations from {some.min():.2g} to"
            f" {some.max():.2g} (dataset.standardise=true evens them out)"
        )
    return said


def are_counts(scanned: Scan, path: Path, normalise: bool) -> bool:
    """Whether a matrix holds raw counts that are to be normalised.

    Raises:
        InputError: it holds whole numbers some of which are negative.
    """
    counts = normalise and scanned.whole and scanned.most > 1
    if counts and scanned.negative:
        raise InputError(
            f"dataset.path={path}: {scanned.negative}, but whole numbers are taken for counts,"
            " which are not negative; dataset.normalise=false leaves them as they are"
        )
    return counts


def refuse_no_counts(scanned: Scan, fitted: Preprocessing, path: Path) -> None:
    """Raise InputError where a model of raw counts is given something else, which would be
    normalised once more."""
    if fitted.counts and (scanned.negative or not scanned.whole):
        what = scanned.negative or "there are fractions"
        raise InputError(
            f"dataset.path={path}: {what}, but the run was trained on raw counts, which it"
            " normalises; give counts (dataset.layer= chooses them where a file has several)"
        )


def medians_of(
    matrix: Matrix, columns: Preprocessing, scanned: Scan, train: np.ndarray, path: Path
) -> dict[str, float]:
    """The median over the training rows' cells of each column with missing ones, by name.

    Raises:
        InputError: all of a column's are missing.
    """
    places = np.flatnonzero(scanned.columns)
    if not len(places):
        return {}
    parts = [dense(block[:, places])[train[rows]] for rows, block in columns.blocks(matrix)]
    cells = np.concatenate(parts)
    names = [columns.columns[place] for place in places]
    for name, column in zip(names, cells.T, strict=True):
        if np.isnan(column).all():
            raise InputError(
                f"dataset.path={path}: column {name} is empty in all training rows;"
                f" dataset.drop=[{name}] leaves it out"
            )
    return dict(zip(names, np.nanmedian(cells, axis=0).tolist(), strict=True))


def moments(
    matrix: Matrix, prepared: Preprocessing, train: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each of `columns` over the training rows, after `prepare`."""
    from sklearn.preprocessing import StandardScaler  # takes a second: only who needs it pays

    scaler = StandardScaler(with_mean=False)  # which would make sparse blocks dense
    for rows, block in prepared.blocks(matrix):
        chosen = prepared.prepare(block)[train[rows]]
        if chosen.shape[0]:
            scaler.partial_fit(chosen)
    return scaler.mean_, scaler.var_


def most_variable(variances: np.ndarray, n: int | None) -> np.ndarray:
    """The columns of the n largest variances, in their order; all for None."""
    if n is None or n >= len(variances):
        return np.arange(len(variances))
    return np.sort(np.argsort(-variances, kind="stable")[:n])


def place_of(matrix: Matrix, columns: Preprocessing, rows: slice, chosen: np.ndarray) -> str:
    """The first cell of a block that is chosen, (n, columns)."""
    row, column = np.argwhere(chosen)[0]
    return f"row {matrix.rows[rows.start + row]}, column {columns.columns[column]}"


def describe_cell(
    matrix: Matrix, columns: Preprocessing, rows: slice, block: Any, chosen: np.ndarray
) -> str:
    """The first cell of a block that is chosen, and what it holds."""
    row, column = np.argwhere(chosen)[0]
    return f"{place_of(matrix, columns, rows, chosen)} is {dense(block)[row, column]:g}"
