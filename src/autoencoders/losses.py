"""Reconstruction costs and the terms of the adversarial game.

Each is summed over an image's or a code's dimensions and averaged over the batch, in nats per
image (squared error: in squared intensities per image, on the same footing in the objective).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Cost = Literal["bce", "mse"]


def reconstruction_cost(cost: Cost, logits: Tensor, x: Tensor) -> Tensor:
    """c(x, x_hat) for x_hat = sigmoid(logits), summed over pixels and averaged over the batch.

    Args:
        cost: `bce`, binary cross-entropy (computed on the logits, so that no pixel's log is of a
            rounded 0), or `mse`, squared error.
        logits: decoder output, (B, C, H, W).
        x: images in [0, 1], (B, C, H, W).

    Returns:
        A scalar.
    """
    if cost == "bce":
        total = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    else:
        total = F.mse_loss(logits.sigmoid(), x, reduction="sum")
    return total / len(x)


def discriminator_loss(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """What D minimises: -[log D(z) + log(1 - D(Q(x)))], z drawn from the prior.

    Goodfellow et al. 2014 (arXiv 1406.2661), equation 1. -log sigmoid(a) = softplus(-a) keeps the
    digits that log(sigmoid(a)) loses.

    Args:
        prior_logits: D's logits of draws from the prior, (B,).
        code_logits: D's logits of encoded images, (B,).

    Returns:
        A scalar, nats; 2 log 2 where D cannot tell them apart.
    """
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def adversarial_penalty(code_logits: Tensor) -> Tensor:
    """What the encoder minimises: -log D(Q(x)), the non-saturating form (Tolstikhin et al. 2018,
    arXiv 1711.01558, algorithm 1).

    Args:
        code_logits: D's logits of encoded images, (B,).

    Returns:
        A scalar, nats; log 2 where D cannot tell codes from the prior.
    """
    return F.softplus(-code_logits).mean()


def discriminator_accuracy(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """Share of prior draws and codes, (B,) logits each, that D places right; 0.5 when fooled."""
    right = torch.cat([prior_logits > 0, code_logits <= 0])
    return right.float().mean()
