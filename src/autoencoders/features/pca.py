"""The first principal components of the training set: features that any data has."""

import hashlib

import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.data import to_floats
from autoencoders.features.base import Extractor, Features
from autoencoders.metrics.base import Quantity

COMPONENTS = 50
BATCH = 5000


class PCA(Extractor):
    """Coordinates along the training set's first 50 principal components, or fewer where the data
    have fewer dimensions; in the data's units, not whitened."""

    distance = Quantity("fd_pca", "FD-PCA", "lower")

    def fit(self, train: Tensor) -> Self:
        from sklearn.decomposition import PCA as Decomposition  # takes a second

        x = to_floats(train).flatten(1).double()
        k = min(COMPONENTS, *x.shape)
        pca = Decomposition(k, random_state=0).fit(x.numpy())
        self.mean = torch.from_numpy(pca.mean_)
        self.components = torch.from_numpy(pca.components_)  # (k, dimensions)
        self.fingerprint = f"pca-{k}-{hashlib.sha256(train.numpy().tobytes()).hexdigest()[:16]}"
        return self

    def extract(self, values: Tensor) -> Features:
        batches = [to_floats(batch).flatten(1).double() for batch in values.cpu().split(BATCH)]
        return Features(torch.cat([(x - self.mean) @ self.components.T for x in batches]))
