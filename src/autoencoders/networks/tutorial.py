"""The WAE tutorial's networks for square images: h = `hidden_dim`, 40 there."""

from pydantic import BaseModel
from torch import Tensor, nn

from autoencoders.networks.base import Size, channels_and_size


class Tutorial(BaseModel, frozen=True, extra="forbid"):
    """Four convolutions that halve the image; a linear layer and three transposed convolutions
    that grow it.

    Args:
        hidden_dim: channels after the first convolution; the next have 2, 4 and 8 times as many.

    Raises:
        InputError: images that are not square, or of an odd size or one below 16.
    """

    hidden_dim: Size = 32

    def encoder(self, shape: tuple[int, ...], out_dim: int) -> nn.Module:
        return TutorialEncoder(
            *channels_and_size(shape, "tutorial", 16, 2), self.hidden_dim, out_dim
        )

    def decoder(self, latent_dim: int, shape: tuple[int, ...]) -> nn.Module:
        channels, size = channels_and_size(shape, "tutorial", 16, 2)
        return TutorialDecoder(channels, size, self.hidden_dim, latent_dim)


class TutorialEncoder(nn.Module):
    """x (B, channels, size, size) -> (B, out_dim)."""

    def __init__(self, channels: int, size: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        h = hidden_dim
        self.features = nn.Sequential(
            halve(channels, h, normalise=False),  # 28 -> 14 pixels a side
            halve(h, 2 * h),  # -> 7
            halve(2 * h, 4 * h),  # -> 3
            halve(4 * h, 8 * h),  # -> 1
        )
        self.head = nn.Linear(8 * h * (size // 16) ** 2, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1)).to(x.dtype)


class TutorialDecoder(nn.Module):
    """z (B, latent_dim) -> logits (B, channels, size, size)."""

    def __init__(self, channels: int, size: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        h = hidden_dim
        start = (size - 14) // 2  # the inverse of 2 * (start + 3 + 3) + 2
        upsample = nn.Sequential(
            *grow(8 * h, 4 * h, stride=1, padding=0),  # 7 -> 10 pixels a side
            *grow(4 * h, 2 * h, stride=1, padding=0),  # -> 13
            nn.ConvTranspose2d(2 * h, channels, 4, stride=2),  # -> 28
        )
        self.project = nn.Sequential(
            nn.Linear(latent_dim, 8 * h * start**2),
            nn.ReLU(),
            nn.Unflatten(1, (8 * h, start, start)),
        )
        self.upsample = upsample

    def forward(self, z: Tensor) -> Tensor:
        return self.upsample(self.project(z)).to(z.dtype)


def halve(n_in: int, n_out: int, normalise: bool = True) -> nn.Sequential:
    """(B, n_in, size, size) -> (B, n_out, size // 2, size // 2)."""
    conv = nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False)
    norm = [nn.BatchNorm2d(n_out)] if normalise else []
    return nn.Sequential(conv, *norm, nn.ReLU())


def grow(n_in: int, n_out: int, stride: int, padding: int) -> list[nn.Module]:
    """(B, n_in, size, size) -> (B, n_out, larger, larger)."""
    conv = nn.ConvTranspose2d(n_in, n_out, 4, stride=stride, padding=padding)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
