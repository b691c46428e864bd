"""Counts as 10x Genomics' Cell Ranger writes them: a folder with a matrix.mtx, or one .h5 file."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from autoencoders.data.readers.annotated import readable
from autoencoders.data.readers.matrix import Contents, ReadOptions, damaged, listed
from autoencoders.errors import InputError

KIND = "feature_types"


def read_mtx_folder(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """A row for each barcode, a column for each gene; plain or .gz, with or without a prefix.

    Raises:
        InputError: a file is missing, or they do not belong together.
    """
    from scipy.io import mmread

    matrix = _only(path, "*matrix.mtx*")
    prefix = matrix.name.partition("matrix.mtx")[0]
    barcodes = _read_names(_only(path, f"{prefix}barcodes.tsv*"))
    genes = _read_names(_only(path, f"{prefix}features.tsv*", f"{prefix}genes.tsv*"))
    try:
        values = mmread(matrix)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(matrix, error, "a MatrixMarket file") from error
    if values.shape != (len(genes), len(barcodes)):
        raise InputError(
            f"dataset.path={path}: {matrix.name} is {values.shape[0]} x {values.shape[1]}, but"
            f" there are {len(genes)} genes and {len(barcodes)} barcodes"
        )
    values = values.T.tocsr() if hasattr(values, "tocsr") else values.T
    symbols = genes[min(1, genes.shape[1] - 1)]  # the first column has their identifiers
    var = pd.DataFrame({KIND: genes[2]} if genes.shape[1] > 2 else {}, index=symbols.index)
    return Contents(
        values,
        barcodes[0].tolist(),
        symbols.tolist(),
        columns_frame=var,
        remarks=_kinds(var),
    )


def read_10x_h5(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """A row for each barcode, a column for each gene or other feature."""
    with readable(path):
        import h5py

        with h5py.File(path) as file:
            groups = [name for name in file if isinstance(file[name], h5py.Group)]
            if not any("barcodes" in file[name] for name in groups):
                others = "anndata's files are called .h5ad" if "obs" in file else "save it as .npy"
                raise damaged(path, f"it is not 10x Genomics' but holds {listed(file)}; {others}")
        import scanpy

        table = scanpy.read_10x_h5(path, gex_only=False)
    var = table.var.reset_index(drop=True)
    rows, columns = (list(map(str, names)) for names in (table.obs_names, table.var_names))
    return Contents(table.X.tocsr(), rows, columns, columns_frame=var, remarks=_kinds(var))


def _only(folder: Path, *patterns: str) -> Path:
    """The folder's file of that name.

    Raises:
        InputError: there is none, or there are several.
    """
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        allowed = " or ".join(patterns)
        raise InputError(f"dataset.path={folder}: one {allowed} is needed; found: {names}")
    return found[0]


def _read_names(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", header=None, dtype=str, na_filter=False, quoting=3)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error, "a list of names") from error


def _kinds(var: pd.DataFrame) -> list[str]:
    """A remark if there are features other than genes, such as antibodies."""
    kinds = Counter(var[KIND]) if KIND in var else {}
    described = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    return [f"kinds of features: {described}"] if len(kinds) > 1 else []
