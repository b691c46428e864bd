"""A second VAE on the codes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.distributions import NormalPosterior, NormalPrior
from autoencoders.networks import MLP
from autoencoders.samplers.learned import Learned

LEAST_VARIANCE = 1e-6  # of standardised codes


class TwoStage(Learned):
    """A VAE whose data are the codes: Dai & Wipf 2019 (arXiv 1903.05789), section 4.

    Its own codes u have as many dimensions as z and come close to N(0, I). A draw decodes u ~ N(0,
    I) and adds the noise that the decoder leaves.

    Args:
        common: what every learned sampler takes, see `Learned`.
    """

    def build(self, latent_dim: int) -> nn.Module:
        return SecondVAE(
            MLP(hidden_dim=self.hidden_dim, layers=self.layers, norm="none"), latent_dim
        )

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        return network(x)

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        u, noise = torch.randn(2, n, len(self._centre), generator=generator)
        vae: Any = self._network
        return vae.decoder(u) + vae.std * noise


class SecondVAE(nn.Module):
    """Maximises E log N(z; G(u), s^2 I) - KL(Q(u|z) || N(0, I)).

    s^2 is what fits the codes at hand best, their mean squared error: Rybkin et al. 2021 (arXiv
    2006.13202).
    """

    std: Tensor  # s of the codes that came last: those held out

    def __init__(self, mlp: MLP, latent_dim: int) -> None:
        super().__init__()
        self.prior = NormalPrior(latent_dim, 1.0)
        self.encoder = mlp.encoder((latent_dim,), NormalPosterior.heads * latent_dim)
        self.decoder = mlp.decoder(latent_dim, (latent_dim,))
        self.register_buffer("std", torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        """The negative evidence lower bound of z (B, latent_dim) in nats, averaged."""
        posterior = NormalPosterior.of(self.encoder(z))
        variance = (z - self.decoder(posterior.draw())).square().mean().clamp_min(LEAST_VARIANCE)
        self.std.copy_(variance.detach().sqrt())
        nats = z.shape[1] / 2 * (variance.log() + 1 + math.log(2 * math.pi))
        return nats + posterior.kl(self.prior)
