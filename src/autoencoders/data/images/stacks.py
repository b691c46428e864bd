"""Arrays of images, perhaps with labels and a split: .npy and .npz files."""

import re
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from autoencoders.data.images.layout import SPLIT_FOLDERS, UNDECIDED
from autoencoders.data.images.sources import Stack
from autoencoders.errors import InputError

CHANNELS = (1, 3, 4)  # grey, RGB, RGB and opacity
LABELS = ("y", "label", "labels", "target", "targets", "class", "classes")  # usual names


class Part(NamedTuple):
    """The images of an array.

    name: the array's.
    split: which it is, see `SPLIT_FOLDERS`, or UNDECIDED.
    source: the images.
    classes: (n,), the name of each one's class, or None.
    labels: the array that they come from, or None.
    """

    name: str
    split: int
    source: Stack
    classes: np.ndarray
    labels: str | None


class Header(NamedTuple):
    """What an array in a file is."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def holds_images(self) -> bool:
        """(N, H, W), (N, H, W, C) or (N, C, H, W); (H, W, 3) is one image."""
        numbers = self.dtype.kind in "biuf" and 0 not in self.shape
        if len(self.shape) == 4:
            return numbers and (self.shape[3] in CHANNELS or self.shape[1] in CHANNELS)
        return numbers and len(self.shape) == 3 and self.shape[2] not in (3, 4)

    def labels(self, n: int) -> bool:
        """Whether it may hold the labels of n images."""
        return self.shape in ((n,), (n, 1)) and self.dtype.kind in "biufUS"


def read_stack(path: Path, array: str | None, labels: str | None) -> list[Part]:
    """The arrays of images in a file; of x_train and x_test, or train_images and test_images, each
    is a split.

    Args:
        array: the one to take, or what is left of its name without the split.
        labels: that of the labels, in the same way.

    Raises:
        InputError: there is none, or there are several for a split.
    """
    headers = _headers(path)
    images = {
        name: header
        for name, header in headers.items()
        if header.holds_images and array in (None, name, split_of(name)[1])
    }
    splits = [split_of(name)[0] for name in images]
    if not images or len({*splits}) < len(splits):
        listed = ", ".join(
            f"{name or 'an array'} {h.dtype} {h.shape}" for name, h in headers.items()
        )
        one = "one of them, as dataset.array= names it," if len(images) > 1 else "one array"
        raise InputError(
            f"dataset.path={path}: holds {listed}; expected {one}"
            " of the shape (N, H, W), (N, H, W, C) or (N, C, H, W), C being 1, 3 or 4, or one for"
            " each of train, val and test; dataset=table reads a matrix"
        )
    return [
        _part(path, name, split, headers, labels)
        for name, split in zip(images, splits, strict=True)
    ]


def split_of(name: str) -> tuple[int, str]:
    """x_train -> the split, and x."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    splits = [SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS]
    rest = "_".join(word for word in words if word not in SPLIT_FOLDERS)
    return (splits[0] if splits else UNDECIDED), rest


def _part(
    path: Path, name: str, split: int, headers: dict[str, Header], labels: str | None
) -> Part:
    n, status = headers[name].shape[0], path.stat()
    version = f"{status.st_size} {status.st_mtime_ns} {name}"
    found = _labels_of(n, split, headers, labels)
    classes = np.full(n, None) if found is None else _classes(_load(path, found))
    return Part(name, split, Stack(partial(_images, path, name), n, version), classes, found)


def _labels_of(n: int, split: int, headers: dict[str, Header], asked: str | None) -> str | None:
    """The array of labels: the only one that may be, or the one with a usual name."""
    there = [
        name for name, header in headers.items() if header.labels(n) and split_of(name)[0] == split
    ]
    wanted = LABELS if asked is None else (asked,)
    named = [name for name in there if name == asked or split_of(name)[1] in wanted]
    if asked is not None and len(named) != 1:
        raise InputError(
            f"dataset.labels={asked}: allowed for {n:,} images: {', '.join(there) or 'none'}"
        )
    chosen = named if len(named) == 1 else there
    return chosen[0] if len(chosen) == 1 else None


def _classes(labels: np.ndarray) -> np.ndarray:
    """Labels of any type, (N,) or (N, 1) -> (N,) names of classes, None of NaN."""
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    known = {
        value: None if value != value else f"{value:g}" if isinstance(value, float) else str(value)
        for value in np.unique(labels).tolist()
    }
    return np.array([known.get(value) for value in labels.ravel().tolist()], object)


def _headers(path: Path) -> dict[str, Header]:
    """What is in a file, by the arrays' names; that of .npy has none."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return {"": _header(file)}
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    headers[name.removesuffix(".npy")] = _header(member)
            return headers
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"dataset.path={path}: cannot be read: {error}") from error


def _header(file: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    of_version = {(1, 0): np.lib.format.read_array_header_1_0}
    shape, _, dtype = of_version.get(version, np.lib.format.read_array_header_2_0)(file)
    return Header(shape, dtype)


def _load(path: Path, name: str) -> np.ndarray:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        array: np.ndarray = loaded[name]
    return array


def _images(path: Path, name: str) -> np.ndarray:
    """(N, H, W) or (N, H, W, C)."""
    array = _load(path, name)
    first = array.ndim == 4 and array.shape[3] not in CHANNELS
    return array.transpose(0, 2, 3, 1) if first else array
