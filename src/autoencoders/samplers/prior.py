"""The model's own prior."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.distributions import Normal
from typing_extensions import Self

from autoencoders.distributions import NormalPrior
from autoencoders.files import write_whole
from autoencoders.samplers.files import checked, require_draws


class Prior:
    """Draws from P_z = N(0, sigma^2 I), whatever the codes are."""

    prior: NormalPrior

    @property
    def latent_dim(self) -> int:
        return self.prior.latent_dim

    def fit(
        self, codes: Tensor, prior: NormalPrior, seed: int = 0, labels: Tensor | None = None
    ) -> Self:
        self.prior = prior
        return self

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.prior.draw(n, generator)

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,)."""
        return Normal(0.0, self.prior.std).log_prob(codes.cpu().double()).sum(1)

    def save(self, path: Path) -> None:
        std = torch.full((self.latent_dim,), self.prior.std, dtype=torch.float64)
        write_whole(path, save({"std": std}))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        std = checked(load_file(path), {"std": ("latent_dim",)})["std"]
        if std[0] <= 0 or (std != std[0]).any():
            raise ValueError("std must be above 0 and the same in all dimensions")
        sampler = cls()
        sampler.prior = NormalPrior(len(std), std[0].item())
        require_draws(sampler)
        return sampler
