"""How the rows of a matrix become the vectors that a model takes."""

from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from autoencoders.data.readers import Matrix
from autoencoders.errors import InputError

LIBRARY_SIZE = 10_000  # a row's total, before the logarithm
NAMED = 12  # names at most in a message


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """What is done to each row: found on training rows, and recorded with a run.

    columns: the matrix's columns that are read, by name.
    counts: whether rows are raw counts, which become log(1 + 10,000 x / total), the total over all
        of `columns`.
    medians: what missing cells become; by the name of each column that had some.
    features: those of `columns` that are kept, in order.
    means, stds: by which each dimension of a vector is standardised; empty if none is.
    categories: of each column of text that becomes a feature for each value, its values.
    binary: whether all vectors are of 0 and 1.
    """

    columns: tuple[str, ...]
    counts: bool = False
    medians: dict[str, float] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    binary: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of each dimension of a vector."""
        one_hot = (f"{c}={value}" for c, values in self.categories.items() for value in values)
        return (*self.features, *one_hot)

    @cached_property
    def places(self) -> list[int]:
        """Of the features among the columns."""
        places = {name: place for place, name in enumerate(self.columns)}
        return [places[name] for name in self.features]

    def blocks(self, matrix: Matrix) -> Iterator[tuple[slice, Any]]:
        """The matrix's rows in blocks, with the columns that are read in their order: float64,
        (n, columns), dense or sparse as the matrix is."""
        places = {name: place for place, name in enumerate(matrix.columns)}
        chosen = [places[name] for name in self.columns]
        every = chosen == list(range(len(places)))
        for rows, block in matrix.blocks():
            yield rows, block if every else block[:, chosen]

    def prepare(self, block: Any) -> Any:
        """Rows of `columns`, (n, columns), filled, and normalised if they are counts; dense or
        sparse."""
        filled = self._fill(block)
        return normalised(filled) if self.counts else filled

    def keep(self, block: Any) -> np.ndarray:
        """The features of rows of `columns`, dense, (n, features)."""
        return dense(block[:, self.places])

    def one_hot(self, frame: pd.DataFrame) -> np.ndarray:
        """A column of 0 and 1 for each value of each category, (n, values)."""
        columns = [
            (frame[name].astype(str) == value).to_numpy(float)
            for name, values in self.categories.items()
            for value in values
        ]
        return np.stack(columns, 1) if columns else np.empty((len(frame), 0))

    def vectors(self, block: Any, frame: pd.DataFrame) -> np.ndarray:
        """Rows of `columns` and what the frame says of them -> vectors, float32, (n, D)."""
        values = np.concatenate([self.keep(self.prepare(block)), self.one_hot(frame)], 1)
        if self.stds:
            values = (values - self.means) / self.stds
        return values.astype(np.float32)

    def source(self, block: Any, frame: pd.DataFrame) -> np.ndarray:
        """Of rows of `columns` the features as the file has them, float32, (n, D): by these a row
        is known again."""
        return np.concatenate([self.keep(block), self.one_hot(frame)], 1).astype(np.float32) + 0.0

    def _fill(self, block: Any) -> Any:
        if not self.medians:
            return block
        filled = dense(block).copy()
        for place, name in enumerate(self.columns):
            if name in self.medians:
                column = filled[:, place]
                column[np.isnan(column)] = self.medians[name]
        return filled

    def check(self, matrix: Matrix, path: Path) -> list[str]:
        """Hold another matrix against this.

        Returns:
            Remarks on what it has beside the columns that are read.

        Raises:
            InputError: it lacks a column.
        """
        text = [*self.categories]
        lacking = [n for n in self.columns if n not in {*matrix.columns}]
        if lacking := lacking + [n for n in text if n not in matrix.frame]:
            fault = next((matrix.faults[n] for n in lacking if n in matrix.faults), "")
            raise InputError(
                f"dataset.path={path}: lacks {len(lacking):,} of the columns that the run was"
                f" trained on: {some_of(lacking)}{f'; {fault}' if fault else ''}"
            )
        unknown = [
            f"{name}={value}"
            for name in text
            for value in sorted(set(matrix.frame[name].astype(str)) - set(self.categories[name]))
        ]
        return [f"values that the run does not know are 0: {some_of(unknown)}"] if unknown else []


def normalised(counts: Any) -> Any:
    """log(1 + 10,000 x / total), row by row; (rows, columns), dense or sparse. A row of zeros stays
    one."""
    totals = np.asarray(counts.sum(1)).reshape(-1, 1)
    scale = LIBRARY_SIZE / np.where(totals > 0, totals, 1)
    scaled = counts * scale if isinstance(counts, np.ndarray) else counts.multiply(scale).tocsr()
    return np.log1p(scaled) if isinstance(scaled, np.ndarray) else scaled.log1p()


def dense(block: Any) -> np.ndarray:
    return block if isinstance(block, np.ndarray) else block.toarray()


def some_of(names: list[str]) -> str:
    """Names as a message has them."""
    more = f", ... ({len(names):,} in all)" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
