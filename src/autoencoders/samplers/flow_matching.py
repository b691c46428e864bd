"""A velocity field that carries normal noise to codes."""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from autoencoders.networks import MLP
from autoencoders.samplers.learned import Learned

FREQUENCIES = 4  # of the features of time


class FlowMatching(Learned):
    """Flow matching along straight paths: Lipman et al. 2023 (arXiv 2210.02747), section 4.1.

    A network v(x, t) learns the velocity of x_t = (1 - t) noise + t code, which is code - noise. A
    draw starts as noise at t = 0 and follows v to t = 1.

    Args:
        steps: of the midpoint rule, two evaluations of the network each.
        common: what every learned sampler takes, see `Learned`.
    """

    steps: PositiveInt = 20

    def build(self, latent_dim: int) -> nn.Module:
        mlp = MLP(hidden_dim=self.hidden_dim, layers=self.layers, norm="none")
        return mlp.encoder((latent_dim + 2 * FREQUENCIES,), latent_dim)

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        noise, t = torch.randn_like(x), torch.rand(len(x), 1)
        x_t = torch.lerp(noise, x, t)
        return (velocity(network, x_t, t) - (x - noise)).square().sum(1).mean()

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        x = torch.randn(n, len(self._centre), generator=generator)
        dt = 1 / self.steps
        for step in range(self.steps):
            t = torch.full((n, 1), step * dt)
            middle = x + dt / 2 * velocity(self._network, x, t)
            x = x + dt * velocity(self._network, middle, t + dt / 2)
        return x


def velocity(network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """v(x, t) of x (B, latent_dim) and t (B, 1), (B, latent_dim)."""
    angles = math.pi * t * torch.arange(1, FREQUENCIES + 1)
    return network(torch.cat([x, angles.cos(), angles.sin()], 1))
