"""CelebA: photographs of celebrities' faces."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import validate_call

from autoencoders.data.examples import Examples
from autoencoders.data.images.decoding import Look
from autoencoders.data.images.kept import ImageSize, Kept, KeptImages, decode_once
from autoencoders.data.images.sources import Files
from autoencoders.errors import InputError

CROP = 140  # pixels a side of the square in the middle, of 178x218, that shows the face
IMAGES, PARTS, ATTRIBUTES = "img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt"
TEST = 2  # in the list of parts; 0 trains, 1 validates


class CelebA(KeptImages):
    """CelebA's 202,599 aligned faces (Liu et al. 2015, arXiv 1411.7766) in its official partition:
    162,770 to train, 19,867 to validate, 19,962 to test.

    Each is cut to the 140x140 pixels in its middle and resized. `data_dir` holds celeba/, as
    torchvision has it; what is not there, torchvision downloads (which needs `pip install gdown`).
    The images are decoded once and kept there.

    Args:
        image_size: pixels a side.
        factor: the attribute that labels tell, of the 40 in list_attr_celeba.txt.
        common: what every data set takes, see `DataModule`; with `val_size` 19,867 the validation
            set is the official one.

    Raises:
        InputError: (in `prepare_data` or `setup`) the files cannot be had, or are damaged.
    """

    label = "CelebA"

    @validate_call
    def __init__(
        self, *, image_size: ImageSize = 64, factor: str = "Smiling", **common: Any
    ) -> None:
        super().__init__(**common)
        self.shape = (3, image_size, image_size)
        self.factor = factor
        self.class_names = (f"not {factor}", factor)

    @property
    def look(self) -> Look:
        return Look(self.shape[1], 3, crop=CROP)

    @property
    def reader(self) -> dict[str, Any]:
        return self.look._asdict()

    @property
    def folder(self) -> Path:
        return self.data_dir / "celeba"

    @classmethod
    def is_in(cls, data_dir: Path) -> bool:
        return all((data_dir / "celeba" / name).exists() for name in (IMAGES, PARTS, ATTRIBUTES))

    def prepare_data(self) -> None:
        """Download what `data_dir` has not, and decode it (one process a machine does)."""
        if not self.is_in(self.data_dir):
            import torchvision.datasets

            try:
                torchvision.datasets.CelebA(str(self.data_dir), split="all", download=True)
            except (RuntimeError, OSError, ImportError, ValueError) as error:
                raise InputError(self._how_to_get(error)) from error
        self._decoded(read_parts(self.folder / PARTS))

    def load(self) -> tuple[Examples, Examples]:
        if not self.is_in(self.data_dir):
            raise InputError(self._how_to_get("not prepared: call prepare_data() first"))
        part_of = read_parts(self.folder / PARTS)
        listed, kept = self._decoded(part_of)
        self.left_out, self.remarks = kept.notes.left_out, kept.notes.remarks(kept.look)
        names = [listed[file] for file in kept.notes.files]
        has = read_attribute(self.folder / ATTRIBUTES, self.factor)
        labels = torch.tensor([int(has.get(name, False)) for name in names])
        digests = np.asarray(kept.notes.digests)
        everything = Examples(kept.read(None), labels, names=names, digests=digests)
        train = sum(part_of[name] != TEST for name in names)
        return everything.subset(slice(train)), everything.subset(slice(train, None))

    def _decoded(self, part_of: dict[str, int]) -> tuple[list[str], Kept]:
        """The files' names, the training ones first, and what they are decoded into."""
        names = sorted(part_of, key=lambda name: (part_of[name], name))
        try:
            statuses = [(self.folder / IMAGES / name).stat() for name in names]
        except FileNotFoundError as error:
            raise InputError(f"{error.filename}: no such file, which is on the list") from error
        stamps = np.array([(status.st_size, status.st_mtime_ns) for status in statuses])
        source = Files(self.folder / IMAGES, names, stamps)
        return names, decode_once(source, self.look, [self.folder / ".decoded"])

    def _how_to_get(self, reason: object) -> str:
        return (
            f"CelebA: not in {self.folder} and no download: {' '.join(str(reason).split())}."
            " Two ways to get it: run again with a network and pip install gdown; put"
            f" {IMAGES}/, {PARTS} and {ATTRIBUTES} into that folder (dataset.data_dir or"
            " AUTOENCODERS_DATA says in which folder celeba/ lies). dataset=avatars needs none"
        )


def read_parts(file: Path) -> dict[str, int]:
    """By image, the part that it belongs to: lines such as `000001.jpg 0`."""
    try:
        return {name: int(part) for name, part in _lines(file)}
    except ValueError as error:
        raise InputError(f"{file}: damaged: expected a file's name and 0, 1 or 2") from error


def read_attribute(file: Path, attribute: str) -> dict[str, bool]:
    """By image, whether it has the attribute: a line with the count, one with the attributes'
    names, then a line of 1 and -1 for each image."""
    _, names, *lines = _lines(file) if file.stat().st_size else ([], [])
    if attribute not in names:
        raise InputError(f"dataset.factor={attribute}: allowed: {', '.join(names)}")
    column = 1 + names.index(attribute)
    return {line[0]: line[column : column + 1] == ["1"] for line in lines}


def _lines(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
