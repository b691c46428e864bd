"""Where images are read from: files in a folder or a .zip, or arrays."""

import bisect
import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from autoencoders.data.examples import digest
from autoencoders.data.images.decoding import Look, read_frames
from autoencoders.data.images.frame import Frame, opaque


class Source(Protocol):
    """Image files, or the images of an array.

    names: what they are called; paths with slashes, of files.
    version: changes when they do.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def version(self) -> str: ...

    def read(self, index: int, look: Look) -> tuple[int, Iterator[Frame]]:
        """A number for what the index-th one holds, see `digest`, and its frames.

        Raises:
            OSError: it cannot be opened.
        """
        ...


class Files:
    """Image files in a folder or a .zip.

    Args:
        place: the folder or the .zip.
        names: their paths in it.
        stamps: int64, (n, 2), of each its size, and when it was written or its checksum.
    """

    def __init__(self, place: Path, names: Sequence[str], stamps: np.ndarray) -> None:
        self.place = place
        self.names = names
        listed = "\0".join(names).encode(errors="surrogateescape")
        self.version = hashlib.sha256(listed + stamps.tobytes()).hexdigest()
        self._zip = zipfile.ZipFile(place) if place.is_file() else None

    def read(self, index: int, look: Look) -> tuple[int, Iterator[Frame]]:
        name = self.names[index]
        content = self._zip.read(name) if self._zip else (self.place / name).read_bytes()
        return digest(content), read_frames(content, look)


class Stack:
    """The images of an array.

    Args:
        load: gives the array, (N, H, W) or (N, H, W, C) of 1 to 4 channels, of any type; it is
            called when the first image is read.
        n: how many images it has.
        version: changes when the array does.
    """

    def __init__(self, load: Callable[[], np.ndarray], n: int, version: str) -> None:
        self.names = [str(i) for i in range(n)]
        self.version = version
        self._load = load
        self._array: np.ndarray | None = None

    def read(self, index: int, look: Look) -> tuple[int, Iterator[Frame]]:
        if self._array is None:
            self._array = self._load()
        values = np.asarray(self._array[index])
        image = opaque(values) if values.ndim == 3 else values
        return digest(values), iter([Frame.of(image)])


class Joined:
    """Several sources, one after the other.

    Args:
        sources: by what comes before their names.
    """

    def __init__(self, sources: Sequence[tuple[str, Source]]) -> None:
        self.names = [f"{prefix}{name}" for prefix, source in sources for name in source.names]
        self.version = " ".join(source.version for _, source in sources)
        self._sources = [source for _, source in sources]
        self._ends = [*accumulate(len(source.names) for source in self._sources)]

    def read(self, index: int, look: Look) -> tuple[int, Iterator[Frame]]:
        which = bisect.bisect_right(self._ends, index)
        return self._sources[which].read(index - ([0, *self._ends][which]), look)
