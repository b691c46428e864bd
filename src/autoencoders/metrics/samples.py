"""How close generated images come to real ones, on the features of both.

Every function takes two sets of features, real (N, d) and generated (M, d), in float64, and works
in blocks of rows, so that 10,000 against 10,000 needs no large matrix at once.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 1000  # rows of a distance matrix that are held at once


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)): Heusel et al. 2017 (arXiv 1706.08500), equation 6,
    there on Inception's features. 0 for one and the same set; it grows as the sets get smaller.
    """
    mean = real.mean(0) - generated.mean(0)
    d = real.shape[1]  # torch.cov makes a number of one dimension's
    cov, other = (torch.cov(points.T).reshape(d, d) for points in (real, generated))
    # (S S')^(1/2) has the trace of (S^(1/2) S' S^(1/2))^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0).sqrt().sum()
    distance = mean @ mean + cov.trace() + other.trace() - 2 * cross
    return max(distance.item(), 0.0)


def kernel_distance(real: Tensor, generated: Tensor) -> float:
    """Unbiased squared MMD under the kernel (x.y / d + 1)^3.

    Binkowski et al. 2018 (arXiv 1801.01401), section 4, over all pairs and not over subsets. Its
    mean is 0 where both sets come from one distribution, so that it may be below 0.
    """

    def total(x: Tensor, y: Tensor) -> Tensor:
        base = (x @ y.T).div_(x.shape[1]).add_(1)
        return (base * base).mul_(base).sum()  # a product is faster than a power

    def within(x: Tensor) -> Tensor:
        blocks = x.split(BLOCK)
        # The matrix is symmetric: its blocks above the diagonal count twice.
        above = [total(b, c) for b, c in itertools.combinations(blocks, 2)]
        own = [total(b, b) for b in blocks]
        diagonal = ((x * x).sum(1) / x.shape[1] + 1) ** 3
        return (2 * sum(above) + sum(own) - diagonal.sum()) / (len(x) * (len(x) - 1))

    across = torch.stack([total(block, generated) for block in real.split(BLOCK)]).sum()
    across = across / (len(real) * len(generated))
    return (within(real) + within(generated) - 2 * across).item()


class Overlap(NamedTuple):
    """How two sets of features overlap, each as a share of points.

    precision: generated points inside the real set's support: are they good?
    recall: real points inside the generated set's support: is everything there?
    density: how many real neighbourhoods a generated point lies in, over k; may exceed 1.
    coverage: real neighbourhoods that hold a generated point.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(
    real: Tensor, generated: Tensor, neighbours: int = 5, real_radii: Tensor | None = None
) -> Overlap:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991), density and
    coverage (Naeem et al. 2020, arXiv 2002.09797).

    A set's support is the union of balls around its points, each as wide as the distance to the
    point's k-th neighbour.

    Args:
        neighbours: k.
        real_radii: `radii(real, neighbours)`, where it is known already.

    Raises:
        ValueError: a set of no more than k points.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(f"overlap needs more than {neighbours} points in each set")
    real_radii = radii(real, neighbours) if real_radii is None else real_radii
    generated_radii = radii(generated, neighbours)
    inside_real = torch.zeros(len(generated), dtype=torch.long)  # real balls around each
    recalled, covered = [], []
    for rows, distances in _distances(real, generated):
        within_real = distances <= real_radii[rows, None]
        inside_real += within_real.sum(0)
        covered.append(within_real.any(1))
        recalled.append((distances <= generated_radii).any(1))
    return Overlap(
        precision=_share(inside_real > 0),
        recall=_share(torch.cat(recalled)),
        density=inside_real.double().mean().item() / neighbours,
        coverage=_share(torch.cat(covered)),
    )


def nearest(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to and index of each image's nearest among others: a memorised one is at 0.

    Args:
        images, others: uint8, (N, C, H, W) and (M, C, H, W).

    Returns:
        Root mean squared differences per pixel in [0, 1], (N,), and indices into `others`, (N,).
    """
    x, y = images.flatten(1).float() / 255, others.flatten(1).float() / 255
    squares = (y**2).sum(1)
    distances, indices = [], []
    for block in x.split(BLOCK):
        index = torch.addmm(squares, block, y.T, alpha=-2).argmin(1)
        # The difference itself: the expanded square has lost the digits of a small one.
        distances.append(((block - y[index]) ** 2).mean(1).sqrt())
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def entropy(shares: Tensor) -> float:
    """Entropy of a histogram's shares (classes,), in nats; log(classes) where all are equal."""
    return torch.special.entr(shares.double()).sum().item()


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances of all pairs, in blocks of x's rows."""
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, torch.cdist(x[rows], y, compute_mode="use_mm_for_euclid_dist")


def radii(x: Tensor, neighbours: int) -> Tensor:
    """Each point's distance to its k-th neighbour in the set, itself not counted, (N,)."""
    found = []
    for rows, distances in _distances(x, x):
        distances[:, rows].fill_diagonal_(0)
        # The largest of the k + 1 least: kthvalue takes ten times as long.
        least = distances.topk(neighbours + 1, dim=1, largest=False, sorted=False).values
        found.append(least.amax(1))
    return torch.cat(found)


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()
