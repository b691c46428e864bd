"""A normalizing flow trained on the codes."""

from importlib.util import find_spec
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from autoencoders.errors import InputError, how_to_install
from autoencoders.samplers.learned import Learned


class Flow(Learned):
    """A neural spline flow: Durkan et al. 2019 (arXiv 1906.04032), as zuko has it.

    Codes are an invertible function of normal noise, so that their density is known; training
    maximises it.

    Args:
        transforms: autoregressive transformations, one after another.
        bins: of each spline.
        common: what every learned sampler takes, see `Learned`.

    Raises:
        InputError: zuko is not installed.
    """

    layers: PositiveInt = 2
    epochs: PositiveInt = 40
    transforms: PositiveInt = 3
    bins: PositiveInt = 8

    def model_post_init(self, context: Any) -> None:
        if find_spec("zuko") is None:
            raise InputError(f"a flow needs zuko: {how_to_install('flow')}")

    def build(self, latent_dim: int) -> nn.Module:
        from zuko.flows import NSF  # only who needs it has it

        hidden = [self.hidden_dim] * self.layers
        return NSF(latent_dim, bins=self.bins, transforms=self.transforms, hidden_features=hidden)

    def check(self, network: nn.Module) -> None:
        """Which weights count, and the noise, follow from the settings."""
        built = dict(self.build(self.latent_dim).named_buffers())
        for name, buffer in network.named_buffers():
            if not torch.equal(buffer, built[name]):
                raise ValueError(f"{name} does not follow from the settings")

    def loss(self, network: nn.Module, x: Tensor) -> Tensor:
        return -network().log_prob(x).mean()

    def generate(self, n: int, generator: torch.Generator | None) -> Tensor:
        noise = torch.randn(n, len(self._centre), generator=generator)
        return self._network().transform.inv(noise)

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,)."""
        with torch.no_grad():
            return self._network().log_prob(self._standardised(codes)) - self._scale.log().sum()
