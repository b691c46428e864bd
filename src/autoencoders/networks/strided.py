"""Strided convolutions for square images of any size, such as 64x64 in colour."""

import itertools

from pydantic import BaseModel
from torch import Tensor, nn

from autoencoders.networks.base import Size, channels_and_size
from autoencoders.networks.tutorial import grow, halve

SMALLEST = 7  # pixels a side, at most, where halving ends
WIDEST = 8  # times hidden_dim


class Strided(BaseModel, frozen=True, extra="forbid"):
    """Convolutions of stride 2 that halve the image down to 4 to 7 pixels a side, or to an odd
    size; a linear layer and transposed convolutions of stride 2 back.

    The layout is DCGAN's (Radford et al. 2016, arXiv 1511.06434), at a fraction of its width.

    Args:
        hidden_dim: channels after the first convolution; each next has twice as many, up to 8
            times.

    Raises:
        InputError: images that are not square, or no multiple of 4 pixels a side, or below 8.
    """

    hidden_dim: Size = 32

    def encoder(self, shape: tuple[int, ...], out_dim: int) -> nn.Module:
        return StridedEncoder(*channels_and_size(shape, "strided", 8, 4), self.hidden_dim, out_dim)

    def decoder(self, latent_dim: int, shape: tuple[int, ...]) -> nn.Module:
        channels, size = channels_and_size(shape, "strided", 8, 4)
        return StridedDecoder(channels, size, self.hidden_dim, latent_dim)


class StridedEncoder(nn.Module):
    """x (B, channels, size, size) -> (B, out_dim)."""

    def __init__(self, channels: int, size: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        widths, end = widths_and_end(size, hidden_dim)
        pairs = enumerate(itertools.pairwise([channels, *widths]))
        # 64 -> 32 -> 16 -> 8 -> 4 pixels a side
        self.features = nn.Sequential(*(halve(*pair, normalise=i > 0) for i, pair in pairs))
        self.head = nn.Linear(widths[-1] * end**2, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1)).to(x.dtype)


class StridedDecoder(nn.Module):
    """z (B, latent_dim) -> logits (B, channels, size, size)."""

    def __init__(self, channels: int, size: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        widths, start = widths_and_end(size, hidden_dim)
        widths.reverse()
        self.project = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * start**2),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], start, start)),
        )
        double = [layer for pair in itertools.pairwise(widths) for layer in grow(*pair, 2, 1)]
        self.upsample = nn.Sequential(  # 4 -> 8 -> 16 -> 32 -> 64 pixels a side
            *double, nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.upsample(self.project(z)).to(z.dtype)


def widths_and_end(size: int, hidden_dim: int) -> tuple[list[int], int]:
    """The channels after each halving, and the pixels a side after the last."""
    widths: list[int] = []
    while size > SMALLEST and size % 2 == 0:
        widths.append(hidden_dim * min(2 ** len(widths), WIDEST))
        size //= 2
    return widths, size
