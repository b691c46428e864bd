"""Any folder of images."""

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, validate_call

from autoencoders.data.examples import Examples
from autoencoders.data.images import (
    Files,
    ImageSize,
    KeptImages,
    decode_once,
    kept_names,
    read_kept,
)
from autoencoders.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class Folder(KeptImages):
    """The images in a folder, cut to the square in their middle and resized.

    Where subfolders hold images, they are the classes (torchvision's `ImageFolder` layout), and
    images beside them are left out; otherwise there are no labels. Images are decoded once; the
    array is kept beside the folder, or where that is read-only, in `data_dir`.

    Which images test is a function of their names below the folder: it stays when others are
    added.

    Args:
        path: the folder.
        image_size: pixels a side.
        channels: 1, grey, or 3, colour.
        test_share: of the images, roughly.
        common: what every data set takes, see `DataModule`.

    Raises:
        InputError: (in `prepare_data` or `setup`) no such folder, no image in it, or too few.
    """

    @validate_call
    def __init__(
        self,
        *,
        path: Path,
        image_size: ImageSize = 64,
        channels: Literal[1, 3] = 3,
        test_share: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.path = path
        self.label = path.resolve().name
        self.shape = (channels, image_size, image_size)
        self.test_share = test_share

    def prepare_data(self) -> None:
        self._decoded()

    def load(self) -> tuple[Examples, Examples]:
        files, array = self._decoded()
        names = kept_names(array, files.names)
        values = read_kept(array, self.shape, len(names))
        classes = [name.split("/")[0] for name in names if "/" in name]
        self.class_names = tuple(sorted(set(classes)))
        index = {name: i for i, name in enumerate(self.class_names)}
        labels = torch.tensor([index[name] for name in classes]) if classes else None
        train = sum(place_of(name) >= self.test_share for name in names)
        if not 2 <= train < len(names):
            raise InputError(
                f"dataset.path={self.path}: {len(names)} images, of which"
                f" dataset.test_share={self.test_share} leaves {train} to train on and"
                f" {len(names) - train} to test on; more images are needed, or another share"
            )
        everything = Examples(values, labels)
        return everything.subset(slice(train)), everything.subset(slice(train, None))

    def _decoded(self) -> tuple[Files, Path]:
        """The files, those that test last, and the array that they are decoded into."""
        names = sorted(image_names(self.path), key=place_of, reverse=True)
        _, size, _ = self.shape
        files = Files(self.path, names, size, self.shape[0])
        kept = f".{self.label}-decoded"
        places = (self.path.resolve().parent / kept, self.data_dir / kept)
        return files, decode_once(files, places)


def image_names(folder: Path) -> list[str]:
    """Paths below the folder of its images, with slashes; those in subfolders where there are any.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"dataset.path={folder}: no such folder")
    names = [
        (Path(parent) / file).relative_to(folder).as_posix()
        for parent, folders, files in os.walk(folder, followlinks=True)
        for file in files
        if file.lower().endswith(SUFFIXES) and not file.startswith(".")
    ]
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise InputError(
            f"dataset.path={folder}: no images in this folder; allowed: {' '.join(SUFFIXES)}"
        )
    in_classes = [name for name in names if "/" in name]
    return in_classes or names


def place_of(name: str) -> float:
    """A number in [0, 1) for a file's name, the same on every machine: the least ones test."""
    normal = unicodedata.normalize("NFC", name)  # file systems differ in how they write accents
    return (
        int.from_bytes(hashlib.sha256(normal.encode(errors="replace")).digest()[:8], "big") / 2**64
    )
