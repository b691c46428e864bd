"""What a sampler is."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.distributions import NormalPrior


class Drawing(Protocol):
    """Draws codes; all that `model.sample` asks for."""

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n codes, (n, latent_dim)."""
        ...


@runtime_checkable
class Sampler(Drawing, Protocol):
    """Draws codes after it was fitted, and is saved with the run."""

    def fit(self, codes: Tensor, prior: NormalPrior, seed: int = 0) -> Self:
        """Fit on the training set's codes, (N, latent_dim)."""
        ...

    def save(self, path: Path) -> None:
        """Write a safetensors file, which `load` reads."""
        ...

    @classmethod
    def load(cls, path: Path | str) -> Self: ...
