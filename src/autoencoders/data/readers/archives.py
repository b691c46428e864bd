"""Arrays in one .npz file: of NumPy, or a sparse matrix of SciPy."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autoencoders.data.readers.arrays import (
    Member,
    Members,
    as_vector,
    contents_of,
    is_vector,
    read_header,
    readable,
    refuse,
    squeezed,
)
from autoencoders.data.readers.matrix import CLASSES, Contents, ReadOptions, listed, named
from autoencoders.errors import InputError

DATA = ("x", "data", "values", "features", "matrix")  # what people call the matrix
PARTS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "val")
SPARSE = {"format", "shape", "data"}  # of scipy.sparse.save_npz
SPARSE_PARTS = SPARSE | {"indices", "indptr", "row", "col", "offsets", "_is_array"}


def read_npz(path: Path, layer: str | None, options: ReadOptions, stack: ExitStack) -> Contents:
    """The array that `layer` names, else the obvious one, or those of the parts of a split.

    Other arrays of as many numbers or texts as it has rows come in `frame`.

    Raises:
        InputError: no array, or several, could be meant.
    """
    with readable(path):
        members = _members(path, stack)
    for name, key in options.annotations.items():
        if name in members and members[name].dtype.hasobject:
            raise InputError(
                f"{key}={name}: holds Python objects, which can run code and are not read; save it"
                " as text, with array.astype(str)"
            )
    parts = _parts(members) if layer is None else {}
    if parts:
        contents = _read_parts(members, parts, path)
        used = {*parts.values()}
    else:
        name = layer or _obvious(members, path)
        named(members, name, "dataset.layer", path)
        contents, used = contents_of(members, name, path), {name}
    bases = set() if contents.frame is None else set(contents.frame.columns)
    unused = [n for n in members if n not in used and not {n, _split_name(n)[0]} & bases]
    if layer is None and unused:
        described = listed(members[name].described(name) for name in unused)
        remark = f"{listed(used)} is read, but not {described} (dataset.layer=)"
        contents = replace(contents, remarks=[*contents.remarks, remark])
    return contents


def _members(path: Path, stack: ExitStack) -> Members:
    archive: Any = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is one array, whose file is called .npy")
    stack.enter_context(archive)
    members = {}
    for name in archive.files:
        if f"{name}.npy" in archive.zip.namelist():
            with archive.zip.open(f"{name}.npy") as file:
                members[name] = Member(*read_header(file), partial(archive.__getitem__, name))
    if set(members) >= SPARSE:
        from scipy.sparse import load_npz

        matrix = load_npz(path).tocsr()
        others = {name: member for name, member in members.items() if name not in SPARSE_PARTS}
        members = {**others, "matrix": Member(matrix.shape, matrix.dtype, lambda: matrix)}
    return members


def _obvious(members: Members, path: Path) -> str:
    """The only matrix of several columns beside the classes, else the one called x or data.

    Raises:
        InputError: there is no such.
    """
    matrices = [name for name, member in members.items() if member.is_matrix]
    wide = [n for n in matrices if members[n].matrix_shape[1] != 1 and n.lower() not in CLASSES]
    names = matrices if len(members) == 1 else wide
    called = [name for name in names if name.lower() in DATA]
    if not names:
        refuse(path, members)
    if 1 in (len(names), len(called)):
        return names[0] if len(names) == 1 else called[0]
    described = listed(members[name].described(name) for name in names)
    raise InputError(
        f"dataset.path={path}: holds {len(names)} matrices ({described}); choose one with"
        " dataset.layer="
    )


def _parts(members: Members) -> dict[str, str]:
    """The matrices of a split: the array for train, test and perhaps val, or none."""
    found: dict[str, dict[str, str]] = {}
    for name, member in members.items():
        base, part = _split_name(name)
        if part and member.is_matrix and base.lower() not in CLASSES:
            found.setdefault(base, {})[part] = name
    groups = [group for group in found.values() if "train" in group and len(group) > 1]
    return groups[0] if len(groups) == 1 else {}


def _split_name(name: str) -> tuple[str, str | None]:
    """What an array is of, and of which part: x_train -> x, train."""
    words = name.split("_")
    for at in (-1, 0):
        if part := PARTS.get(words[at].lower()):
            del words[at]
            return "_".join(words), part
    return name, None


def _read_parts(members: Members, parts: dict[str, str], path: Path) -> Contents:
    """The parts of a split, one after the other."""
    matrices = [members[name] for name in parts.values()]
    widths = {member.matrix_shape[1] for member in matrices}
    if len(widths) > 1:
        described = listed(members[name].described(name) for name in parts.values())
        raise InputError(f"dataset.path={path}: parts of different width: {described}")
    lengths = [member.shape[0] for member in matrices]
    dtype = np.result_type(*(member.dtype for member in matrices))
    values = np.empty((sum(lengths), widths.pop()), dtype)
    columns: dict[str, Any] = {}
    with readable(path):
        for end, length, member in zip(np.cumsum(lengths), lengths, matrices, strict=True):
            values[end - length : end] = squeezed(member)
        bases = [_split_name(name)[0] for name in members if name not in parts.values()]
        for base in dict.fromkeys(bases):
            vectors = {
                _split_name(n)[1]: m for n, m in members.items() if _split_name(n)[0] == base
            }
            pairs = [(vectors.get(part), n) for part, n in zip(parts, lengths, strict=True)]
            if all(vector and is_vector(vector, length) for vector, length in pairs):
                columns[base] = np.concatenate([as_vector(vector) for vector, _ in pairs if vector])
    sizes = " and ".join(f"{n:,} {part}" for part, n in zip(parts, lengths, strict=True))
    remark = (
        f"{sizes} rows, by the arrays' names (dataset.layer= takes one of {listed(parts.values())})"
    )
    splits = np.repeat(list(parts), lengths).tolist()
    frame = pd.DataFrame(columns, index=range(len(values)))
    return Contents(values, frame=frame, splits=splits, remarks=[remark])
