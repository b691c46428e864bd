"""Images that are decoded once, and kept as one array of bytes on disk."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import psutil
import torch
from filelock import FileLock
from PIL import Image, ImageOps
from pydantic import Field
from rich.progress import track
from torch import Tensor

from autoencoders.data.base import DataModule
from autoencoders.data.examples import Examples
from autoencoders.errors import InputError
from autoencoders.files import open_whole, write_whole

ImageSize = Annotated[int, Field(ge=4, le=1024)]  # pixels a side
CHUNK = 256  # images that are decoded ahead
NAMED = 5  # damaged files that are named; the others are counted
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


class KeptImages(DataModule):
    """Images kept in one file, in a random order; perhaps more than memory holds.

    Training and validation set are slices of it, and not copies: the last `val_size` training
    images validate, whatever the seed.
    """

    def split(self, everything: Examples, size: int) -> tuple[Examples, Examples]:
        return everything.subset(slice(size)), everything.subset(slice(size, None))


class Files(NamedTuple):
    """Image files, and how they are decoded.

    root: the folder that they lie in.
    names: their paths below it, with slashes.
    size: pixels a side.
    channels: 1, grey, or 3, colour.
    crop: pixels a side of the square in the middle that is kept; None keeps the largest one.
    """

    root: Path
    names: Sequence[str]
    size: int
    channels: int
    crop: int | None = None

    def digest(self) -> str:
        """Changes when a file is added, removed or written to.

        Raises:
            InputError: a file is not there.
        """
        try:
            stats = [(self.root / name).stat() for name in self.names]
        except FileNotFoundError as error:
            raise InputError(f"{error.filename}: no such file, which is on the list") from error
        files = [
            (name, stat.st_size, stat.st_mtime_ns)
            for name, stat in zip(self.names, stats, strict=True)
        ]
        return hashlib.sha256(repr((self.crop, files)).encode()).hexdigest()[:16]


def decode_once(files: Files, places: Sequence[Path]) -> Path:
    """Decode images into one array on disk, if that has not been done yet.

    An array of the same size that was made of other files is deleted.

    Args:
        places: folders that the array may lie in, for these files alone: it is looked for in each,
            and goes into the first that can be written to.

    Returns:
        The array, for `read_kept`. `kept_names` tells what it holds.

    Raises:
        InputError: no image can be decoded, or the array cannot be written.
    """
    kind = f"{files.channels}x{files.size}x{files.size}"
    name = f"{kind}-{files.digest()}.bytes"
    for place in places:
        if (place / name).is_file():
            return place / name
    place = next((p for p in places if can_be_made(p)), places[-1])
    damaged: dict[str, str] = {}

    def images() -> Iterator[np.ndarray]:
        decoded = track(_decode(files), "decoding images", len(files.names))
        for file, image in zip(files.names, decoded, strict=True):
            if isinstance(image, np.ndarray):
                yield image
            else:
                damaged[file] = image
        if len(damaged) == len(files.names):
            raise InputError(f"{files.root}: {_named(damaged, len(files.names))}")
        write_whole(_list_of(place / name), json.dumps(list(damaged)))

    keep(place / name, images())
    if damaged:
        print(f"{files.root}: {_named(damaged, len(files.names))}")
    for old in place.glob(f"{kind}-*"):
        if not old.name.startswith(name):
            old.unlink(missing_ok=True)
    return place / name


def keep(file: Path, images: Iterable[np.ndarray]) -> None:
    """Write images of uint8 into a file, one after the other, unless it is there already. It is
    written whole or not at all, by one process while others wait.

    Raises:
        InputError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.parent / ".lock"):
            if not file.exists():
                with open_whole(file) as out:
                    for image in images:
                        out.write(np.ascontiguousarray(image).data)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error


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
    values = torch.from_file(str(file), size=size, dtype=torch.uint8).view(n, *shape)
    return values.clone() if size <= psutil.virtual_memory().total / 4 else values


def kept_names(file: Path, names: Sequence[str]) -> list[str]:
    """Of the names of files those that `decode_once` could decode."""
    damaged = set(json.loads(_list_of(file).read_text(encoding="utf-8")))
    return [name for name in names if name not in damaged]


def can_be_made(folder: Path) -> bool:
    """Whether files can be written into a folder, which need not be there yet."""
    there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def read_image(file: Path, size: int, channels: int, crop: int | None = None) -> np.ndarray:
    """An image's square in the middle, resized: uint8 (channels, size, size).

    Turned as its EXIF data say, transparency on white, 16 bits of grey scaled to 8.

    Raises:
        OSError, ValueError, SyntaxError, EOFError: the file is damaged, or no image.
    """
    with Image.open(file) as opened:
        if crop is None:
            opened.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a lower size
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):  # which `convert` would clip at 255
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("L" if channels == 1 else "RGB")
    side = crop or min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def _decode(files: Files) -> Iterator[np.ndarray | str]:
    """Images in the order of the files, or what is wrong with one."""

    def attempt(name: str) -> np.ndarray | str:
        try:
            return read(files.root / name)
        except DAMAGED as error:
            return " ".join(str(error).split()) or type(error).__name__

    read = partial(read_image, size=files.size, channels=files.channels, crop=files.crop)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files.names), CHUNK):
            yield from pool.map(attempt, files.names[start : start + CHUNK])


def _list_of(file: Path) -> Path:
    """Beside the array, the names of the files that it lacks."""
    return file.with_name(f"{file.name}.json")


def _named(damaged: dict[str, str], n: int) -> str:
    named = [f"{name} ({reason})" for name, reason in list(damaged.items())[:NAMED]]
    more = f" and {len(damaged) - NAMED:,} more" if len(damaged) > NAMED else ""
    return (
        f"skipped {len(damaged):,} of {n:,} images, which cannot be read: {', '.join(named)}{more}"
    )
