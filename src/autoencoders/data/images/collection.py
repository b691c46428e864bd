"""The images that a path leads to, and what is known of them before they are decoded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autoencoders.data.images.layout import TEST, TRAIN, UNDECIDED, VAL, lay_out
from autoencoders.data.images.listing import SUFFIXES, Listing, list_folder, list_zip
from autoencoders.data.images.sources import Files, Joined, Source
from autoencoders.data.images.stacks import read_stack
from autoencoders.errors import InputError

ARRAYS = (".npy", ".npz")
PREFIXES = {TRAIN: "train/", VAL: "val/", TEST: "test/", UNDECIDED: ""}


@dataclass
class Collection:
    """Images in files or arrays.

    source: reads them.
    splits: uint8, (n,), of each file TRAIN, VAL, TEST or UNDECIDED.
    classes: (n,), the name of its class, or None.
    left_out: names of what is not taken, by the reason.
    remarks: what was chosen, as clauses of an inventory.
    one_file: whether it is a single one, whose frames are the examples.
    """

    source: Source
    splits: np.ndarray
    classes: np.ndarray
    left_out: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    one_file: bool = False


def collect(
    path: Path,
    with_classes: bool = True,
    own_split: bool = True,
    array: str | None = None,
    labels: str | None = None,
    others: Sequence[Path] = (),
) -> Collection:
    """The images in a folder, a .zip, a .npy or .npz, or a file of several frames.

    Args:
        with_classes: folders, or the labels in a .npz, are classes.
        own_split: folders, or arrays, called train, val and test are the split.
        array, labels: names of arrays in a .npz.
        others: folders that are not looked into: those of other splits.

    Raises:
        InputError: there is none.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or (suffix == ".zip" and path.is_file()):
        listing = list_folder(path, others) if path.is_dir() else list_zip(path)
        return _collect_files(path, listing, with_classes, own_split)
    if not path.is_file():
        raise InputError(f"dataset.path={path}: no such folder, and no such file")
    if suffix in ARRAYS:
        return _collect_arrays(path, with_classes, array, labels)
    if suffix not in SUFFIXES:
        allowed = " ".join((".zip", *ARRAYS, *SUFFIXES))
        raise InputError(f"dataset.path={path}: no folder; of files, allowed: {allowed}")
    status = path.stat()
    stamps = np.array([[status.st_size, status.st_mtime_ns]])
    undecided = np.array([UNDECIDED], np.uint8)
    source = Files(path.parent, [path.name], stamps)
    return Collection(source, undecided, np.array([None]), one_file=True)


def join_collections(parts: Sequence[tuple[str, Collection]]) -> Collection:
    """Several, by what comes before their names."""
    left_out: dict[str, list[str]] = {}
    for prefix, part in parts:
        for reason, names in part.left_out.items():
            left_out.setdefault(reason, []).extend(f"{prefix}{name}" for name in names)
    return Collection(
        Joined([(prefix, part.source) for prefix, part in parts]),
        np.concatenate([part.splits for _, part in parts]),
        np.concatenate([part.classes for _, part in parts]),
        left_out,
        list(dict.fromkeys(remark for _, part in parts for remark in part.remarks)),
    )


def _collect_files(path: Path, listing: Listing, with_classes: bool, own_split: bool) -> Collection:
    names = listing.names
    if not names:
        found = ", ".join(f"{len(n):,} {reason}" for reason, n in listing.left_out.items())
        raise InputError(
            f"dataset.path={path}: no images in this folder{f', but {found}' if found else ''};"
            f" allowed: {' '.join(SUFFIXES)}"
        )
    layout = lay_out(names, with_classes, own_split)
    taken = layout.taken
    source = Files(
        path, [name for name, take in zip(names, taken, strict=True) if take], listing.stamps[taken]
    )
    left_out = layout.left_out | listing.left_out
    return Collection(source, layout.splits[taken], layout.classes[taken], left_out, layout.remarks)


def _collect_arrays(
    path: Path, with_classes: bool, array: str | None, labels: str | None
) -> Collection:
    parts = read_stack(path, array, labels)
    collections = []
    for part in parts:
        splits = np.full(len(part.classes), part.split, np.uint8)
        classes = part.classes if with_classes else np.full(len(part.classes), None)
        collections.append((PREFIXES[part.split], Collection(part.source, splits, classes)))
    joined = join_collections(collections)
    if with_classes and path.suffix.lower() == ".npz":
        used = ", ".join(f"{p.name} (labels: {p.labels or 'none'})" for p in parts)
        joined.remarks.append(f"arrays {used}; dataset.array= and dataset.labels= choose others")
    return joined
