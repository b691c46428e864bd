"""Files that hold a matrix, read by pandas, pyarrow, anndata, scanpy and NumPy: a family a file."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoencoders.data.readers.annotated import read_h5ad, read_loom
from autoencoders.data.readers.archives import read_npz
from autoencoders.data.readers.arrange import arrange, refuse_text
from autoencoders.data.readers.arrays import read_npy
from autoencoders.data.readers.columnar import read_feather, read_parquet
from autoencoders.data.readers.matrix import Matrix, ReadOptions, named
from autoencoders.data.readers.tenx import read_10x_h5, read_mtx_folder
from autoencoders.data.readers.text import COMPRESSED, read_text
from autoencoders.errors import InputError

__all__ = ["KINDS", "Matrix", "ReadOptions", "named", "open_matrix", "refuse_text"]

TEXT = dict.fromkeys((".csv", ".tsv", ".txt", ".dat"), read_text)
FRAMES = {".parquet": read_parquet, ".feather": read_feather, ".arrow": read_feather}
LAYERED = {".h5ad": read_h5ad, ".loom": read_loom, ".npz": read_npz}
READERS: dict[str, Any] = {**TEXT, **FRAMES, **LAYERED, ".npy": read_npy, ".h5": read_10x_h5}
KINDS = f"{', '.join(READERS)}, the text ones also with {', '.join(COMPRESSED)}, a 10x .mtx folder"


@contextmanager
def open_matrix(
    path: Path, layer: str | None, labels: str | None, options: ReadOptions | None = None
) -> Iterator[Matrix]:
    """A file's matrix, for as long as the file is open.

    Args:
        path: a file of one of `KINDS`, its suffix in any case, or a folder with a matrix.mtx.
        layer: of an .h5ad file, `X`, `raw`, a layer or `obsm/<name>`; of a .loom file, a layer; of
            an .npz file, an array. None takes X, or an .npz file's obvious matrix.
        labels: what names the classes: a column, one of obs, or an array of an .npz file.
        options: see `ReadOptions`.

    Raises:
        InputError: a file that cannot be read, or has no such layer or column.
    """
    options = options or ReadOptions()
    kind = _kind(path)
    _check_options(path, kind, layer, options)
    asked = {labels: "dataset.labels", options.row_names: "dataset.row_names"}
    keys = {name: key for name, key in asked.items() if name is not None}
    reader = READERS.get(kind, read_mtx_folder)
    with ExitStack() as stack:
        try:
            wanted = replace(options, annotations={**keys, **options.annotations})
            contents = reader(path, layer, wanted, stack)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR):
                raise InputError(f"dataset.path={path}: {error.strerror}") from error
            raise
        yield arrange(contents, path, labels, options)


def _kind(path: Path) -> str:
    """The suffix that says how a file is read, "" of a folder.

    Raises:
        InputError: there is none that is read, or nothing to read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = len(suffixes) > 1 and suffixes[-1] in COMPRESSED
    kind = suffixes[-2] if packed else "".join(suffixes[-1:])
    if path.is_dir():
        if any(path.glob("*matrix.mtx*")):
            return ""
        what = "a folder without a matrix.mtx"
    elif kind == ".mtx":
        raise InputError(
            f"dataset.path={path}: give the folder, {path.parent}, with barcodes.tsv and"
            " features.tsv beside it"
        )
    elif kind not in READERS or (packed and kind not in TEXT):
        what = "not a kind of file that is read"
    elif path.is_file() and not path.stat().st_size:
        raise InputError(f"dataset.path={path}: the file is empty")
    else:
        return kind
    raise InputError(f"dataset.path={path}: {what}; allowed: {KINDS}")


def _check_options(path: Path, kind: str, layer: str | None, options: ReadOptions) -> None:
    if layer is not None and kind not in LAYERED:
        raise InputError(f"dataset.layer={layer}: {path} has no layers; leave it out")
    for key in ("separator", "decimal", "encoding", "header", "skip_lines"):
        value = getattr(options, key)
        if value != getattr(ReadOptions, key) and kind not in TEXT:
            raise InputError(f"dataset.{key}={value}: is for text files, which {path} is not")
