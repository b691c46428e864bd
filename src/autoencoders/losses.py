"""Reconstruction costs and the terms of the adversarial game.

Each is summed over an example's or a code's dimensions and averaged over the batch, in nats per
example (squared error: in squared units of the data, on the same footing in the objective).

A cost owns the decoder's output: what its logits mean in the data's space, and the loss.
"""

import math
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Cost(Protocol):
    """c(x, x_hat), for x_hat = mean(logits).

    heads: how many numbers it takes of the decoder for each dimension: the decoder's output has so
        many times the channels, or features, of the data.
    """

    heads: ClassVar[int]

    def mean(self, logits: Tensor) -> Tensor:
        """Decoder output (B, heads * C, ...) -> x_hat (B, C, ...)."""
        ...

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        """Decoder output (B, heads * C, ...) and data (B, C, ...) -> a scalar."""
        ...


class SquaredError:
    """|x - x_hat|^2.

    Args:
        bounded: whether data lie in [0, 1], to which a sigmoid then brings the logits.
    """

    heads: ClassVar[int] = 1

    def __init__(self, bounded: bool = True) -> None:
        self.bounded = bounded

    def mean(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.bounded else logits

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        return F.mse_loss(self.mean(logits), x, reduction="sum") / len(x)


class OptimalSigma(SquaredError):
    """The negative log-likelihood, in nats, of a Gaussian around x_hat whose variance, shared by
    all dimensions, is the best one for the batch: its mean squared error.

    D/2 (log(2 pi mse) + 1), D dimensions: Rybkin et al. 2021 (arXiv 2006.13202), section 4. It may
    be below 0. Weights beside it mean the same on every data set.
    """

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        mse = F.mse_loss(self.mean(logits), x).clamp_min(1e-8)
        return x[0].numel() / 2 * ((2 * math.pi * mse).log() + 1)


def discriminator_loss(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """What D minimises: -[log D(z) + log(1 - D(Q(x)))], z drawn from the prior.

    Goodfellow et al. 2014 (arXiv 1406.2661), equation 1. -log sigmoid(a) = softplus(-a) keeps the
    digits that log(sigmoid(a)) loses.

    Args:
        prior_logits: D's logits of draws from the prior, (B,).
        code_logits: D's logits of encoded data, (B,).

    Returns:
        A scalar, nats; 2 log 2 where D cannot tell them apart.
    """
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def adversarial_penalty(code_logits: Tensor) -> Tensor:
    """What the encoder minimises: -log D(Q(x)), the non-saturating form (Tolstikhin et al. 2018,
    arXiv 1711.01558, algorithm 1).

    Args:
        code_logits: D's logits of encoded data, (B,).

    Returns:
        A scalar, nats; log 2 where D cannot tell codes from the prior.
    """
    return F.softplus(-code_logits).mean()


def discriminator_accuracy(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """Share of prior draws and codes, (B,) logits each, that D places right; 0.5 when fooled."""
    right = torch.cat([prior_logits > 0, code_logits <= 0])
    return right.float().mean()
