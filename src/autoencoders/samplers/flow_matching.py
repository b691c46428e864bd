"""A velocity field that carries draws of a mixture to codes."""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from autoencoders.networks import MLP
from autoencoders.samplers.files import require_weights
from autoencoders.samplers.learned import Learned
from autoencoders.samplers.mixture import (
    draw_of_components,
    expectation_maximisation,
    log_joint_weights,
    monomials,
)

FREQUENCIES = 4  # of the features of time


class FlowMatching(Learned):
    """Flow matching along straight paths: Lipman et al. 2023 (arXiv 2210.02747), section 4.1, with
    a Gaussian mixture in the place of the noise.

    A network v(x, t) learns the velocity of x_t = (1 - t) start + t code, which is code - start. A
    draw starts as one of the mixture at t = 0 and follows v to t = 1. In training each code's path
    starts at a draw of the component that the code belongs to. All starts together are draws of the
    mixture again, and the paths are short: a data-dependent coupling (Albergo et al. 2023, arXiv
    2310.03725). Before training v is 0, and draws are the mixture's.

    Args:
        components: of the mixture, no more than there are codes; 1 makes it a normal distribution.
        steps: of the midpoint rule, two evaluations of the network each.
        common: what every learned sampler takes, see `Learned`.
    """

    components: PositiveInt = 100
    steps: PositiveInt = 20

    _network: "VelocityField"

    def build(self, latent_dim: int) -> "VelocityField":
        mlp = MLP(hidden_dim=self.hidden_dim, layers=self.layers, norm="none")
        return VelocityField(mlp, latent_dim, self.components)

    def prepare(self, network: nn.Module, x: Tensor, seed: int) -> None:
        network.fit_start(x, seed)  # type: ignore[operator]

    def check(self, network: nn.Module) -> None:
        weights, roots = network.get_buffer("weights"), network.get_buffer("roots")
        require_weights(weights)
        used = roots[weights > 0]
        if used.triu(1).any() or not (used.diagonal(dim1=1, dim2=2) > 0).all():
            raise ValueError("roots must be lower triangular, with a diagonal above 0")

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        start, t = network.start_of(x), torch.rand(len(x), 1)  # type: ignore[operator]
        return (network(torch.lerp(start, x, t), t) - (x - start)).square().sum(1).mean()

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        x = self._network.start(n, generator)
        dt = 1 / self.steps
        for step in range(self.steps):
            t = torch.full((n, 1), step * dt)
            middle = x + dt / 2 * self._network(x, t)
            x = x + dt * self._network(middle, t + dt / 2)
        return x


class VelocityField(nn.Module):
    """v(x, t) of x (B, latent_dim) and t (B, 1), (B, latent_dim), and the mixture of K components
    where paths start.

    Attributes:
        weights: (K,); means: (K, latent_dim); roots: Cholesky factors of the covariances, (K,
            latent_dim, latent_dim).
        joint: see `log_joint_weights`, (K, monomials); training alone needs it.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor
    joint: Tensor

    def __init__(self, mlp: MLP, latent_dim: int, components: int) -> None:
        super().__init__()
        self.network = mlp.encoder((latent_dim + 2 * FREQUENCIES,), latent_dim)
        *_, last = (m for m in self.network.modules() if isinstance(m, nn.Linear))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("roots", torch.zeros(components, latent_dim, latent_dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = math.pi * t * torch.arange(1, FREQUENCIES + 1)
        return self.network(torch.cat([x, angles.cos(), angles.sin()], 1))

    def fit_start(self, x: Tensor, seed: int) -> None:
        """Fit the mixture to standardised codes (N, latent_dim), in random order."""
        k = min(len(self.weights), len(x))  # further components keep the weight 0
        mixture = expectation_maximisation(x.double(), k, seed)
        self.weights[:k] = mixture.weights
        self.means[:k] = mixture.means
        self.roots[:k] = torch.linalg.cholesky(mixture.covariances)
        self.register_buffer("joint", log_joint_weights(mixture), persistent=False)

    def start(self, n: int, generator: torch.Generator | None) -> Tensor:
        """n draws of the mixture, (n, latent_dim)."""
        k = self.weights.multinomial(n, replacement=True, generator=generator)
        return draw_of_components(k, self.means, self.roots, generator)

    def start_of(self, x: Tensor) -> Tensor:
        """For each of x (B, latent_dim) a draw of a component that it may belong to."""
        # In double precision: near-singular components' weights of monomials cancel.
        belongs = (monomials(x.double()) @ self.joint.T).softmax(1)  # (B, K)
        k = belongs.multinomial(1).squeeze(1)
        return draw_of_components(k, self.means, self.roots)
