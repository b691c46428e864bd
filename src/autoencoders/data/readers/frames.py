"""Tables read in pieces, as pandas' DataFrames: numbers into a file of float32, text beside."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from tempfile import TemporaryFile

import numpy as np
import pandas as pd

from autoencoders.data.readers.matrix import Contents, listed, unique

CELLS = 4_000_000  # of a table that are held as float64 at once
MISSING = ("?", ".", "-")  # among numbers, beside what pandas takes for a missing cell
EXACT = 2**24  # up to which float32 holds every whole number

Locate = Callable[[Iterable[int]], Mapping[int, str]]


def rows_at_once(columns: int) -> int:
    # pandas spends as long on a column of a piece as on hundreds of its cells.
    return max(500, CELLS // max(columns, 1))


def collect(
    pieces: Iterable[pd.DataFrame],
    names: list[str],
    aside: Iterable[str],
    stack: ExitStack,
    locate: Locate,
) -> Contents:
    """Columns of numbers as float32 in a temporary file, so that memory does not limit them.

    Args:
        pieces: rows of the table, its columns called 0, 1, ...; those after `names` are ignored.
        aside: names of columns that are no features.
        stack: closes the file.
        locate: what the places of rows are called in a message.
    """
    names, remarks = unique(names)
    file = stack.enter_context(TemporaryFile())  # noqa: SIM115
    features: list[int] = []
    beside: list[int] = []
    frames, seen = [], _Seen()
    rows = 0
    for piece in pieces:
        if not rows:
            features, beside = _sorted_out(piece, names, set(aside))
        block = _numbers(piece[features], rows, seen)
        file.write(block.tobytes())
        frames.append(piece[beside])
        rows += len(piece)
    file.flush()
    shape = rows, len(features)
    values = np.memmap(file, np.float32, "r", shape=shape) if rows and features else np.empty(shape)
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    frame.columns = pd.Index([names[place] for place in beside])
    if seen.rounded:
        remarks.append(
            f"whole numbers rounded to float32: {listed(names[place] for place in seen.rounded)}"
        )
    columns = [names[place] for place in features]
    return Contents(
        values,
        columns=columns,
        frame=frame,
        table=True,
        text_columns=[name for name in frame.columns if name not in set(aside)],
        faults=seen.described(names, locate),
        remarks=remarks,
    )


class _Seen:
    """What is seen of a table's cells on the way: by column, the first that is no feature, how many
    there are, and the columns whose whole numbers are rounded."""

    def __init__(self) -> None:
        self.first: dict[int, tuple[int, str]] = {}
        self.times: dict[int, int] = {}
        self.rounded: dict[int, None] = {}

    def add(self, column: int, rows: np.ndarray, start: int, cells: pd.Series, what: str) -> None:
        if not len(rows):
            return
        cell = cells.iloc[rows[0]]
        cell = repr(cell) if isinstance(cell, str) else f"{cell}"
        self.first.setdefault(column, (start + int(rows[0]), f"{cell} {what}"))
        self.times[column] = self.times.get(column, 0) + len(rows)

    def described(self, names: list[str], locate: Locate) -> dict[str, str]:
        places = locate([row for row, _ in self.first.values()]) if self.first else {}
        return {
            names[column]: f"{places[row]}, column {names[column]}: {cell}"
            + (f", one of {self.times[column]:,} such cells" if self.times[column] > 1 else "")
            for column, (row, cell) in self.first.items()
        }


def _sorted_out(
    piece: pd.DataFrame, names: list[str], aside: set[str]
) -> tuple[list[int], list[int]]:
    """The places of the columns of numbers, and of the others that are in the table."""
    features = []
    for place, (name, dtype) in enumerate(zip(names, piece.dtypes, strict=False)):
        plain = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
        if name not in aside and (plain or _mostly_numbers(piece[place])):
            features.append(place)
    chosen = set(features)
    return features, [place for place in range(len(names)) if place not in chosen]


def _mostly_numbers(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        return False
    there = column.notna() & ~column.isin(MISSING)
    numbers = pd.to_numeric(column[there], errors="coerce").notna().sum()
    return bool(numbers > there.sum() / 2) or not there.any()


def _numbers(piece: pd.DataFrame, start: int, seen: _Seen) -> np.ndarray:
    """Cells as float32 (rows, columns); one that is no number becomes NaN."""
    texts = [at for at, dtype in piece.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    plain = piece.copy() if texts else piece
    for place in texts:
        column = piece[place]
        plain[place] = pd.to_numeric(column, errors="coerce")
        wrong = plain[place].isna() & column.notna() & ~column.isin(MISSING)
        seen.add(place, np.flatnonzero(wrong), start, column, "is not a number")
    exact = plain.to_numpy(np.float64, na_value=np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        values = exact.astype(np.float32)
        rounded = (np.abs(exact) > EXACT) & (values != exact) & (exact % 1 == 0) | (
            np.abs(exact) > 2**53
        )
    large = np.isinf(values) & np.isfinite(exact)
    for at in np.flatnonzero(large.any(0)):
        rows = np.flatnonzero(large[:, at])
        seen.add(piece.columns[at], rows, start, plain.iloc[:, at], "is beyond float32")
    seen.rounded |= dict.fromkeys(piece.columns[(rounded & ~large).any(0)])
    return values
