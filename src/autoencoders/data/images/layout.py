"""What the paths of image files say of their split and classes."""

import hashlib
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

TRAIN, VAL, TEST, UNDECIDED = range(4)
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass
class Layout:
    """What paths say.

    splits: uint8, (n,), of each file TRAIN, VAL, TEST or UNDECIDED.
    classes: (n,), the name of its class, or None.
    taken: bool, (n,), whether it is among the examples.
    left_out: names of those that are not, by the reason.
    remarks: what was chosen.
    """

    splits: np.ndarray
    classes: np.ndarray
    taken: np.ndarray
    left_out: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def leave_out(self, names: Sequence[str], which: np.ndarray, reason: str) -> None:
        """Take none of those."""
        self.taken &= ~which
        if which.any():
            self.left_out[reason] = [names[i] for i in which.nonzero()[0].tolist()]


def lay_out(names: Sequence[str], with_classes: bool, own_split: bool) -> Layout:
    """Folders called train, val and test are the split, and those below them, or if there are none
    the first ones, the classes.

    A folder that holds all others is looked through.

    Args:
        names: paths with slashes.
        with_classes: otherwise there are none.
        own_split: otherwise train, val and test are folders as others.
    """
    outer = outer_folder(names)
    heads = [_head(name, outer) for name in names]
    of_head = {head: SPLIT_FOLDERS.get((head or "").lower(), UNDECIDED) for head in {*heads}}
    found = {*of_head.values()}
    is_split = own_split and TRAIN in found and (VAL in found or TEST in found)
    splits = np.array([of_head[head] if is_split else UNDECIDED for head in heads], np.uint8)
    if is_split:
        heads = [_head(name, f"{outer}{head}/") for name, head in zip(names, heads, strict=True)]
    layout = Layout(splits, np.array(heads, object), np.ones(len(names), bool))
    if is_split:
        known = sorted((split, f"{head}/") for head, split in of_head.items() if split != UNDECIDED)
        layout.remarks.append(
            f"split by {', '.join(head for _, head in known)}"
            " (dataset.own_split=false: they are classes)"
        )
        layout.leave_out(names, splits == UNDECIDED, "beside the split's folders")
    _leave_out_beside(names, layout, with_classes)
    if outer and with_classes and not is_split:
        layout.remarks.append(f"classes are the folders in {outer}")
    return layout


def outer_folder(names: Sequence[str]) -> str:
    """The folder, with a slash, that all are in, and in it in several folders; empty if there is
    none."""
    outer, inner = "", _only_folder(names, "")
    while inner:
        heads = {_head(name, inner) for name in names}
        if None not in heads and len(heads) > 1:
            outer = inner
        inner = _only_folder(names, inner)
    return outer


def place_of(name: str) -> float:
    """A number in [0, 1) for a file's name, the same on every machine: the least ones test."""
    normal = unicodedata.normalize("NFC", name)  # file systems differ in how they write accents
    return (
        int.from_bytes(hashlib.sha256(normal.encode(errors="replace")).digest()[:8], "big") / 2**64
    )


def printable(name: str) -> str:
    r"""A name that can be written and drawn: bytes that are no UTF-8 become `\xe9`."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return name  # itself, of which there may be a million


def numbered(classes: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of classes, sorted, as numbers if they are; and of each example its index among
    them, int64, -1 for None."""
    known = {name for name in classes if name is not None}
    numbers = all(name.isascii() and name.isdigit() for name in known)
    names = sorted(known, key=int if numbers else str)
    index = {name: i for i, name in enumerate(names)}
    return tuple(map(printable, names)), np.array(
        [index.get(name, -1) for name in classes], np.int64
    )


def _leave_out_beside(names: Sequence[str], layout: Layout, with_classes: bool) -> None:
    """In a split with class folders, images are in them; in one without, images have no class."""
    if not with_classes:
        layout.classes[:] = None
    no_class = np.array([name is None for name in layout.classes], bool)
    beside = np.zeros(len(names), bool)
    for split in np.unique(layout.splits):
        here = layout.taken & (layout.splits == split)
        if (here & ~no_class).any():
            beside |= here & no_class
    layout.leave_out(names, beside, "beside the classes (dataset.classes=false takes them)")


def _head(name: str, outer: str) -> str | None:
    """The first folder of a path below another; None of a file that is there itself."""
    head, slash, _ = name[len(outer) :].partition("/")
    return sys.intern(head) if slash else None


def _only_folder(names: Sequence[str], outer: str) -> str:
    """The one folder that all are in below another, with a slash; empty if there is none."""
    heads = {_head(name, outer) for name in names}
    head = heads.pop() if len(heads) == 1 else None
    return f"{outer}{head}/" if head else ""
