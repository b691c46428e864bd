"""IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from autoencoders.errors import InputError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def find_idx(folder: Path, name: str) -> Path | None:
    """The file of that name, plain or gzipped, or None."""
    return next((f for f in (folder / name, folder / f"{name}.gz") if f.is_file()), None)


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of bytes, gzipped or not.

    Returns:
        A uint8 tensor of the shape that the file's header gives.

    Raises:
        InputError: the file is truncated, damaged or not IDX.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(damaged(path, str(error))) from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise InputError(damaged(path, "expected an IDX file of bytes, found another format"))
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise InputError(damaged(path, f"expected a {header}-byte header, found {len(content)}"))
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    expected = header + max(1, math.prod(shape))  # no data set is empty
    if len(content) != expected:
        raise InputError(damaged(path, f"expected {expected} bytes, found {len(content)}"))
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).reshape(shape)


def damaged(path: Path, what: str) -> str:
    """The line that names a damaged file, what is wrong with it, and how to mend it."""
    return f"{path}: {what}; delete the file and run again to download it anew"
