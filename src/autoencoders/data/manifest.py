"""What a run remembers of its data, and how data read later are held against it."""

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from autoencoders.data.examples import Examples, digest, join
from autoencoders.errors import InputError
from autoencoders.files import open_whole, write_whole

SPLITS = ("train", "val", "test")
NAMES = {"train": "training", "val": "validation", "test": "test"}
ARRAYS = ("keys", "contents", "splits", "reference")
UNLABELLED, UNKNOWN = -1, -2  # in the place of a label
NOTHING = np.array([], np.uint64)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # odd, so that its multiples differ


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Description:
    """What data are, beside the examples themselves: the text of a run's data.json.

    label, kind, shape, bounded, class_names, factor_names, covariate_names, feature_names: as the
        data module has them.
    range: the smallest and largest value of the training examples, as models take them.
    examples: how many there are in each split.
    named: whether examples have names of their own, or are known by what they hold.
    preprocessing: what a data module fitted on training examples or found in its source, and uses
        again whenever it reads data for this run.
    inventory: the line that was printed.
    left_out: names of what was found and not used, by the reason.
    """

    label: str
    kind: Literal["image", "series", "vector"]
    shape: tuple[int, ...]
    bounded: bool
    class_names: tuple[str, ...]
    factor_names: tuple[str, ...]
    covariate_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    range: tuple[float, float]
    examples: dict[str, int]
    named: bool
    preprocessing: dict[str, Any]
    inventory: str
    left_out: dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A run's data: a description, and which examples are in which split.

    keys: uint64, (N,), by what each example is known, see `keys_of`; those of training first, then
        of validation, then of test.
    contents: uint64, (N,), a number for what each holds; empty, (0,), for examples without names.
    splits: uint8, (N,), an index into `SPLITS`.
    reference: int64, (N,), the place of each in the data module's `reference`; -1 for the others.
    """

    description: Description
    keys: np.ndarray
    contents: np.ndarray
    splits: np.ndarray
    reference: np.ndarray

    def save(self, folder: Path) -> None:
        """Write data.npz, and then data.json, into a folder."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with open_whole(folder / "data.npz") as file:
            np.savez(file, **arrays)
        text = json.dumps(dataclasses.asdict(self.description), indent=2, ensure_ascii=False)
        write_whole(folder / "data.json", f"{printable(text)}\n")

    @classmethod
    def load(cls, folder: Path) -> "Manifest | None":
        """That of the run in a folder; None for a run of before version 0.2, which has none.

        Raises:
            InputError: it is damaged.
        """
        file = folder / "data.json"
        if not file.is_file():
            return None
        try:
            text = file.read_text(encoding="utf-8")
            description = TypeAdapter(Description).validate_json(text)
            with np.load(folder / "data.npz", allow_pickle=False) as arrays:
                manifest = cls(description, *(arrays[name] for name in ARRAYS))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{file}: damaged: {reason}") from error
        n = len(manifest.keys)
        lengths = {len(manifest.splits), len(manifest.reference)}
        lengths |= {len(manifest.contents)} if description.named else set()
        if lengths != {n}:
            raise InputError(f"{folder / 'data.npz'}: damaged: {n} keys, and {lengths} of others")
        if (found := _counts(manifest.splits)) != description.examples:
            raise InputError(
                f"{folder / 'data.npz'}: damaged: it has {found}, data.json {description.examples}"
            )
        return manifest


@dataclasses.dataclass(frozen=True)
class Changes:
    """How many examples differ from a run's, by split.

    new: the run does not know them; by the split that they would be in.
    gone: they are no longer there.
    changed: they are called as one of the run's, and hold something else.
    """

    new: Mapping[str, int]
    gone: Mapping[str, int]
    changed: Mapping[str, int]

    def of(self, *splits: str, new: bool = True) -> list[str]:
        """What a message says of some splits, such as `3 test examples are gone`.

        Args:
            new: whether it says which are new.
        """
        kinds = {"new": self.new if new else {}, "gone": self.gone, "changed": self.changed}
        return [
            f"{n:,} {NAMES[split]} example{'s are' if n > 1 else ' is'} {kind}"
            for kind, counts in kinds.items()
            for split in splits
            if (n := counts.get(split, 0))
        ]


