"""The posteriors that encoders describe."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import Normal
from typing_extensions import Self

from autoencoders.distributions.priors import NormalPrior, Prior
from autoencoders.divergences import kl_to_prior


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

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) in nats of a code for each example, (B, latent_dim) -> (B,)."""
        # Without a check, which would look at the values on the host: a CUDA graph has none.
        normal = Normal(self.mean, (self.log_var / 2).exp(), validate_args=False)
        return normal.log_prob(z).sum(1)

    def kl(self, prior: Prior, z: Tensor) -> Tensor:
        """KL(Q(z|x) || P_z) in nats, averaged over the batch: a scalar.

        In closed form for a NormalPrior, else estimated without bias as log q(z|x) - log p(z).

        Args:
            z: draws from this posterior, (B, latent_dim).
        """
        if isinstance(prior, NormalPrior):
            return kl_to_prior(self.mean, self.log_var, prior.std)
        return (self.log_prob(z) - prior.log_prob(z)).mean()
