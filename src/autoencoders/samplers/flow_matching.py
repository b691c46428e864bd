"""A velocity field that carries draws of a mixture to codes."""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from autoencoders.networks import MLP
from autoencoders.samplers.learned import Learned
from autoencoders.samplers.mixture import expectation_maximisation, log_joint_weights, monomials

FREQUENCIES = 4  # of the features of time


class FlowMatching(Learned):
    """Flow matching along straight paths: Lipman et al. 2023 (arXiv 2210.02747), section 4.1, with
    a Gaussian mixture in the place of the noise.

    A network v(x, t) learns the velocity of x_t = (1 - t) start + t code, which is code - start. A
    draw starts as the mixture's at t = 0 and follows v to t = 1. In training the start of a code's
    path is a draw of the component that the code belongs to: over all codes that is the mixture
    again, and paths are short (Albergo et al. 2023, arXiv 2310.03725, call it a data-dependent
    coupling). Before training v is 0 everywhere, so that what it learns adds to the mixture.

    Args:
        components: of the mixture, no more than there are codes; 1 makes it a normal distribution.
        steps: of the midpoint rule, two evaluations of the network each.
        common: what every learned sampler takes, see `Learned`.
    """

    components: PositiveInt = 100
    steps: PositiveInt = 20

    def build(self, latent_dim: int) -> nn.Module:
        mlp = MLP(hidden_dim=self.hidden_dim, layers=self.layers, norm="none")
        return VelocityField(mlp, latent_dim, self.components)

    def prepare(self, network: nn.Module, x: Tensor) -> None:
        assert isinstance(network, VelocityField)
        network.fit_start(x)

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(network, VelocityField)
        start, t = network.start_of(x), torch.rand(len(x), 1)
        return (network(torch.lerp(start, x, t), t) - (x - start)).square().sum(1).mean()

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        field = self._network
        assert isinstance(field, VelocityField)
        x = field.start(n, generator)
        dt = 1 / self.steps
        for step in range(self.steps):
            t = torch.full((n, 1), step * dt)
            middle = x + dt / 2 * field(x, t)
            x = x + dt * field(middle, t + dt / 2)
        return x


class VelocityField(nn.Module):
    """v(x, t) of x (B, latent_dim) and t (B, 1), (B, latent_dim), and the mixture of K components
    that it begins at.

    Attributes:
        weights: (K,); means: (K, latent_dim); roots: of the covariances, (K, latent_dim,
            latent_dim); joint: what makes log w_k + log N(x; m_k, C_k) of x's monomials, (K,
            monomials).
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
        of_x = monomials(torch.zeros(1, latent_dim)).shape[1]
        self.register_buffer("weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("roots", torch.zeros(components, latent_dim, latent_dim))
        self.register_buffer("joint", torch.zeros(components, of_x))
        self.joint[:, 0] = -math.inf

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = math.pi * t * torch.arange(1, FREQUENCIES + 1)
        return self.network(torch.cat([x, angles.cos(), angles.sin()], 1))

    def fit_start(self, x: Tensor) -> None:
        """Fit the mixture to standardised codes (N, latent_dim), in random order."""
        k = min(len(self.weights), len(x))  # what is beyond keeps the weight 0
        mixture = expectation_maximisation(x.double(), k, seed=0)
        self.weights[:k] = mixture.weights
        self.means[:k] = mixture.means
        self.roots[:k] = torch.linalg.cholesky(mixture.covariances)
        self.joint[:k] = log_joint_weights(mixture)

    def start(self, n: int, generator: torch.Generator | None) -> Tensor:
        """n draws of the mixture, (n, latent_dim)."""
        k = self.weights.multinomial(n, replacement=True, generator=generator)
        return self._of_components(k, generator)

    def start_of(self, x: Tensor) -> Tensor:
        """For each of x (B, latent_dim) a draw of a component that it may belong to."""
        belongs = (monomials(x) @ self.joint.T).softmax(1)  # (B, K)
        return self._of_components(belongs.multinomial(1).squeeze(1))

    def _of_components(self, k: Tensor, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(len(k), self.means.shape[1], 1, generator=generator)
        return self.means[k] + (self.roots[k] @ noise).squeeze(2)
