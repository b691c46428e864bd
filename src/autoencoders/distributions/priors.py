"""Priors over codes."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Normal
from typing_extensions import Self

BLOCK = 512  # codes whose distance from each component is held at once


class Prior(Protocol):
    """P_z, of codes (latent_dim,).

    Whoever needs its density, its scale or its file asks it, and assumes no N(0, std^2 I).

    latent_dim: dimensions of a code.
    scale: the unit in which codes are measured: the root mean square, over dimensions, of its
        standard deviations.
    """

    @property
    def latent_dim(self) -> int: ...

    @property
    def scale(self) -> float: ...

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """n codes, (n, latent_dim), on `device`.

        A generator draws on its own device, so that a CPU generator's codes are the same anywhere.
        """
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,), in their precision."""
        ...

    def frozen(self) -> "Prior":
        """The prior as it is now, without gradients and without the model that it may be a part
        of."""
        ...


class NormalPrior:
    """P_z = N(0, std^2 I).

    Args:
        latent_dim: dimensions of a code.
        std: sigma.
    """

    def __init__(self, latent_dim: int, std: float = 1.0) -> None:
        self.latent_dim = latent_dim
        self.std = std

    @property
    def scale(self) -> float:
        return self.std

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        home = generator.device if generator else device
        z = torch.randn(n, self.latent_dim, generator=generator, device=home)
        return self.std * z.to(device)

    def log_prob(self, z: Tensor) -> Tensor:
        return Normal(0.0, self.std).log_prob(z).sum(1)

    def frozen(self) -> Self:
        return self


class MixturePrior:
    """P_z = 1/K sum over k of N(means[k], diag(exp(log_vars[k]))), K components of equal weight.

    Args:
        means, log_vars: (K, latent_dim).
    """

    def __init__(self, means: Tensor, log_vars: Tensor) -> None:
        self.means = means
        self.log_vars = log_vars

    @property
    def latent_dim(self) -> int:
        return self.means.shape[1]

    @property
    def scale(self) -> float:
        # The law of total variance, of each dimension.
        variances = self.log_vars.exp().mean(0) + self.means.var(0, correction=0)
        return variances.mean().sqrt().item()

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        home = generator.device if generator else self.means.device
        chosen = torch.randint(len(self.means), (n,), generator=generator, device=home)
        noise = torch.randn(n, self.latent_dim, generator=generator, device=home)
        means, stds = self.means[chosen], (self.log_vars[chosen] / 2).exp()
        return (means + stds * noise.to(means)).to(device or home)

    def log_prob(self, z: Tensor) -> Tensor:
        means, log_vars = self.means.to(z), self.log_vars.to(z)
        return torch.cat([self._log_prob(block, means, log_vars) for block in z.split(BLOCK)])

    @staticmethod
    def _log_prob(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
        squares = (z[:, None] - means) ** 2 / log_vars.exp()  # (B, K, latent_dim)
        log_probs = -0.5 * (squares + log_vars + math.log(2 * math.pi)).sum(2)
        return log_probs.logsumexp(1) - math.log(len(means))

    def frozen(self) -> "MixturePrior":
        means, log_vars = (part.detach().clone() for part in (self.means, self.log_vars))
        return MixturePrior(means.contiguous(), log_vars.contiguous())
