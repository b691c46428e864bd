"""Distances between the encoder's codes and the prior P_z = N(0, sigma^2 I)."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["imq", "rbf"]

KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kl_to_prior(mean: Tensor, log_var: Tensor, prior_std: float = 1.0) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, prior_std^2 I)) in nats, in closed form.

    Kingma & Welling 2014 (arXiv 1312.6114), appendix B, for any prior_std.

    Args:
        mean, log_var: the posterior's, (B, latent_dim).

    Returns:
        A scalar: summed over latent dimensions, averaged over the batch; 0 where they agree.
    """
    log_ratio = log_var - 2 * math.log(prior_std)
    kl = 0.5 * (log_ratio.exp() + (mean / prior_std) ** 2 - 1 - log_ratio)
    return kl.sum(1).mean()


def mmd(
    x: Tensor,
    y: Tensor,
    prior_std: float = 1.0,
    kernel: Kernel = "imq",
    scales: Sequence[float] = KERNEL_SCALES,
) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy between two samples.

    Gretton et al. 2012 (JMLR 13), equation 3: its mean is 0 where both come from one distribution,
    so that single estimates may be negative. With d the distance of two points, the kernel is the
    sum over `scales` s of C / (C + d^2) (`imq`, Tolstikhin et al. 2018, arXiv 1711.01558, section
    4) or of exp(-d^2 / C) (`rbf`), where C = 2 latent_dim prior_std^2 s: at s = 1, C is the mean
    squared distance between two draws from the prior.

    Args:
        x: (N, latent_dim), N >= 2.
        y: (M, latent_dim), M >= 2.

    Returns:
        A scalar, without unit, at most 2 len(scales).

    Raises:
        ValueError: fewer than two points in a sample: no pair to average over.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"mmd needs at least two points in each sample, got {n} and {m}")
    base = 2 * x.shape[1] * prior_std**2

    def kernel_sum(a: Tensor, b: Tensor) -> Tensor:
        d2 = squared_distances(a, b)
        if kernel == "imq":
            values = [base * s / (base * s + d2) for s in scales]
        else:
            values = [(-d2 / (base * s)).exp() for s in scales]
        return torch.stack([value.sum() for value in values]).sum()

    # A point's kernel with itself is 1 at every scale; the U-statistic leaves it out.
    within_x = (kernel_sum(x, x) - n * len(scales)) / (n * (n - 1))
    within_y = (kernel_sum(y, y) - m * len(scales)) / (m * (m - 1))
    return within_x + within_y - 2 * kernel_sum(x, y) / (n * m)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances of all pairs, (N, d) and (M, d) -> (N, M)."""
    # Differences, not |x|^2 + |y|^2 - 2 x.y: a point's distance to itself must be exactly 0.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") ** 2
