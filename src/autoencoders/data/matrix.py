"""Matrices in files, read a block of rows at a time: .h5ad, .npz, .csv and .tsv."""

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from autoencoders.errors import InputError, how_to_install

BLOCK = 1000  # rows that are held in full at once
NAMED = 12  # names at most in a message
SPARSE = {"data", "indices", "indptr", "shape", "format"}  # of scipy.sparse.save_npz


class Matrix(NamedTuple):
    """A matrix of N rows, the examples, by D columns, the features.

    values: (N, D), a NumPy or SciPy sparse array in memory, or one backed by the open file.
    rows: a name for each row: the file's, else its number.
    columns: the same of the columns.
    labels: a class for each row, where one was asked for.
    """

    values: Any
    rows: Sequence[str]
    columns: Sequence[str]
    labels: Sequence[str] | None = None

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """The rows in blocks, as float64, each dense or sparse as the matrix is."""
        for start in range(0, len(self.rows), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self.values[rows].astype(np.float64)


@contextmanager
def open_matrix(path: Path, layer: str | None, labels: str | None) -> Iterator[Matrix]:
    """A file's matrix, for as long as the file is open.

    Args:
        layer: of an .h5ad file, a layer or `raw`, by default X; of an .npz file, an array, by
            default its only matrix.
        labels: of an .h5ad file, a column of obs; of an .npz file, an array; else a column.

    Raises:
        InputError: a file that cannot be read, or has no such layer or labels.
    """
    readers = {".h5ad": _open_h5ad, ".npz": _open_npz, ".csv": _open_text, ".tsv": _open_text}
    if path.suffix not in readers:
        allowed = ", ".join(readers)
        raise InputError(
            f"dataset.path={path}: not a kind of file that is read; allowed: {allowed}"
        )
    with readers[path.suffix](path, layer, labels) as matrix:
        yield matrix


@contextmanager
def _open_h5ad(path: Path, layer: str | None, labels: str | None) -> Iterator[Matrix]:
    try:
        import anndata  # takes a second: only who needs it pays
    except ModuleNotFoundError as error:
        raise InputError(
            f"dataset.path={path}: needs anndata: {how_to_install('expression')}"
        ) from error
    try:
        with warnings.catch_warnings():  # of files that older versions have written
            warnings.simplefilter("ignore")
            table = anndata.read_h5ad(path, backed="r")
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    try:
        # anndata 0.13 lists X among the layers, under the name None.
        layers = {name: table.layers[name] for name in table.layers if name is not None}
        layers |= {"X": table.X, **({"raw": table.raw.X} if table.raw else {})}
        values = _named(layers, layer or "X", "dataset.layer", path)
        if labels is not None:
            classes = _named(dict(table.obs), labels, "dataset.labels", path).astype(str).tolist()
        if getattr(values, "format", "csr") != "csr":  # by columns, which has no rows to slice
            values = (values if hasattr(values, "tocsr") else values.to_memory()).tocsr()
        columns = table.raw.var_names if layer == "raw" else table.var_names
        named = list(map(str, table.obs_names)), list(map(str, columns))
        yield Matrix(values, *named, None if labels is None else classes)
    finally:
        table.file.close()


@contextmanager
def _open_npz(path: Path, layer: str | None, labels: str | None) -> Iterator[Matrix]:
    from scipy.sparse import load_npz

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {} if set(archive.files) >= SPARSE else dict(archive)
        if not arrays:
            arrays = {"matrix": load_npz(path).tocsr()}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        raise _damaged(path, error) from error
    matrices = {name: array for name, array in arrays.items() if array.ndim == 2}
    if layer is None and len(matrices) != 1:
        raise InputError(
            f"dataset.path={path}: holds {len(matrices)} matrices ({_listed(matrices)}); choose one"
            " with dataset.layer="
        )
    values = _named(matrices, layer or next(iter(matrices)), "dataset.layer", path)
    if values.dtype.kind not in "buif":
        raise InputError(f"dataset.path={path}: holds {values.dtype}; allowed: numbers")
    classes = None
    if labels is not None:
        vectors = {k: v for k, v in arrays.items() if v.ndim == 1 and len(v) == values.shape[0]}
        classes = _named(vectors, labels, "dataset.labels", path).astype(str).tolist()
    rows, columns = ([str(i) for i in range(length)] for length in values.shape)
    yield Matrix(values, rows, columns, classes)


@contextmanager
def _open_text(path: Path, layer: str | None, labels: str | None) -> Iterator[Matrix]:
    """The first line names the columns; a first column without a name names the rows."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            matrix = _parse(path, lines, labels)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _damaged(path, error) from error
    yield matrix


def _parse(path: Path, lines: Any, labels: str | None) -> Matrix:
    names: list[str] = next(lines, [])
    if not names or _are_values(names):
        raise InputError(f"dataset.path={path}: the first line must name the columns")
    places = {name: place for place, name in enumerate(names)}
    classes_at = None if labels is None else _named(places, labels, "dataset.labels", path)
    names_at = 0 if not names[0] else None
    kept = [place for place in range(len(names)) if place not in (classes_at, names_at)]
    rows: list[str] = []
    cells: list[np.ndarray] = []
    classes: list[str] = []
    for line in lines:
        if not line:  # an empty one, such as the last
            continue
        if len(line) != len(names):
            raise InputError(
                f"dataset.path={path}: line {lines.line_num} has {len(line)} cells, the first line"
                f" {len(names)}"
            )
        try:
            cells.append(np.array([line[place] for place in kept], dtype=np.float64))
        except ValueError as error:
            place = next(place for place in kept if not _is_number(line[place]))
            raise InputError(
                f"dataset.path={path}: line {lines.line_num}, column {names[place]}:"
                f" {line[place]!r} is no number; mend it, or where the column holds classes, set"
                f" dataset.labels={names[place]}"
            ) from error
        rows.append(str(len(rows)) if names_at is None else line[names_at])
        if classes_at is not None:
            classes.append(line[classes_at])
    values = np.stack(cells) if cells else np.empty((0, len(kept)))
    columns = [names[place] for place in kept]
    return Matrix(values, rows, columns, None if classes_at is None else classes)


def _are_values(names: list[str]) -> bool:
    """Whether a first line holds values: numbers, and not rising ones as wavelengths are."""
    numbers = [float(name) for name in names if _is_number(name)]
    return len(numbers) > len(names) / 2 and sorted(set(numbers)) != numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(known: dict[str, Any], name: str, key: str, path: Path) -> Any:
    """What has that name.

    Raises:
        InputError: nothing has.
    """
    if name not in known:
        allowed = _listed(known) or "none"
        raise InputError(f"{key}={name}: not in {path}; allowed: {allowed}")
    return known[name]


def _listed(names: Any) -> str:
    more = f", ... ({len(names):,} in all)" if len(names) > NAMED else ""
    return ", ".join(map(str, list(names)[:NAMED])) + more


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"dataset.path={path}: cannot be read as {path.suffix}: {reason}")
