"""Encoders, decoders and the latent discriminator: tensors in, tensors out.

What leaves a network has the precision of what entered it, so that losses are computed in full
precision also where autocast computes the layers in bfloat16.

Two architectures, told apart by one argument and sized by `hidden_dim` (h):

`tutorial`
    The WAE tutorial's networks, h = 40 there.
`paper`
    Those of the MNIST experiment of Tolstikhin et al. 2018 (arXiv 1711.01558, appendix D), where
    h = 128 gives the published widths: 128-256-512-1024, 1024-512-256 and 4 x 512.
"""

import itertools
from typing import Literal

from torch import Tensor, nn

Architecture = Literal["tutorial", "paper"]


class Encoder(nn.Module):
    """Four 4x4 convolutions of stride 2 and a linear head.

    Shapes: images (B, channels, image_size, image_size) -> (B, out_dim).

    Raises:
        ValueError: `image_size` below 16, for which four halvings leave nothing.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        hidden_dim: int,
        out_dim: int,
        architecture: Architecture = "tutorial",
    ) -> None:
        super().__init__()
        if image_size < 16:
            raise ValueError(f"image_size={image_size}: the encoder needs at least 16")
        h = hidden_dim
        self.features = nn.Sequential(  # 28 -> 14 -> 7 -> 3 -> 1 pixels a side
            _halve(channels, h, normalise=architecture == "paper"),
            _halve(h, 2 * h),
            _halve(2 * h, 4 * h),
            _halve(4 * h, 8 * h),
        )
        self.head = nn.Linear(8 * h * (image_size // 16) ** 2, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1)).to(x.dtype)


class Decoder(nn.Module):
    """A linear layer and three 4x4 transposed convolutions, from codes to logits.

    Shapes: codes (B, latent_dim) -> logits (B, channels, image_size, image_size). A sigmoid of
    the logits is the image.

    The tutorial grows 7x7 maps by 3 pixels twice and doubles them last; the paper doubles twice
    and keeps the size last. That last layer, a transposed convolution of stride 1 and padding
    "same", is written as the convolution that it equals (its kernel flipped).

    Raises:
        ValueError: an `image_size` that the architecture's strides cannot reach.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        hidden_dim: int,
        latent_dim: int,
        architecture: Architecture = "tutorial",
    ) -> None:
        super().__init__()
        h = hidden_dim
        if architecture == "tutorial":
            if image_size < 16 or image_size % 2:
                raise ValueError(
                    f"image_size={image_size}: the tutorial's decoder makes even sizes from 16"
                )
            start = (image_size - 14) // 2  # the inverse of 2 * (start + 3 + 3) + 2
            upsample = [
                *_grow(8 * h, 4 * h, stride=1, padding=0),
                *_grow(4 * h, 2 * h, stride=1, padding=0),
                nn.ConvTranspose2d(2 * h, channels, 4, stride=2),
            ]
        else:
            if image_size % 4:
                raise ValueError(
                    f"image_size={image_size}: the paper's decoder makes multiples of 4"
                )
            start = image_size // 4
            upsample = [
                *_grow(8 * h, 4 * h, stride=2, padding=1),
                *_grow(4 * h, 2 * h, stride=2, padding=1),
                nn.ZeroPad2d((2, 1, 2, 1)),
                nn.Conv2d(2 * h, channels, 4),
            ]
        self.project = nn.Sequential(
            nn.Linear(latent_dim, 8 * h * start**2),
            nn.ReLU(),
            nn.Unflatten(1, (8 * h, start, start)),
        )
        self.upsample = nn.Sequential(*upsample)

    def forward(self, z: Tensor) -> Tensor:
        return self.upsample(self.project(z)).to(z.dtype)


class Discriminator(nn.Module):
    """Tells codes drawn from the prior from encoded images: four hidden layers, one logit.

    Shapes: codes (B, latent_dim) -> logits (B,), positive where "from the prior" is likelier.
    """

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        super().__init__()
        width = 4 * hidden_dim
        sizes = [latent_dim, width, width, width, width]
        hidden = [
            layer
            for n_in, n_out in itertools.pairwise(sizes)
            for layer in (nn.Linear(n_in, n_out), nn.ReLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).flatten().to(z.dtype)


def _halve(n_in: int, n_out: int, normalise: bool = True) -> nn.Sequential:
    """Halve the size: a convolution without bias, batch normalization, ReLU."""
    conv = nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False)
    norm = [nn.BatchNorm2d(n_out)] if normalise else []
    return nn.Sequential(conv, *norm, nn.ReLU())


def _grow(n_in: int, n_out: int, stride: int, padding: int) -> list[nn.Module]:
    """Grow the size: a transposed convolution, batch normalization, ReLU."""
    conv = nn.ConvTranspose2d(n_in, n_out, 4, stride=stride, padding=padding)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
