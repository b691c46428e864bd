"""The first principal components of the training set: features that any data has."""

import hashlib

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.data import to_floats
from autoencoders.features.base import Extractor, Features
from autoencoders.metrics.base import Quantity

COMPONENTS = 50
HELD = 0.5  # the least share of its variance that a component must keep on other examples
BATCH = 500  # in float64, 50 MB of 64x64 in colour


class PCA(Extractor):
    """Coordinates along the training set's first 50 principal components, in the data's units, not
    whitened.

    Fewer where the data have fewer dimensions, or too few examples to tell components from noise:
    those would spread training examples further than others, so that real ones would seem to differ
    from real ones.
    """

    distance = Quantity("fd_pca", "FD-PCA", "lower")

    def fit(self, train: Tensor) -> Self:
        from sklearn.decomposition import PCA as Decomposition  # takes a second

        # A file may list two kinds in turn, and every other example must be a random half.
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(train)))
        x = to_floats(train[order]).flatten(1).double().numpy()
        mean = x.mean(0)
        x -= mean  # before the squares, in which a large mean would leave no digits
        with np.errstate(invalid="ignore"):  # shares of a variance of 0, which nobody needs
            k = _meaningful(x, min(COMPONENTS, *x.shape))
            pca = Decomposition(k, random_state=0).fit(x)
        self.mean = torch.from_numpy(mean)
        self.components = torch.from_numpy(pca.components_)  # (k, dimensions)
        self.fingerprint = (
            f"pca-{k}-{hashlib.sha256(train.contiguous().numpy().data).hexdigest()[:16]}"
        )
        return self

    def extract(self, values: Tensor) -> Features:
        batches = [to_floats(batch).flatten(1).double() for batch in values.cpu().split(BATCH)]
        return Features(torch.cat([(x - self.mean) @ self.components.T for x in batches]))


def _meaningful(x: np.ndarray, most: int) -> int:
    """How many of the first components of every other example have at least half as much variance
    on the rest; at least 1, at most `most`."""
    from sklearn.decomposition import PCA as Decomposition

    fitted, others = x[::2], x[1::2]
    if len(others) < 2:
        return most
    pca = Decomposition(min(most, len(fitted)), random_state=0).fit(fitted)
    own, held = (pca.transform(part).var(0) for part in (fitted, others))
    lost = np.flatnonzero(held < HELD * own)
    return max(int(lost[0]), 1) if len(lost) else most
