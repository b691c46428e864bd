"""Arrays of NumPy: one in a .npy file, memory-mapped, and what makes an array a matrix."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn
from zipfile import BadZipFile, is_zipfile
from zlib import error as ZlibError

import numpy as np
import pandas as pd

from autoencoders.data.readers.frames import collect, rows_at_once
from autoencoders.data.readers.matrix import Contents, ReadOptions, damaged, listed
from autoencoders.errors import InputError

ERRORS = (OSError, ValueError, EOFError, TypeError, AttributeError, KeyError, BadZipFile, ZlibError)


class Member(NamedTuple):
    """An array of a file that is not read yet.

    load: reads it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], Any]

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        """Its shape without axes of length 1, except for the first two."""
        return self.shape[:1] + (tuple(n for n in self.shape[1:] if n != 1) or self.shape[1:2])

    @property
    def is_matrix(self) -> bool:
        return self.dtype.kind in "buifc" and len(self.matrix_shape) == 2

    def described(self, name: str) -> str:
        kind = "Python objects" if self.dtype.hasobject else str(self.dtype)
        return f"{name} {self.shape} {kind}"


Members = dict[str, Member]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Answers what NumPy says about a file in one line."""
    try:
        yield
    except (PermissionError, FileNotFoundError):
        raise
    except ERRORS as error:
        raise damaged(path, error) from error


def read_npy(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """The array, memory-mapped. One with fields is a table.

    Raises:
        InputError: it has no rows and columns of numbers.
    """
    with readable(path):
        if is_zipfile(path):
            raise ValueError("it is an archive of arrays, whose file is called .npz")
        with path.open("rb") as file:
            shape, dtype = read_header(file)
        if dtype.hasobject:
            refuse(path, {"the array": Member(shape, dtype, lambda: None)})
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if dtype.names and shape and array.size == shape[0]:
        return _read_table(array.reshape(-1), path, options, stack)
    return contents_of({"the array": Member(shape, dtype, lambda: array)}, "the array", path)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # names of fields in UTF-8, for which NumPy has no public function
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        shape, dtype = array.shape, array.dtype
    return shape, dtype


def refuse(path: Path, members: Members) -> NoReturn:
    """Say which arrays there are, none of which is a matrix, and what can be done.

    Raises:
        InputError: always.
    """
    if not members:
        raise InputError(f"dataset.path={path}: holds no arrays")
    described = listed(member.described(name) for name, member in members.items())
    deep = next((m for m in members.values() if len(m.matrix_shape) > 2), None)
    if any(member.dtype.hasobject for member in members.values()):
        advice = "Python objects can run code and are not read: save numbers, or text as str"
    elif deep is None:
        advice = "a table has rows and columns: array.reshape(rows, columns)"
    elif len(deep.matrix_shape) > 3 or deep.dtype == np.uint8 or len(set(deep.shape[1:3])) == 1:
        advice = f"a stack of images is read by dataset=folder dataset.path={path}"
    else:
        advice = "each row of a table is flat: array.reshape(len(array), -1)"
    raise InputError(f"dataset.path={path}: holds no matrix but {described}; {advice}")


def contents_of(members: Members, name: str, path: Path) -> Contents:
    member = members[name]
    if not member.is_matrix and (member.dtype.hasobject or len(member.matrix_shape) != 2):
        refuse(path, {name: member})
    remarks = []
    if len(member.shape) > 2:
        remarks.append(f"{name} {member.shape} is taken as {member.matrix_shape}")
    with readable(path):
        frame = pd.DataFrame(
            {
                other: as_vector(vector)
                for other, vector in members.items()
                if other != name and is_vector(vector, member.shape[0])
            }
        )
        return Contents(
            squeezed(member), frame=frame if len(frame.columns) else None, remarks=remarks
        )


def squeezed(member: Member) -> Any:
    """Its values, (N, D); no axis is moved, so that they are not copied."""
    axes = [axis for axis, length in enumerate(member.shape) if axis and length == 1]
    axes = axes if len(member.matrix_shape) == len(member.shape) - len(axes) else axes[1:]
    values = member.load()
    return np.squeeze(values, tuple(axes)) if len(member.shape) > 2 else values


def is_vector(member: Member, rows: int) -> bool:
    """Whether it has a number or text for each row: (N,), (N, 1) or (1, N)."""
    return member.dtype.kind in "buifUS" and sorted(member.shape)[-1:] == [rows] == [
        int(np.prod(member.shape))
    ]


def as_vector(member: Member) -> np.ndarray:
    return _native(member.load().ravel())


def _native(vector: np.ndarray) -> np.ndarray:
    """Numbers and text as pandas takes them."""
    return vector.astype(str if vector.dtype.kind == "S" else vector.dtype.newbyteorder("="))


def _read_table(array: np.ndarray, path: Path, options: ReadOptions, stack: ExitStack) -> Contents:
    """An array with fields, such as a record array, as a table."""
    names = list(array.dtype.names or ())
    for name in names:
        if array.dtype[name].shape or array.dtype[name].names:
            raise InputError(
                f"dataset.path={path}: field {name} holds {array.dtype[name]}; allowed: one number"
                " or text"
            )
    rows = rows_at_once(len(names))
    pieces = (
        pd.DataFrame(
            {at: _native(array[name][start : start + rows]) for at, name in enumerate(names)}
        )
        for start in range(0, max(len(array), 1), rows)
    )
    return collect(
        pieces, names, options.annotations, stack, lambda at: {r: f"row {r}" for r in at}
    )
