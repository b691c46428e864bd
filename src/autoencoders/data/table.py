"""Tables of numbers: gene expression, or any matrix in a file of the user's."""

import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt, validate_call

from autoencoders.data.base import DataModule
from autoencoders.data.examples import Examples
from autoencoders.data.readers import Matrix, open_matrix, refuse_text
from autoencoders.errors import InputError, how_to_install

TEST_SHARE = 5  # one row in so many is a test example
LIBRARY_SIZE = 10_000  # a row's total, before the logarithm

LARGEST = np.finfo(np.float32).max


class Table(DataModule):
    """The rows of a matrix in an .h5ad, .npz, .csv or .tsv file.

    The test set is every fifth row or so, chosen by a hash of the row's name (its number where it
    has none), so that a row stays where it is when others are added.

    Args:
        path: the file; where it is not there, one of its name in `data_dir`.
        layer: see `open_matrix`.
        labels: what names the classes: a column, or an array of an .npz file.
        normalise: divide a row of raw counts by its total, multiply by 10,000 and take
            log(1 + x). Raw counts are whole numbers of which some are above 1.
        features: keep so many columns, those of the largest variance over the rows outside the
            test set; None keeps all. The choice does not depend on `seed`.
        common: what every data set takes, see `DataModule`.

    Raises:
        InputError: (when `shape` is asked for, or in `setup`) a file that cannot be used.
    """

    kind = "vector"
    bounded = False

    @validate_call
    def __init__(
        self,
        *,
        path: Path | None = None,
        layer: str | None = None,
        labels: str | None = None,
        normalise: bool = True,
        features: PositiveInt | None = 2000,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.path = path
        self.layer = layer
        self.labels = labels
        self.normalise = normalise
        self.features = features
        self.label = path.stem if path else "table"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(features,), which the file tells."""
        self.setup()
        return tuple(self.train.values.shape[1:])

    def load(self) -> tuple[Examples, Examples]:
        path = self.find()
        with open_matrix(path, self.layer, self.labels) as matrix:
            refuse_text(matrix, path)
            test = torch.tensor([in_test(name) for name in matrix.rows], dtype=torch.bool)
            self._check_rows(path, test)
            counts = are_counts(matrix, path, self.normalise)
            chosen = self._choose(matrix, ~test.numpy(), counts)
            values = torch.empty(len(test), len(chosen))
            for rows, block in matrix.blocks():
                block = normalised(block) if counts else block
                values[rows] = torch.from_numpy(dense(block[:, chosen]).astype(np.float32))
        self.feature_names = tuple(matrix.columns[place] for place in chosen)
        examples = Examples(values, self._number_classes(matrix, path))
        self._remark(matrix, counts)
        return examples.subset(~test), examples.subset(test)

    def find(self) -> Path:
        """The file.

        Raises:
            InputError: it is not there.
        """
        if self.path is None:
            raise InputError("dataset.path: is missing: give an .h5ad, .npz, .csv or .tsv file")
        for path in (self.path, self.data_dir / self.path.name):
            if path.exists():
                return path
        raise InputError(
            f"dataset.path={self.path}: no such file, nor one of its name in {self.data_dir}; for a"
            " run on a file that has moved, set AUTOENCODERS_DATA to the folder where it lies now"
        )

    def _check_rows(self, path: Path, test: torch.Tensor) -> None:
        parts = {"training": int((~test).sum()), "test": int(test.sum())}
        for part, n in parts.items():
            if n < 2:
                raise InputError(
                    f"dataset.path={path}: {len(test)} rows give {n} {part} examples; allowed: at"
                    " least 2 (one row in five is for the test)"
                )

    def _choose(self, matrix: Matrix, train: np.ndarray, counts: bool) -> np.ndarray:
        """The columns that are kept, in their order."""
        columns = len(matrix.columns)
        if self.features is None or self.features >= columns:
            return np.arange(columns)
        from sklearn.preprocessing import StandardScaler  # takes a second: only who needs it pays

        scaler = StandardScaler(with_mean=False)  # which would make sparse blocks dense
        for rows, block in matrix.blocks():
            block = (normalised(block) if counts else block)[train[rows]]
            if block.shape[0]:
                scaler.partial_fit(block)
        return np.sort(np.argsort(-scaler.var_, kind="stable")[: self.features])

    def _number_classes(self, matrix: Matrix, path: Path) -> torch.Tensor | None:
        """A number for each row's class, by the names' order: 2 before 10."""
        if matrix.labels is None:
            return None
        names = sorted(set(matrix.labels), key=lambda n: n.zfill(9) if n.isdecimal() else n)
        if len(names) > len(matrix.labels) / 2:
            raise InputError(
                f"dataset.labels={self.labels}: {len(names):,} values in {len(matrix.labels):,}"
                f" rows of {path}, which are no classes; give another, or leave it out"
            )
        self.class_names = tuple(names)
        numbers = {name: number for number, name in enumerate(names)}
        return torch.tensor([numbers[name] for name in matrix.labels])

    def _remark(self, matrix: Matrix, counts: bool) -> None:
        known, kept = len(matrix.columns), len(self.feature_names)
        if counts:
            self.remarks.append(
                "raw counts, normalised by their totals and log(1 + x) (dataset.normalise=false"
                " leaves them)"
            )
        if kept < known:
            self.remarks.append(
                f"of {known:,} columns the most variable (dataset.features=null keeps all)"
            )


class PBMC(Table):
    """700 blood cells, 765 genes, 10 cell types: of the 68,000 cells of Zheng et al. 2017 (doi
    10.1038/ncomms14049) those that the scanpy package carries, normalised, log(1 + x).

    Args:
        labels: what names the classes: `bulk_labels`, the cell types, `louvain` or `phase`.
        common: what every data set takes, see `DataModule`.
    """

    @validate_call
    def __init__(self, *, labels: str | None = "bulk_labels", **common: Any) -> None:
        super().__init__(layer="raw", labels=labels, features=None, **common)
        self.label = "PBMC"

    def find(self) -> Path:
        scanpy = find_spec("scanpy")  # which takes seconds to import
        if scanpy is None or scanpy.origin is None:
            raise InputError(
                "dataset=pbmc: the scanpy package carries these cells and is not installed:"
                f" {how_to_install('expression')}"
            )
        return Path(scanpy.origin).parent / "datasets/10x_pbmc68k_reduced.h5ad"


def in_test(name: str) -> bool:
    """Whether the row of that name is a test example."""
    return zlib.crc32(name.encode()) % TEST_SHARE == 0


def are_counts(matrix: Matrix, path: Path, normalise: bool) -> bool:
    """Whether a matrix holds raw counts that are to be normalised.

    Raises:
        InputError: it holds NaN or an infinite value, or whole numbers some of which are negative.
    """
    whole, most, negative = True, 0.0, None
    for rows, block in matrix.blocks():
        values = block if isinstance(block, np.ndarray) else block.data
        if not (np.abs(values) <= LARGEST).all():
            wrong = _where(matrix, rows, block, ~(np.abs(dense(block)) <= LARGEST))
            raise InputError(f"dataset.path={path}: {wrong}; allowed: finite float32 numbers")
        whole = whole and bool((values == np.round(values)).all())
        most = max(most, values.max(initial=0))
        if negative is None and values.min(initial=0) < 0:
            negative = _where(matrix, rows, block, dense(block) < 0)
    counts = normalise and whole and most > 1
    if counts and negative:
        raise InputError(
            f"dataset.path={path}: {negative}, but whole numbers are taken for counts, which are"
            " not negative; dataset.normalise=false leaves them as they are"
        )
    return counts


def normalised(counts: Any) -> Any:
    """log(1 + 10,000 x / total), row by row; (rows, columns), dense or sparse. A row of zeros stays
    one."""
    totals = np.asarray(counts.sum(1)).reshape(-1, 1)
    scale = LIBRARY_SIZE / np.where(totals > 0, totals, 1)
    scaled = counts * scale if isinstance(counts, np.ndarray) else counts.multiply(scale).tocsr()
    return np.log1p(scaled) if isinstance(scaled, np.ndarray) else scaled.log1p()


def dense(block: Any) -> np.ndarray:
    return block if isinstance(block, np.ndarray) else block.toarray()


def _where(matrix: Matrix, rows: slice, block: Any, wrong: np.ndarray) -> str:
    """The first cell that is wrong, and what is there."""
    row, column = np.argwhere(wrong)[0]
    name = f"row {matrix.rows[rows.start + row]}, column {matrix.columns[column]}"
    return f"{name} is {dense(block)[row, column]:g}"
