"""Tables of numbers: gene expression, or any matrix in a file of the user's."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from pydantic import NonNegativeInt, PositiveInt, TypeAdapter, validate_call
from torch import Tensor

from autoencoders.data import fitting, store
from autoencoders.data.base import DataModule
from autoencoders.data.examples import Examples, digest
from autoencoders.data.fitting import Missing, Wishes
from autoencoders.data.images.kept import can_be_made
from autoencoders.data.manifest import NAMES, SPLITS
from autoencoders.data.preprocessing import Preprocessing
from autoencoders.data.readers import KINDS, Matrix, ReadOptions, open_matrix
from autoencoders.data.splits import by_column, by_group, by_name, first_groups
from autoencoders.errors import InputError
from autoencoders.files import open_whole

Names = str | Sequence[str] | None


class Rows(NamedTuple):
    """The rows of a file that became vectors.

    examples: n of them, without labels.
    labels: the class of each, empty if the file names none or none were asked for.
    kept: bool, (N,), which of the file's rows they are.
    """

    examples: Examples
    labels: np.ndarray
    kept: np.ndarray


class Table(DataModule):
    """The rows of a matrix in a file, see `readers.KINDS`.

    Unless a column, files or the names of arrays say which rows are for what, every fifth row or so
    tests, chosen by a hash of the row's name (its number if it has none), so that a row stays where
    it is when others are added.

    Args:
        path: the file; if it is not there, one of its name in `data_dir`.
        test_path, val_path: files of the same kind that hold the test or the validation set.
        split_column: says of each row whether it is for training (train), validation (val, valid,
            validation) or the test (test).
        group_column: rows of one group, such as a donor's, are all on one side of each split.
        layer: see `open_matrix`.
        labels: what names the classes: a column, or an array of an .npz file.
        columns: names or patterns, such as `gene_*`, of the columns to read; None reads all.
        drop: of the columns to leave out.
        one_hot: of columns of text that become a feature for each value.
        row_names: the column that names the rows; by default a first one without a name, or of
            text in which no two cells are equal.
        transpose: examples are columns, as in a matrix with genes in rows.
        missing: what becomes of missing cells: `median` fills them with their column's over the
            training rows, `drop_rows` leaves their rows out; None refuses them.
        normalise: divide a row of raw counts by its total, multiply by 10,000 and take
            log(1 + x). Raw counts are whole numbers of which some are above 1.
        standardise: subtract each column's mean over the training rows and divide by its standard
            deviation; figures show what it was before.
        features: keep so many columns, those of the largest variance over the training and
            validation rows; None keeps all. The choice does not depend on `seed`.
        separator, decimal, encoding, header, skip_lines: of text files, see `ReadOptions`.
        common: what every data set takes, see `DataModule`.

    Raises:
        InputError: (when `shape` is asked for, or in `setup`) a file that cannot be used.
    """

    kind = "vector"
    bounded = False  # unless all values are 0 or 1

    @validate_call
    def __init__(
        self,
        *,
        path: Path | None = None,
        test_path: Path | None = None,
        val_path: Path | None = None,
        split_column: str | None = None,
        group_column: str | None = None,
        layer: str | None = None,
        labels: str | None = None,
        columns: Names = None,
        drop: Names = None,
        one_hot: Names = None,
        row_names: str | None = None,
        transpose: bool = False,
        missing: Missing | None = None,
        normalise: bool = True,
        standardise: bool = False,
        features: PositiveInt | None = 2000,
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        skip_lines: NonNegativeInt = 0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.path, self.test_path, self.val_path = path, test_path, val_path
        self.split_column, self.group_column = split_column, group_column
        self.labels, self.layer = labels, layer
        self.wishes = Wishes(
            columns=_as_list(columns),
            drop=_as_list(drop),
            one_hot=_as_list(one_hot),
            missing=missing,
            normalise=normalise,
            standardise=standardise,
            features=features,
        )
        wanted = {split_column: "dataset.split_column", group_column: "dataset.group_column"}
        self.reading = ReadOptions(
            separator=separator,
            decimal=decimal,
            encoding=encoding,
            header=header,
            skip_lines=skip_lines,
            row_names=row_names,
            transpose=transpose,
            annotations={name: key for name, key in wanted.items() if name is not None},
        )
        self.label = path.stem if path else "table"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(features,), which the file tells."""
        self.setup()
        return self.train.shape

    def load(self) -> tuple[Examples, ...]:
        with self._open(self.path, self.reading) as (matrix, path):
            splits, groups = self._split_rows(matrix), self._groups(matrix)
            fitted = self._recorded(matrix, path) or self._fit(matrix, path, splits == 0)
            main = self._vectors(matrix, path, fitted)
        others = {1: self.val_path, 2: self.test_path}
        own = {n: self._read_further(path, fitted) for n, path in others.items() if path}
        self.feature_names, self.preprocessing = fitted.feature_names, asdict(fitted)
        self.bounded = fitted.binary
        self._number_classes([main, *own.values()])
        splits = splits[main.kept]
        if groups is not None:
            self._remark_on_groups(groups[main.kept], splits)
        self.training_groups = None if groups is None else groups[main.kept][splits == 0]
        parts = [main.examples.subset(torch.from_numpy(splits == n)) for n in range(3)]
        for n, further in others.items():
            if further and len(parts[n]):
                raise InputError(
                    f"dataset.{SPLITS[n]}_path={further}: the rows of {self.path} that are for"
                    f" {NAMES[SPLITS[n]]} would be left out: {len(parts[n]):,}; give one of"
                    " the two"
                )
        train, val, test = (own[n].examples if n in own else part for n, part in enumerate(parts))
        self._check_sizes(len(splits), train, test)
        return (train, val, test) if len(val) else (train, test)

    @property
    def reader(self) -> dict[str, Any]:
        """The arguments that say how a file is laid out, what names the classes, and what becomes
        of missing cells."""
        options = asdict(self.reading)
        del options["annotations"]
        own = {"labels": self.labels, "layer": self.layer, "missing": self.wishes.missing}
        return {**own, **options}

    def read_all(self, described: Mapping[str, Any]) -> Rows:
        """Every row of the file, as the rows of a run's data become vectors; `remarks` and
        `left_out` say what was found.

        Args:
            described: the preprocessing that the run has recorded.

        Raises:
            InputError: the file cannot be read, or lacks a column that the run has.
        """
        with self._open(self.path, self.reading) as (matrix, path):
            return self._vectors(matrix, path, self._as_described(described, matrix, path))

    def in_units(self, x: Tensor) -> Tensor:
        fitted = Preprocessing(**self.preprocessing)
        return x * x.new_tensor(fitted.stds) + x.new_tensor(fitted.means) if fitted.stds else x

    def find(self, path: Path | None) -> Path:
        """The file of that path.

        Raises:
            InputError: it is not there.
        """
        if path is None:
            raise InputError(f"dataset.path: is missing; give a file: {KINDS}")
        for place in (path, self.data_dir / path.name):
            if place.exists():
                return place
        raise InputError(
            f"dataset.path={path}: no such file, nor one of its name in {self.data_dir}; for a"
            " run on a file that has moved, set AUTOENCODERS_DATA to the folder where it is now"
        )

    def split(self, everything: Examples, size: int) -> tuple[Examples, Examples]:
        groups = self.training_groups
        if groups is None or size == len(everything):
            return super().split(everything, size)
        names, sizes = np.unique(groups, return_counts=True)
        if len(names) < 2:
            raise InputError(
                f"dataset.val_size={self.val_size}: all training rows are of one group,"
                f" {self.group_column}={names[0]}; set dataset.val_size=0"
            )
        order = np.random.default_rng(self.seed).permutation(len(names))
        chosen = order[: first_groups(sizes[order], len(everything) - size)]
        val = torch.from_numpy(np.isin(groups, names[chosen]))
        return everything.subset(~val), everything.subset(val)

    @contextmanager
    def _open(self, given: Path | None, reading: ReadOptions) -> Iterator[tuple[Matrix, Path]]:
        path = self.find(given)
        with open_matrix(path, self.layer, self.labels, reading) as matrix:
            yield matrix, path

    def _split_rows(self, matrix: Matrix) -> np.ndarray:
        """An index into `manifest.SPLITS` for each of the main file's rows."""
        if self.split_column:
            key = f"dataset.split_column={self.split_column}"
            return by_column(matrix.frame[self.split_column], key)
        if matrix.splits is not None:
            return by_column(matrix.splits, f"dataset.path={self.path}")
        if self.test_path:
            return np.zeros(len(matrix.rows), np.uint8)
        if (groups := self._groups(matrix)) is not None:
            return by_group(groups, f"dataset.group_column={self.group_column}")
        return by_name(matrix.rows)

    def _groups(self, matrix: Matrix) -> np.ndarray | None:
        """The group of each of the main file's rows."""
        if self.group_column is None:
            return None
        return matrix.frame[self.group_column].astype(str).to_numpy()

    def _remark_on_groups(self, groups: np.ndarray, splits: np.ndarray) -> None:
        """Count the groups that the data's own split cuts."""
        pairs = np.unique(np.stack([groups.astype(str), splits.astype(str)], 1), axis=0)
        _, several = np.unique(pairs[:, 0], return_counts=True)
        if cut := int((several > 1).sum()):
            self.remarks.append(f"{cut:,} groups of {self.group_column} are in several splits")

    def _recorded(self, matrix: Matrix, path: Path) -> Preprocessing | None:
        """That of the run that the table is read for."""
        if self.recorded is None:
            return None
        return self._as_described(self.recorded.description.preprocessing, matrix, path)

    def _as_described(
        self, described: Mapping[str, Any], matrix: Matrix, path: Path
    ) -> Preprocessing:
        """What a run has recorded, held against a matrix."""
        fitted: Preprocessing = TypeAdapter(Preprocessing).validate_python(described)
        self.remarks += [*matrix.remarks, *fitted.check(matrix, path)]
        if fitted.counts:
            self.remarks.append(
                "raw counts, normalised by their totals and log(1 + x), as trained on"
            )
        columns = [*matrix.columns, *matrix.text_columns]
        new = [n for n in self.wishes.of(columns) if n not in {*fitted.columns, *fitted.categories}]
        if new:
            self.left_out["columns that the run does not know"] = new
        return fitted

    def _fit(self, matrix: Matrix, path: Path, train: np.ndarray) -> Preprocessing:
        columns = fitting.choose_columns(matrix, path, self.wishes)
        scanned = fitting.scan(matrix, columns, path)
        kept = fitting.complete_rows(scanned, columns, path, self.wishes.missing)
        self._check_rows(path, train & kept)
        fitted, remarks = fitting.fit(matrix, path, columns, scanned, train & kept, self.wishes)
        self.remarks += [*matrix.remarks, *remarks]
        return fitted

    def _read_further(self, given: Path, fitted: Preprocessing) -> Rows:
        """The rows of a file beside the main one."""
        with self._open(given, replace(self.reading, annotations={})) as (matrix, path):
            fitted.check(matrix, path)
            return self._vectors(matrix, path, fitted)

    def _vectors(self, matrix: Matrix, path: Path, fitted: Preprocessing) -> Rows:
        """A file's rows as vectors: in memory, or if it does not hold them, mapped from disk."""
        scanned = fitting.scan(matrix, fitted, path)
        fitting.refuse_no_counts(scanned, fitted, path)
        kept = fitting.complete_rows(scanned, fitted, path, self.wishes.missing)
        names = np.array(matrix.rows, dtype=object)[kept]
        if dropped := [str(name) for name, keep in zip(matrix.rows, kept, strict=True) if not keep]:
            self.left_out.setdefault("with missing cells", []).extend(dropped)
        shape = (int(kept.sum()), len(fitted.feature_names))
        digests: list[int] = []

        def blocks() -> Iterator[np.ndarray]:
            for rows, block in fitted.blocks(matrix):
                chosen, frame = block[kept[rows]], matrix.frame[rows][kept[rows]]
                digests.extend(map(digest, fitted.source(chosen, frame)))
                yield fitted.vectors(chosen, frame)

        if store.fits_memory(shape):
            values = store.gather(blocks(), shape)
        else:
            values = self._map(path, fitted, blocks(), digests, shape)
        examples = Examples(
            values,
            names=names if matrix.named else None,
            digests=np.array(digests, np.uint64),
        )
        labels = np.array(matrix.labels or [""] * len(matrix.rows), dtype=object)
        return Rows(examples, labels[kept], kept)

    def _map(
        self,
        path: Path,
        fitted: Preprocessing,
        blocks: Iterator[np.ndarray],
        digests: list[int],
        shape: tuple[int, int],
    ) -> torch.Tensor:
        """Blocks of vectors in a file beside the matrix, or if that folder is read-only, in
        `data_dir`: written once, and of each matrix the latest alone is kept.

        Args:
            digests: what the blocks add to; filled from beside the file if it is there already.
        """
        places = [
            place / f".{path.stem}-vectors" for place in (path.resolve().parent, self.data_dir)
        ]
        folder = next((place for place in places if can_be_made(place)), places[-1])
        name = store.key_of(path, f"{fitted} {self.reading} {self.layer} {self.wishes.missing}")
        file, beside = folder / f"{name}.float32", folder / f"{name}.npy"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # one process writes, others wait
            if file.is_file() and beside.is_file():
                digests.extend(np.load(beside, allow_pickle=False).tolist())
            else:
                for old in (*folder.glob("*.float32"), *folder.glob("*.npy")):
                    old.unlink()
                store.write(blocks, file)
                with open_whole(beside) as out:
                    np.save(out, np.array(digests, np.uint64))
            return store.map_file(file, shape)

    def _number_classes(self, parts: Sequence[Rows]) -> None:
        """Number the classes of all rows, by the order of their names, 2 before 10; -1 for a row
        without one."""
        if self.labels is None:
            return
        cells = np.concatenate([rows.labels for rows in parts])
        names = sorted({*cells} - {""}, key=lambda n: n.zfill(9) if n.isdecimal() else n)
        if len(names) > len(cells) / 2:
            raise InputError(
                f"dataset.labels={self.labels}: {len(names):,} values in {len(cells):,} rows of"
                f" {self.path}, which are no classes; give another, or leave it out"
            )
        self.class_names = tuple(names)
        numbers = {"": -1, **{name: number for number, name in enumerate(names)}}
        for rows in parts:
            rows.examples.labels = torch.tensor([numbers[label] for label in rows.labels])
        if unlabelled := int((cells == "").sum()):
            self.remarks.append(f"{unlabelled:,} without a label")

    def _check_rows(self, path: Path, train: np.ndarray) -> None:
        if (n := int(train.sum())) < 2:
            raise InputError(
                f"dataset.path={path}: {len(train)} rows give {n} training examples; allowed: at"
                " least 2"
            )

    def _check_sizes(self, rows: int, train: Examples, test: Examples) -> None:
        for name, part in (("training", train), ("test", test)):
            if len(part) < 2:
                raise InputError(
                    f"dataset.path={self.path}: {rows} rows give {len(part)} {name} examples;"
                    " allowed: at least 2 (unless dataset.split_column= or dataset.test_path= say"
                    " otherwise, one row in five is for the test)"
                )


def _as_list(names: Names) -> list[str]:
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)
