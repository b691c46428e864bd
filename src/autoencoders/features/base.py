"""What an extractor is."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import Self

from autoencoders.metrics.base import Quantity

BATCH = 100  # activations that stay in a processor's cache


class Features(NamedTuple):
    """What an extractor sees in N examples.

    values: (N, dimensions), float64.
    classes: (N, classes), the classifier's probabilities; None where it knows no classes.
    """

    values: Tensor
    classes: Tensor | None = None


class Extractor(nn.Module):
    """Turns examples into features.

    Attributes:
        distance: what the Frechet distance on these features is called.
        fingerprint: tells it from others whose numbers do not compare.
    """

    distance: ClassVar[Quantity]
    fingerprint: str
    home: Tensor  # lies where the network computes

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("home", torch.zeros(()), persistent=False)

    def fit(self, train: Tensor) -> Self:
        """Learn what is to be learnt of the training values, (N, *shape); most need nothing."""
        return self

    def extract(self, values: Tensor) -> Features:
        """Examples (N, *shape), as `Examples.values` holds them -> their features, on the CPU."""
        raise NotImplementedError
