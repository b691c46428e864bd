"""Images that are decoded once, and kept as one array of bytes on disk."""

import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import torch
from filelock import FileLock
from pydantic import Field
from rich.progress import track
from torch import Tensor

from autoencoders.data.base import DataModule
from autoencoders.data.examples import Examples, digest
from autoencoders.data.images.decoding import Look, shrink, to_bytes
from autoencoders.data.images.frame import Frame, Span
from autoencoders.data.images.notes import Notes
from autoencoders.data.images.sources import Source
from autoencoders.errors import InputError
from autoencoders.files import open_whole

ImageSize = Annotated[int, Field(ge=4, le=1024)]  # pixels a side
USUAL = (1.0, 255.0, 4095.0, 65535.0)  # ends of ranges from 0, of shares and of 8, 12, 16 bits
KINDS = (".bytes", ".deep", ".npz", ".json")  # of files that decoding writes
CHUNK = 256  # files that are decoded ahead, and images whose values become bytes at once


class KeptImages(DataModule):
    """Images kept in one file; perhaps more than memory holds.

    The last `val_size` training images validate, whatever the seed: `load` gives them in an order
    that has nothing to do with what they show.
    """

    def split(self, everything: Examples, size: int) -> tuple[Examples, Examples]:
        return everything.subset(slice(size)), everything.subset(slice(size, None))


@dataclass
class Attempt:
    """What has become of a file: its frames, and what each looks like now, or what is wrong."""

    digest: int = 0
    frames: list[tuple[int, Frame, np.ndarray]] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    unreadable: str = ""


@dataclass(frozen=True)
class Kept:
    """Decoded images on disk.

    stem: of its files: .bytes, the images, .deep, those whose values are no bytes, as float32, and
        the notes.
    look: how they come out.
    notes: what was found.
    """

    stem: Path
    look: Look
    notes: Notes

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.look.channels, self.look.size, self.look.size)

    def span(self, rows: np.ndarray) -> Span | None:
        """The range of values that becomes black to white, by some images, (n,) indices: from the
        smallest to the largest, or if they use more than half of one of `USUAL`, all of that. None
        if all values are bytes."""
        chosen = np.isin(self.notes.deep, rows)
        chosen = chosen if chosen.any() else np.ones(len(chosen), bool)
        if not len(chosen):
            return None
        low = float(np.min(np.asarray(self.notes.lows)[chosen]))
        high = float(np.max(np.asarray(self.notes.highs)[chosen]))
        usual = [top for top in USUAL if low >= 0 and top / 2 < high <= top]
        return (0.0, usual[0]) if usual else (low, high if high > low else low + 1)

    def beyond(self, span: Span) -> int:
        """How many images have values outside of a range."""
        low, high = np.asarray(self.notes.lows), np.asarray(self.notes.highs)
        return int(((low < span[0]) | (high > span[1])).sum())

    def read(self, span: Span | None) -> Tensor:
        """All images, uint8 (n, *shape), see `read_kept`."""
        file, n = self.stem.with_suffix(".bytes"), len(self.notes.files)
        if span is not None:
            name = f"{self.stem.name}-{digest(repr(span).encode()):016x}.bytes"
            file = file.with_name(name)
            keep(file, self._scaled(span))
        return read_kept(file, self.shape, n)

    def _scaled(self, span: Span) -> Iterator[np.ndarray]:
        """The images, with those whose values are no bytes scaled from a range."""
        n, size = len(self.notes.files), math.prod(self.shape)
        images = np.memmap(self.stem.with_suffix(".bytes"), np.uint8, "r", shape=(n, size))
        deep = np.memmap(self.stem.with_suffix(".deep"), np.float32, "r").reshape(-1, size)
        places = np.asarray(self.notes.deep)
        for start in range(0, n, CHUNK):
            block = np.array(images[start : start + CHUNK])
            first, last = np.searchsorted(places, [start, start + CHUNK])
            block[places[first:last] - start] = to_bytes(deep[first:last], span)
            yield block


