"""Vectors in memory, or if it does not hold them, in a file that is mapped into it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from autoencoders.files import open_whole

SHARE = 4  # vectors may take a quarter of memory


def fits_memory(shape: tuple[int, int]) -> bool:
    """Whether float32 vectors take at most a quarter of memory."""
    rows, columns = shape
    return 4 * rows * columns <= psutil.virtual_memory().total / SHARE


def gather(blocks: Iterator[np.ndarray], shape: tuple[int, int]) -> Tensor:
    """Blocks of rows -> all of them, float32, of a shape, in memory."""
    values = np.empty(shape, np.float32)
    start = 0
    for block in blocks:
        values[start : start + len(block)] = block
        start += len(block)
    return torch.from_numpy(values)


def write(blocks: Iterator[np.ndarray], file: Path) -> None:
    """Blocks of rows, one after the other, into a file as float32.

    Raises:
        InputError: it cannot be written.
    """
    with open_whole(file) as out:
        for block in blocks:
            out.write(np.ascontiguousarray(block, np.float32).data)


def map_file(file: Path, shape: tuple[int, int]) -> Tensor:
    """What `write` has written, mapped into memory: float32, of that shape."""
    rows, columns = shape
    return torch.from_file(str(file), size=rows * columns, dtype=torch.float32).view(shape)


def key_of(path: Path, settings: str) -> str:
    """A name for what is made of a file with some settings: another once the file is written to."""
    stat = path.stat()
    text = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {settings}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
