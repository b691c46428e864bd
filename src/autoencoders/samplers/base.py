"""What a sampler is."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.distributions import Prior


class SupportsDraw(Protocol):
    """Draws codes; all that `model.sample` asks for."""

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n codes, (n, latent_dim)."""
        ...


@runtime_checkable
class Sampler(SupportsDraw, Protocol):
    """Draws codes after it was fitted, and is saved with the run."""

    def fit(self, codes: Tensor, prior: Prior, seed: int = 0, labels: Tensor | None = None) -> Self:
        """Fit on the training set's codes, (N, latent_dim), and their labels, (N,)."""
        ...

    def save(self, path: Path) -> None:
        """Write a safetensors file, which `load` reads."""
        ...

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read it back; raises ValueError where the file holds anything else."""
        ...


@runtime_checkable
class Density(Protocol):
    """A sampler that knows how likely codes are."""

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,)."""
        ...


@runtime_checkable
class ClassSampler(SupportsDraw, Protocol):
    """A sampler that can draw codes of one class."""

    @property
    def labels(self) -> list[int]:
        """Of the classes that it was fitted on."""
        ...

    def of_class(self, label: int) -> SupportsDraw:
        """What draws codes of one class; raises ValueError where there is no such class."""
        ...