def decode_once(source: Source, look: Look, places: Sequence[Path]) -> Kept:
    """Decode images into one array on disk, if that has not been done yet.

    An array of the same size that was made of other files is deleted. It is made anew if a file
    can be opened now that could not be then.

    Args:
        places: folders that the array may be in, for this source alone: it is looked for in each,
            and goes into the first that can be written to.

    Raises:
        InputError: no image can be decoded, or the array cannot be written.
    """
    kind = f"{look.channels}x{look.size}x{look.size}-{look.fit}-{look.frames}"
    version = hashlib.sha256(repr((look, source.version)).encode()).hexdigest()[:16]
    for place in places:
        if _is_current(stem := place / f"{kind}-{version}", source, look):
            return Kept(stem, look, Notes.load(stem))
    place = next((p for p in places if can_be_made(p)), places[-1])
    stem = place / f"{kind}-{version}"
    with _alone(stem):
        if not _is_current(stem, source, look):  # which another process may have made meanwhile
            for old in place.glob(f"{kind}-*"):
                old.unlink(missing_ok=True)
            _decode(source, look, stem)
    return Kept(stem, look, Notes.load(stem))


def keep(file: Path, images: Iterable[np.ndarray]) -> None:
    """Write images of uint8 into a file, one after the other, unless it is there already. It is
    written whole or not at all, by one process while others wait.

    Raises:
        InputError: it cannot be written.
    """
    with _alone(file):
        if not file.exists():
            with open_whole(file) as out:
                for image in images:
                    out.write(np.ascontiguousarray(image).data)


def read_kept(file: Path, shape: tuple[int, ...], n: int) -> Tensor:
    """The n images that `keep` has written, uint8 (n, *shape): in memory, or where they would take
    more than a quarter of it, mapped into memory from the disk.

    Raises:
        InputError: the file holds another number of bytes.
    """
    size = file.stat().st_size
    if size != n * math.prod(shape):
        expected = f"expected {n * math.prod(shape)} bytes, found {size}"
        raise InputError(f"{file}: damaged: {expected}; delete it and run again to make it anew")
    # Not torch.from_file, which takes no name that is not UTF-8; "c" writes nothing back.
    values = torch.from_numpy(np.memmap(file, np.uint8, "c", shape=(n, *shape)))
    return values.clone() if size <= psutil.virtual_memory().total / 4 else values


def can_be_made(folder: Path) -> bool:
    """Whether files can be written into a folder, which need not be there yet."""
    there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def attempt(source: Source, look: Look, index: int) -> Attempt:
    """Read a file of images, as far as it can be read."""
    name, tried = source.names[index], Attempt()
    try:
        tried.digest, frames = source.read(index, look)
    except OSError as error:
        return Attempt(unreadable=_reason(error))
    except Exception as error:  # decoders answer damage with exceptions of all kinds
        return Attempt(damaged={name: _reason(error)})
    for number in itertools.count():
        try:
            if (frame := next(frames, None)) is None:
                break
            tried.frames.append((number, frame, shrink(frame, look)))
        except ModuleNotFoundError as error:  # which may be installed later
            tried.unreadable = _reason(error)
        except MemoryError:
            raise
        except Exception as error:
            tried.damaged[f"{name}[{number}]" if number else name] = _reason(error)
    return tried


def _decode(source: Source, look: Look, stem: Path) -> None:
    """Write the images, and what was found."""
    notes, n = Notes(), len(source.names)
    with (
        open_whole(stem.with_suffix(".bytes")) as out,
        open_whole(stem.with_suffix(".deep")) as deep,
    ):
        for file, tried in enumerate(track(_attempts(source, look), "decoding images", n)):
            notes.damaged |= tried.damaged
            if tried.unreadable:
                notes.unreadable[source.names[file]] = tried.unreadable
            for number, frame, image in tried.frames:
                of_frame = digest(f"{tried.digest}[{number}]".encode()) if number else tried.digest
                notes.add(file, number, of_frame, frame, image)
                if image.dtype == np.uint8:
                    out.write(np.ascontiguousarray(image).data)
                else:
                    out.write(bytes(image.size))
                    deep.write(np.ascontiguousarray(image).data)
        if not notes.files:
            raise InputError(f"dataset.path: none of {n:,} images can be read: {notes.problems}")
        notes.save(stem)


def _attempts(source: Source, look: Look) -> Iterator[Attempt]:
    """Each file, in their order."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(source.names), CHUNK):
            block = range(start, min(start + CHUNK, len(source.names)))
            yield from pool.map(partial(attempt, source, look), block)


def _is_current(stem: Path, source: Source, look: Look) -> bool:
    """Whether images are decoded, and no file can be opened now that could not be then."""
    if not all(stem.with_suffix(kind).is_file() for kind in KINDS):
        return False
    indices = (source.names.index(name) for name in Notes.load(stem).unreadable)
    return all(attempt(source, look, index).unreadable for index in indices)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One process at a time writes into a file's folder.

    Raises:
        InputError: nothing can be written there.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.parent / ".lock"):
            yield
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