def keys_of(parts: Sequence[Examples]) -> np.ndarray:
    """uint64, (N,): a number for each example's name, or if it has none, for what it holds. Equal
    ones are told apart by their order."""
    keys = np.concatenate([_names(part) for part in parts])
    repeats = pd.Series(keys).groupby(keys).cumcount().to_numpy().astype(np.uint64)
    return keys + repeats * GOLDEN


def record(description: Description, parts: Sequence[Examples], reference: Examples) -> Manifest:
    """The manifest of a training, a validation and a test set."""
    keys = keys_of(parts)
    return Manifest(
        description,
        keys,
        np.concatenate([part.digests if description.named else NOTHING for part in parts]),
        split_of(parts),
        pd.Index(keys_of([reference])).get_indexer(keys),
    )


def split_of(parts: Sequence[Examples]) -> np.ndarray:
    """uint8, (N,): the index of the part that each example is in."""
    return np.repeat(np.arange(len(parts), dtype=np.uint8), [len(part) for part in parts])


def restore(
    manifest: Manifest, parts: Sequence[Examples], take_new: bool
) -> tuple[list[Examples], Examples, Changes]:
    """A run's examples, in its splits and its order, out of those that are there now.

    Args:
        parts: the training, validation and test set that there would be without the run.
        take_new: put examples that the run does not know where they are in `parts`, after its own;
            otherwise they are left out.

    Returns:
        The training, validation and test set; the reference; what has changed.
    """
    keys, splits = keys_of(parts), split_of(parts)
    places = pd.Index(keys).get_indexer(manifest.keys)
    there = places >= 0
    new = np.setdiff1d(np.arange(len(keys)), places[there])
    contents = np.concatenate([part.digests for part in parts])
    differ = contents[places] != manifest.contents if manifest.description.named else ~there
    changes = Changes(
        new=_counts(splits[new]),
        gone=_counts(manifest.splits[~there]),
        changed=_counts(manifest.splits[there & differ]),
    )
    taken = new if take_new else new[:0]
    places = np.concatenate([places[there], taken])
    splits = np.concatenate([manifest.splits[there], splits[taken]])
    reference = np.concatenate([manifest.reference[there], np.full(len(taken), -1)])
    in_order = np.argsort(reference, kind="stable")[(reference < 0).sum() :]
    everything = join(parts)
    chosen = [places[splits == split] for split in range(len(SPLITS))]
    *sets, some = (everything.subset(torch.from_numpy(p)) for p in (*chosen, places[in_order]))
    return sets, some, changes


def number_classes(manifest: Manifest, class_names: Sequence[str], examples: Examples) -> Examples:
    """Examples with their labels numbered as a run numbers them, by the names of the classes;
    without the examples of classes that the run does not know.

    Args:
        class_names: what the labels mean now.
    """
    known = {printable(n): index for index, n in enumerate(manifest.description.class_names)}
    if not known:  # of all examples, the run knows no class
        examples.labels = torch.zeros_like(examples.labels)
        return examples
    numbers = torch.tensor(
        [known.get(printable(name), UNKNOWN) for name in class_names] + [UNLABELLED]
    )
    examples.labels = numbers[examples.labels]  # the last is that of -1
    return examples.subset((examples.labels != UNKNOWN).nonzero()[:, 0])


def printable(text: str) -> str:
    """Text with a question mark for each character that UTF-8 has not, such as those of files'
    names in another encoding."""
    return text.encode(errors="replace").decode()


def _names(examples: Examples) -> np.ndarray:
    if examples.names is None:
        return examples.digests
    names = (digest(printable(str(name)).encode()) for name in examples.names)
    return np.fromiter(names, np.uint64, len(examples))


def _counts(splits: np.ndarray) -> dict[str, int]:
    return {name: int((splits == index).sum()) for index, name in enumerate(SPLITS)}
