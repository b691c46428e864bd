"""Any folder of images."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, validate_call

from autoencoders.data.examples import Examples
from autoencoders.data.images.collection import Collection, collect, join_collections
from autoencoders.data.images.decoding import Fit, Look
from autoencoders.data.images.frame import Span
from autoencoders.data.images.kept import ImageSize, Kept, KeptImages, decode_once
from autoencoders.data.images.layout import SPLIT_FOLDERS, TEST, VAL, numbered, place_of, printable
from autoencoders.errors import InputError


def _not_empty(path: Any) -> Any:
    if isinstance(path, str) and not path.strip():
        raise ValueError("must not be empty, which would be the current folder")
    return path


def _in_order(span: Span) -> Span:
    if span[0] >= span[1]:
        raise ValueError("must be two numbers, the smaller one first")
    return span


def _with_group(pattern: re.Pattern[str]) -> re.Pattern[str]:
    if not pattern.groups:
        raise ValueError("must have a group in brackets, such as patient(\\d+)")
    return pattern


GivenPath = Annotated[Path, BeforeValidator(_not_empty)]
Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_in_order)]


class Folder(KeptImages):
    """The images in a folder, made squares of one size.

    Where subfolders hold images, they are the classes (torchvision's `ImageFolder` layout), and
    images beside them are left out; otherwise there are no labels. Subfolders called train, val and
    test are the split. Instead of a folder, a .zip of one will do, a .npy or .npz with an array of
    images, or a file of several frames. Images are decoded once; the array is kept beside the
    folder, or where that is read-only, in `data_dir`.

    Which images test is otherwise a function of their names below the folder: it stays when others
    are added.

    Args:
        path: the folder or file.
        test_path: where the test images are, if they are elsewhere.
        val_path: where the validation images are, if they are elsewhere.
        image_size: pixels a side.
        channels: 1, grey, or 3, colour.
        fit: of an image that is no square, its middle is kept (crop), or black is put beside it
            (pad), or it is stretched.
        range: the values that become black and white; by default those of bytes, and of images
            with other values the smallest and the largest in the training set, or 0 and 1 if they
            are between them.
        frames: of a file with several, such as an animation, the first or all.
        classes: whether subfolders are the classes; otherwise all images are taken, without labels.
        own_split: whether subfolders called train, val and test are the split.
        groups: a regular expression whose first group is what images of one kind have in common in
            their names, such as the patient: they are all in one split.
        array, labels: of a .npz, which arrays they are.
        test_share: of the images, roughly.
        common: what every data set takes, see `DataModule`.

    Raises:
        InputError: (in `prepare_data` or `setup`) no such folder, no image in it, or too few.
    """

    @validate_call
    def __init__(
        self,
        *,
        path: GivenPath,
        test_path: GivenPath | None = None,
        val_path: GivenPath | None = None,
        image_size: ImageSize = 64,
        channels: Literal[1, 3] = 3,
        fit: Fit = "crop",
        range: Range | None = None,
        frames: Literal["first", "all"] = "first",
        classes: bool = True,
        own_split: bool = True,
        groups: Annotated[re.Pattern[str], AfterValidator(_with_group)] | None = None,
        array: str | None = None,
        labels: str | None = None,
        test_share: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.path = path
        self.elsewhere = {"test": test_path, "val": val_path}
        self.label = printable(path.resolve().name) or "images"
        self.shape = (channels, image_size, image_size)
        self.look = Look(image_size, channels, fit, None, frames, range)
        self.classes = classes
        self.own_split = own_split
        self.groups = groups
        self.arrays = (array, labels)
        self.test_share = test_share

    @property
    def reader(self) -> dict[str, Any]:
        return self.look._asdict()

    def prepare_data(self) -> None:
        """Decode the images, if that has not been done yet."""
        _ = self._decoded

    def load(self) -> tuple[Examples, ...]:
        found = self._decoded
        notes = found.kept.notes
        files = np.asarray(notes.files)
        self.class_names, numbers = numbered(found.classes)
        self.left_out = {
            reason: [printable(name) for name in names] for reason, names in found.left_out.items()
        }
        self.remarks = [printable(remark) for remark in found.remarks]
        train, val, test = self._split(found, files)
        everything = Examples(
            found.kept.read(self._span(found.kept, train)),
            torch.from_numpy(numbers[files]) if self.class_names else None,
            names=found.image_names(),
            digests=np.asarray(notes.digests),
        )
        parts = [train, val, test] if len(val) else [train, test]
        return tuple(everything.subset(torch.from_numpy(rows)) for rows in parts)

    def split(self, everything: Examples, size: int) -> tuple[Examples, Examples]:
        """The last ones validate; where they belong together, the group that is cut trains, or if
        none is left, validates."""
        cuts = np.flatnonzero(np.diff(self._places)) + 1  # where one group ends
        later = cuts[cuts >= size]
        if 0 < size < len(everything) and len(cuts):
            size = int(later[0] if len(later) else cuts[-1])
        return super().split(everything, size)

    @cached_property
    def _decoded(self) -> "Decoded":
        found = self._collect()
        look = self.look._replace(frames="all") if found.one_file else self.look
        folder = f".{self.path.resolve().name or 'images'}-decoded"
        places = (self.path.resolve().parent / folder, self.data_dir / folder)
        kept = decode_once(found.source, look, places)
        return Decoded(
            kept,
            found.source.names,
            found.splits,
            found.classes,
            found.left_out | kept.notes.left_out,
            [*kept.notes.remarks(look), *found.remarks],
            found.one_file,
        )

    def _collect(self) -> Collection:
        """The images at all paths."""
        paths = {name: path for name, path in self.elsewhere.items() if path is not None}
        everywhere = (self.path, *paths.values())
        main = collect(self.path, self.classes, self.own_split, *self.arrays, others=everywhere)
        parts = [("", main)]
        for name, path in paths.items():
            split = SPLIT_FOLDERS[name]
            if path.exists() and path.samefile(self.path):
                raise InputError(f"dataset.{name}_path={path}: is dataset.path; give another one")
            if (main.splits == split).any():
                raise InputError(
                    f"dataset.{name}_path={path}: dataset.path={self.path} has {name} images of its"
                    " own; leave one of them out"
                )
            part = collect(path, self.classes, False, *self.arrays, others=everywhere)
            part.splits[:] = split
            parts.append((f"{name}/", part))
        return join_collections(parts) if paths else main

    def _split(self, found: "Decoded", files: np.ndarray) -> tuple[np.ndarray, ...]:
        """The images, (n,) indices, that train, validate (if there is a split) and test."""
        keys = [self._group(name) for name in found.names]
        if found.one_file:
            keys = [str(frame) for frame in found.kept.notes.frames]
        places = np.array([place_of(key) for key in keys])
        places = places if found.one_file else places[files]
        splits = found.splits[files]
        test = splits == TEST
        if not test.any():
            test = (splits != VAL) & (places < self.test_share)
        train = np.flatnonzero(~test & (splits != VAL))
        train = train[np.argsort(-places[train], kind="stable")]
        if len(train) < 2 or not test.any():
            raise InputError(
                f"dataset.path={self.path}: {len(files)} images, of which"
                f" dataset.test_share={self.test_share} leaves {len(train)} to train on and"
                f" {test.sum()} to test on; more images are needed, or another share"
            )
        self._places = places[train]
        if self.groups and (both := {*places[train]} & {*places[test | (splits == VAL)]}):
            self.remarks.append(f"{len(both):,} groups are in training and in another split")
        return train, np.flatnonzero(splits == VAL), np.flatnonzero(test)

    def _group(self, name: str) -> str:
        """What decides on an image's split: its name, or a part of it."""
        if self.groups is None:
            return name
        if (match := self.groups.search(name)) is None:
            raise InputError(
                f"dataset.groups={self.groups.pattern}: does not match {printable(name)}; it must"
                " match a part of every name, and put the group's name in brackets"
            )
        return match[1] or ""

    def _span(self, kept: Kept, train: np.ndarray) -> Span | None:
        """The values that become black and white in images whose values are no bytes."""
        low_high = self.recorded.description.preprocessing.get("range") if self.recorded else None
        span = tuple(low_high) if low_high and len(kept.notes.deep) else kept.span(train)
        if span is not None:
            self.preprocessing = {"range": list(span)}
            beyond = kept.beyond(span)
            clipped = f", {beyond:,} with values beyond" if beyond else ""
            self.remarks.append(
                f"values {span[0]:g} to {span[1]:g} are black to white{clipped}"
                " (dataset.range=[low,high])"
            )
        return span


class Decoded(NamedTuple):
    """Images on disk, and what is known of the files that they come from, see `Collection`."""

    kept: Kept
    names: Sequence[str]
    splits: np.ndarray
    classes: np.ndarray
    left_out: dict[str, list[str]]
    remarks: list[str]
    one_file: bool

    def image_names(self) -> np.ndarray:
        """(n,): of each image its file's name, and in a file of several frames which one it is."""
        notes = self.kept.notes
        files, frames = np.asarray(notes.files), np.asarray(notes.frames)
        names = np.array([printable(name) for name in self.names], object)[files]
        several = (np.bincount(files)[files] > 1) | self.one_file
        for i in np.flatnonzero(several):
            names[i] = f"{names[i]}[{frames[i]}]"
        return names
