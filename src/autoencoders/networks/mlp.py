"""Multilayer perceptrons, for data of any shape."""

import itertools
import math
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn

from autoencoders.networks.base import Size


class MLP(BaseModel, frozen=True, extra="forbid"):
    """Hidden layers of equal width: linear, normalization, ReLU, dropout.

    Args:
        hidden_dim: the width.
        layers: hidden layers, in the encoder and in the decoder.
        norm: `batch` or `layer` normalization, or `none`.
        dropout: the share of activations that training drops.
    """

    hidden_dim: Size = 256
    layers: PositiveInt = 2
    norm: Literal["batch", "layer", "none"] = "batch"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def encoder(self, shape: tuple[int, ...], out_dim: int) -> nn.Module:
        return Perceptron(shape, self._hidden(math.prod(shape)), (out_dim,), self.hidden_dim)

    def decoder(self, latent_dim: int, shape: tuple[int, ...]) -> nn.Module:
        return Perceptron((latent_dim,), self._hidden(latent_dim), shape, self.hidden_dim)

    def _hidden(self, in_dim: int) -> list[nn.Module]:
        sizes = [in_dim, *[self.hidden_dim] * self.layers]
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}
        return [
            layer
            for n_in, n_out in itertools.pairwise(sizes)
            for layer in (
                nn.Linear(n_in, n_out),
                norms[self.norm](n_out),
                nn.ReLU(),
                nn.Dropout(self.dropout),
            )
        ]


class Perceptron(nn.Module):
    """(B, *in_shape) -> (B, *out_shape) through hidden layers and a linear one."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        hidden: list[nn.Module],
        out_shape: tuple[int, ...],
        hidden_dim: int,
    ) -> None:
        super().__init__()
        self.in_shape = in_shape
        self.out_shape = out_shape
        self.layers = nn.Sequential(*hidden, nn.Linear(hidden_dim, math.prod(out_shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).unflatten(1, self.out_shape).to(x.dtype)
