"""The model's own prior."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import Self

from autoencoders import distributions
from autoencoders.distributions import MixturePrior, NormalPrior
from autoencoders.files import write_whole
from autoencoders.samplers.files import checked, require_draws


class Prior:
    """Draws from the model's P_z, whatever the codes are."""

    prior: distributions.Prior

    @property
    def latent_dim(self) -> int:
        return self.prior.latent_dim

    def fit(
        self,
        codes: Tensor,
        prior: distributions.Prior,
        seed: int = 0,
        labels: Tensor | None = None,
    ) -> Self:
        self.prior = prior.frozen()
        return self

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.prior.draw(n, generator, "cpu")

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,)."""
        return self.prior.log_prob(codes.cpu().double())

    def save(self, path: Path) -> None:
        """Write a normal prior or a mixture; raises ValueError of any other, which has no file."""
        if isinstance(self.prior, NormalPrior):
            std = torch.full((self.latent_dim,), self.prior.std, dtype=torch.float64)
            tensors = {"std": std}
        elif isinstance(self.prior, MixturePrior):
            tensors = {"means": self.prior.means.cpu(), "log_vars": self.prior.log_vars.cpu()}
        else:
            raise ValueError(
                f"a prior of the class {type(self.prior).__name__} has no file: load_run(run).model"
                " draws from it"
            )
        write_whole(path, save(tensors))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        tensors, sampler = load_file(path), cls()
        if "std" in tensors:
            std = checked(tensors, {"std": ("latent_dim",)})["std"]
            if std[0] <= 0 or (std != std[0]).any():
                raise ValueError("std must be above 0 and the same in all dimensions")
            sampler.prior = NormalPrior(len(std), std[0].item())
        else:
            shape = ("components", "latent_dim")
            sampler.prior = MixturePrior(**checked(tensors, {"means": shape, "log_vars": shape}))
        require_draws(sampler)
        return sampler
