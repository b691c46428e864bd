"""The prior over codes, and the posteriors that encoders describe."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from typing_extensions import Self

from autoencoders.divergences import kl_to_prior


class NormalPrior:
    """P_z = N(0, std^2 I).

    Args:
        latent_dim: dimensions of a code.
        std: sigma.
    """

    def __init__(self, latent_dim: int, std: float) -> None:
        self.latent_dim = latent_dim
        self.std = std

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """n codes, (n, latent_dim), on `device`.

        A generator draws on its own device, so that a CPU generator's codes are the same anywhere.
        """
        home = generator.device if generator else device
        z = torch.randn(n, self.latent_dim, generator=generator, device=home)
        return self.std * z.to(device)


class Posterior(Protocol):
    """Q(z|x) for a batch.

    mean: (B, latent_dim).
    heads: how many numbers it takes of the encoder for each latent dimension.
    random: whether two draws differ.
    """

    heads: ClassVar[int]
    random: ClassVar[bool]

    @property
    def mean(self) -> Tensor: ...

    @classmethod
    def of(cls, out: Tensor) -> Self:
        """From an encoder's output, (B, heads * latent_dim)."""
        ...

    def draw(self) -> Tensor:
        """A code for each example, (B, latent_dim)."""
        ...


@dataclass(frozen=True)
class PointPosterior:
    """All mass at one code: a deterministic encoder."""

    mean: Tensor

    heads: ClassVar[int] = 1
    random: ClassVar[bool] = False

    @classmethod
    def of(cls, out: Tensor) -> Self:
        return cls(out)

    def draw(self) -> Tensor:
        return self.mean


@dataclass(frozen=True)
class NormalPosterior:
    """N(mean, exp(log_var)), all dimensions independent."""

    mean: Tensor
    log_var: Tensor

    heads: ClassVar[int] = 2
    random: ClassVar[bool] = True

    @classmethod
    def of(cls, out: Tensor) -> Self:
        mean, log_var = out.chunk(2, dim=1)
        return cls(mean, log_var)

    def draw(self) -> Tensor:
        """mean + exp(log_var / 2) eps, eps ~ N(0, I).

        The reparameterization trick (Kingma & Welling 2014, arXiv 1312.6114): the draw is a
        function of mean and log_var, so that gradients reach both.
        """
        return self.mean + (self.log_var / 2).exp() * torch.randn_like(self.mean)

    def kl(self, prior: NormalPrior) -> Tensor:
        """KL(Q(z|x) || P_z) in nats, averaged over the batch: a scalar."""
        return kl_to_prior(self.mean, self.log_var, prior.std)
