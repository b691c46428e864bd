"""The networks of Tolstikhin et al. 2018 (arXiv 1711.01558, appendix D) for MNIST.

h = `hidden_dim` = 128 gives the published widths: 128-256-512-1024 and 1024-512-256. They were
written in TensorFlow, whose padding is called SAME: a layer of stride s makes ceil(size / s) pixels
a side, with the odd zero at the end.
"""

import itertools
import math

from pydantic import BaseModel
from torch import Tensor, nn

from autoencoders.networks.base import Size, channels_and_size
from autoencoders.networks.tutorial import grow


class Paper(BaseModel, frozen=True, extra="forbid"):
    """Four convolutions that halve the image; a linear layer, two transposed convolutions that
    double it and one that keeps its size.

    Args:
        hidden_dim: channels after the first convolution; the next have 2, 4 and 8 times as many.

    Raises:
        InputError: images that are not square, or no multiple of 4 pixels a side.
    """

    hidden_dim: Size = 128

    def encoder(self, shape: tuple[int, ...], out_dim: int) -> nn.Module:
        channels, size = channels_and_size(shape, "paper", 4, 4)
        return PaperEncoder(channels, size, self.hidden_dim, out_dim)

    def decoder(self, latent_dim: int, shape: tuple[int, ...]) -> nn.Module:
        channels, size = channels_and_size(shape, "paper", 4, 4)
        return PaperDecoder(channels, size, self.hidden_dim, latent_dim)


class PaperEncoder(nn.Module):
    """x (B, channels, size, size) -> (B, out_dim)."""

    def __init__(self, channels: int, size: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        widths = [channels, *(hidden_dim * 2**i for i in range(4))]
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(widths):  # 28 -> 14 -> 7 -> 4 -> 2
            layers.append(halve_same(n_in, n_out, size))
            size = math.ceil(size / 2)
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(8 * hidden_dim * size**2, out_dim)  # from 4,096 for MNIST

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1)).to(x.dtype)


class PaperDecoder(nn.Module):
    """z (B, latent_dim) -> logits (B, channels, size, size).

    The last layer, a transposed convolution of stride 1 and SAME padding, is written as the
    convolution that it equals (its kernel flipped).
    """

    def __init__(self, channels: int, size: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        h, start = hidden_dim, size // 4
        self.project = nn.Sequential(
            nn.Linear(latent_dim, 8 * h * start**2),
            nn.ReLU(),
            nn.Unflatten(1, (8 * h, start, start)),
        )
        self.upsample = nn.Sequential(
            *grow(8 * h, 4 * h, stride=2, padding=1),  # 7 -> 14 pixels a side
            *grow(4 * h, 2 * h, stride=2, padding=1),  # -> 28
            nn.ZeroPad2d((2, 1, 2, 1)),
            nn.Conv2d(2 * h, channels, 4),  # 28
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.upsample(self.project(z)).to(z.dtype)


def halve_same(n_in: int, n_out: int, size: int) -> nn.Sequential:
    """(B, n_in, size, size) -> (B, n_out, ceil(size / 2), ceil(size / 2))."""
    zeros = 2 * (math.ceil(size / 2) - 1) + 4 - size
    before, after = zeros // 2, zeros - zeros // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(n_in, n_out, 4, stride=2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )
