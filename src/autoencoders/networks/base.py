"""What a family of networks is."""

from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field
from torch import nn

from autoencoders.errors import InputError

Size = Annotated[int, Field(gt=0, le=2**20)]  # so that torch can count the parameters


@runtime_checkable
class Network(Protocol):
    """A family of networks, sized by its fields."""

    def encoder(self, shape: tuple[int, ...], out_dim: int) -> nn.Module:
        """x (B, *shape) -> (B, out_dim)."""
        ...

    def decoder(self, latent_dim: int, shape: tuple[int, ...]) -> nn.Module:
        """z (B, latent_dim) -> logits (B, *shape); the cost says what they mean."""
        ...


def channels_and_size(
    shape: tuple[int, ...], network: str, least: int, multiple: int
) -> tuple[int, int]:
    """What a convolutional family needs of a shape (C, size, size).

    Raises:
        InputError: it is of another kind than the family makes.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < least or shape[1] % multiple:
        raise InputError(
            f"network={network}: takes square images of {least}, {least + multiple}, ... pixels a"
            f" side; the data set has {' x '.join(map(str, shape))}; network=mlp takes any shape"
        )
    return shape[0], shape[1]
