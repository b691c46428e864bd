"""Annotated matrices, read by anndata: .h5ad, a block of rows at a time, and .loom."""

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.data.readers.matrix import Contents, ReadOptions, damaged, listed, named
from autoencoders.errors import InputError, how_to_install


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Answers what a library says about a file in one line.

    Raises:
        InputError: the library is missing, or cannot read the file.
    """
    try:
        with warnings.catch_warnings():  # of files that older versions have written
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        loompy = "pip install loompy" if error.name == "loompy" else how_to_install("expression")
        raise InputError(f"dataset.path={path}: needs {error.name}: {loompy}") from error
    except (InputError, MemoryError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # h5py and anndata have many, also of classes that are not public
        newer = re.search(r"No read method .*encoding_type='(.*?)'", str(error))
        newer_line = (
            "a newer anndata has written it (encoding-type {}): pip install --upgrade anndata"
        )
        reason = newer_line.format(newer[1]) if newer else error
        raise damaged(path, reason) from error


def read_h5ad(path: Path, layer: str | None, options: ReadOptions, stack: ExitStack) -> Contents:
    """X, `raw`, a layer or `obsm/<name>`. Its values stay in the file, unless stored by columns."""
    with readable(path):
        import anndata
        import h5py

        with h5py.File(path) as file:
            current = "encoding-type" in getattr(file.get("obs"), "attrs", {})
        if current:
            return _read_elements(path, layer, options, stack.enter_context(h5py.File(path)))
        table = anndata.read_h5ad(path, backed="r")  # in an AnnData's format before 0.7
        stack.callback(table.file.close)
        return _from_table(table, path, layer)


def read_loom(path: Path, layer: str | None, options: ReadOptions, stack: ExitStack) -> Contents:
    """The matrix or a layer, with a row for each cell; anndata holds it in memory, sparse."""
    with readable(path):
        import anndata

        table = anndata.io.read_loom(str(path), X_name="")  # else a layer `spliced`
        for frame, index in ((table.obs, "obs_names"), (table.var, "var_names")):
            if index in frame:  # as anndata calls them when it writes
                frame.index = frame.pop(index).astype(str)
        table.obs = table.obs.replace("nan", np.nan)  # which a .loom file has no other way to say
        return _from_table(table, path, layer)


def _read_elements(path: Path, layer: str | None, options: ReadOptions, file: Any) -> Contents:
    from anndata.io import read_elem

    places = {"X": "X", "raw": "raw/X"}
    places |= {name: f"layers/{name}" for name in file.get("layers", ())}
    places |= {f"obsm/{name}": f"obsm/{name}" for name in file.get("obsm", ())}
    # Without X, anndata writes none, or a null.
    there = {
        name: place
        for name, place in places.items()
        if place in file and file[place].attrs.get("encoding-type") != "null"
    }
    name = _chosen(there, path, layer)
    var = read_elem(file["raw/var" if name == "raw" else "var"])
    return _described(_values(file[there[name]]), name, read_elem(file["obs"]), var)


def _values(element: Any) -> Any:
    """A matrix in the file, or in memory where its rows cannot be read by themselves."""
    import h5py
    from anndata.io import read_elem, sparse_dataset

    kind = element.attrs.get("encoding-type", "")
    if isinstance(element, h5py.Dataset):
        return element if kind in ("", "array") else read_elem(element)
    if kind == "csr_matrix":
        return sparse_dataset(element)
    matrix = read_elem(element)
    return matrix.tocsr() if hasattr(matrix, "tocsr") else matrix


def _from_table(table: Any, path: Path, layer: str | None) -> Contents:
    # anndata 0.13 lists X among the layers, under the name None.
    layers = {name: table.layers[name] for name in table.layers if name is not None}
    layers |= {f"obsm/{name}": values for name, values in table.obsm.items()}
    layers |= {"X": table.X} if table.X is not None else {}
    layers |= {"raw": table.raw.X} if table.raw else {}
    name = _chosen(layers, path, layer)
    values = layers[name]
    if getattr(values, "format", "csr") != "csr":  # by columns, which has no rows to slice
        values = (values if hasattr(values, "tocsr") else values.to_memory()).tocsr()
    return _described(values, name, table.obs, table.raw.var if name == "raw" else table.var)


def _chosen(layers: dict[str, Any], path: Path, layer: str | None) -> str:
    """The layer that was asked for, else X.

    Raises:
        InputError: it is not there.
    """
    if layer is None and "X" not in layers:
        what = (
            f"no X; choose with dataset.layer=: {listed(layers)}" if layers else "no X, no layers"
        )
        raise InputError(f"dataset.path={path}: holds {what}")
    layer = layer or "X"
    short = {name.removeprefix("obsm/"): name for name in layers if name.startswith("obsm/")}
    layer = layer if layer in layers else short.get(layer, layer)
    named(layers, layer, "dataset.layer", path)
    return layer


def _described(values: Any, layer: str, obs: pd.DataFrame, var: pd.DataFrame) -> Contents:
    columns_frame = var
    columns = list(map(str, var.index))
    if layer.startswith("obsm/"):
        name = layer.removeprefix("obsm/")
        framed = isinstance(values, pd.DataFrame)
        columns = list(map(str, values.columns if framed else range(values.shape[1])))
        columns = columns if framed else [f"{name}_{number}" for number in columns]
        columns_frame = pd.DataFrame(index=columns)
    values = values.to_numpy() if isinstance(values, pd.DataFrame) else values
    frames = [_plain(obs), _plain(columns_frame)]
    return Contents(values, list(map(str, obs.index)), columns, *frames)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of numbers and text: categories as text, missing ones as NaN."""
    plain = frame.reset_index(drop=True)
    for name in plain.columns[plain.dtypes == "category"]:
        text = plain[name].astype(object)
        plain[name] = text.where(text.isna(), text.map(str))
    plain.columns = plain.columns.map(str)
    return plain
