"""Likelihoods p(x|z): costs of a reconstruction that also have a density and draws."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import Tensor

from autoencoders.losses import Cost, OptimalSigma, SquaredError


class Likelihood(Cost, Protocol):
    """p(x|z), for the decoder's output.

    Its `loss` is -log p(x|z), constants and all, summed over dimensions and averaged over the
    batch.
    """

    def log_prob(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: decoder output (B, ...) and data (B, *shape) -> (B,)."""
        ...

    def sample(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of data: decoder output (B, ...) -> (B, *shape)."""
        ...


class Bernoulli:
    """A Bernoulli variable in each dimension: `cost=bce`, binary cross-entropy of data in [0, 1].

    Of data of zeros and ones log p(x|z) is a probability's; of grey values it is the cross-entropy,
    whose normalising constant (Loaiza-Ganem & Cunningham 2019, arXiv 1907.06845) is left out.
    """

    heads: ClassVar[int] = 1

    def __init__(self, bounded: bool = True) -> None:
        if not bounded:
            raise ValueError("cost=bce: takes data in [0, 1] alone; allowed: mse, sigma")

    def mean(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        # On the logits, so that no pixel's log is of a rounded 0.
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    def log_prob(self, logits: Tensor, x: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return -losses.flatten(1).sum(1)

    def sample(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.bernoulli(logits.sigmoid(), generator=generator)


# By the name that `cost=` has.
COSTS: dict[str, Callable[[bool], Cost]] = {
    "bce": Bernoulli,
    "mse": SquaredError,
    "sigma": OptimalSigma,
}


def make_cost(cost: str | Cost, bounded: bool) -> Cost:
    """The cost of that name, for data in [0, 1] or unbounded ones; one of the user's own as it is.

    Raises:
        ValueError: it does not suit the data.
    """
    return COSTS[cost](bounded) if isinstance(cost, str) else cost


def _known(cost: Any) -> Any:
    if isinstance(cost, str) and cost not in COSTS:
        raise PydanticCustomError("cost", f"no such cost; allowed: {', '.join(COSTS)}")
    if not isinstance(cost, str) and not hasattr(cost, "loss"):
        names = ", ".join(COSTS)
        raise PydanticCustomError("cost", f"neither a name nor a cost, see Cost; allowed: {names}")
    return cost


# What a model's `cost` may be: a name, or a Cost, or what Hydra has made one of.
CostArgument = Annotated[Any, AfterValidator(_known)]
