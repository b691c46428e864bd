"""A second VAE on the codes."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.distributions import NormalPosterior, NormalPrior
from autoencoders.networks import MLP
from autoencoders.samplers.learned import Learned

START_STD = 0.1  # of the decoder, for standardised codes
SPEED = 10  # of its logarithm in training, against weights: Adam moves each number by lr at most


class TwoStage(Learned):
    """A VAE whose data are the codes: Dai & Wipf 2019 (arXiv 1903.05789), section 4.

    Its own codes u have as many dimensions as z and come close to N(0, I). A draw decodes u ~ N(0,
    I) and adds noise of the decoder's learned standard deviation.

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
        return vae.decoder(u) + vae.log_std.exp() * noise


class SecondVAE(nn.Module):
    """Maximises E log N(z; G(u), s^2 I) - KL(Q(u|z) || N(0, I)), s being a weight too.

    Normal codes are as likely at any s below 1. So s starts small: a VAE that starts with much
    noise keeps it, and u tells nothing.
    """

    def __init__(self, mlp: MLP, latent_dim: int) -> None:
        super().__init__()
        self.prior = NormalPrior(latent_dim, 1.0)
        self.encoder = mlp.encoder((latent_dim,), NormalPosterior.heads * latent_dim)
        self.decoder = mlp.decoder(latent_dim, (latent_dim,))
        self.slow_log_std = nn.Parameter(torch.tensor(START_STD).log() / SPEED)

    @property
    def log_std(self) -> Tensor:
        """log s."""
        return SPEED * self.slow_log_std

    def forward(self, z: Tensor) -> Tensor:
        """The negative evidence lower bound of z (B, latent_dim) in nats, averaged."""
        posterior = NormalPosterior.of(self.encoder(z))
        u = posterior.draw()
        errors = (z - self.decoder(u)) / self.log_std.exp()
        nats = (errors**2 / 2 + self.log_std + math.log(2 * math.pi) / 2).sum(1)
        return nats.mean() + posterior.kl(self.prior, u)
