"""Which examples are for training, for validation and for the test."""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from autoencoders.errors import InputError

TEST_SHARE = 5  # one row in so many is a test example
# What people call the splits, in any case.
WORDS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev"), 1),
    **dict.fromkeys(("test", "testing", "holdout"), 2),
}


def in_test(name: str) -> bool:
    """Whether the row of that name is a test example."""
    return zlib.crc32(name.encode(errors="replace")) % TEST_SHARE == 0


def by_name(names: Sequence[str]) -> np.ndarray:
    """A split, an index into `manifest.SPLITS`, for each row: uint8, (N,). One in five tests."""
    return np.array([2 * in_test(name) for name in names], np.uint8)


def by_column(cells: Sequence[str], key: str) -> np.ndarray:
    """The split that each row's cell names, uint8, (N,).

    Raises:
        InputError: a cell names none, or no row is a test example.
    """
    words = pd.Series(cells).astype(str).str.strip().str.lower()
    if unknown := sorted(set(words) - set(WORDS)):
        found = ", ".join(repr(word) for word in unknown[:5])
        raise InputError(f"{key}: holds {found}; allowed: train, val and test")
    return words.map(WORDS).to_numpy(np.uint8)


def by_group(groups: np.ndarray, key: str) -> np.ndarray:
    """A split for each row, uint8, (N,), the same for all rows of a group: the groups with the
    least hashes test, about a fifth of all rows.

    Raises:
        InputError: fewer than two groups.
    """
    counts = pd.Series(groups).value_counts()
    if len(counts) < 2:
        raise InputError(
            f"{key}: names {len(counts)} group; allowed: at least 2, to train and test"
        )
    order = sorted(counts.index, key=lambda group: (zlib.crc32(str(group).encode()), str(group)))
    test = first_groups([counts[group] for group in order], len(groups) / TEST_SHARE)
    return np.where(pd.Series(groups).isin(order[:test]), 2, 0).astype(np.uint8)


def first_groups(sizes: Sequence[int] | np.ndarray, wanted: float) -> int:
    """How many of the groups come nearest to so many rows: at least one, and not all."""
    totals = np.cumsum(sizes)
    return int(np.abs(totals[:-1] - wanted).argmin()) + 1
