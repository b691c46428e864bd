"""How close generated examples come to real ones, on the features of both.

The functions take features, real (N, d) and generated (M, d), in float64, and work in blocks of
rows, so that 10,000 against 10,000 needs no large matrix at once.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.examples import Indexed, to_floats

BLOCK = 1000  # rows of a distance matrix that are held at once
SAME = 1e-6  # of a point's size: a nearer one equals it, in the digits that a product keeps
NUMBERS = 7_840_000  # that a block of examples has: 10,000 of MNIST's images


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)): Heusel et al. 2017 (arXiv 1706.08500), equation 6,
    there on Inception's features. 0 for one and the same set; it grows as the sets get smaller.

    Raises:
        ValueError: a set of one point, or points that are NaN, infinite or too large for a square.
    """
    require_points(real, generated)
    mean = real.mean(0) - generated.mean(0)
    d = real.shape[1]  # torch.cov makes a number of one dimension's
    cov, other = (torch.cov(points.T).reshape(d, d) for points in (real, generated))
    # The product of both must be finite, or the decomposition fails.
    if not math.isfinite((cov.norm() * other.norm()).item()):
        raise ValueError("a Frechet distance needs points whose covariances can be multiplied")
    # (S S')^(1/2) has the trace of (S^(1/2) S' S^(1/2))^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0).sqrt().sum()
    distance = mean @ mean + cov.trace() + other.trace() - 2 * cross
    return max(distance.item(), 0.0)


def require_points(*sets: Tensor) -> None:
    """Raise ValueError where sets of points, (N, d) each, have no distance."""
    if min(map(len, sets)) < 2:
        raise ValueError("a distance of distributions needs at least two points of each")
    if not all(points.isfinite().all() for points in sets):
        raise ValueError("points are NaN or infinite")


def kernel_distance(real: Tensor, generated: Tensor, real_similarity: float | None = None) -> float:
    """Unbiased squared MMD under the kernel (x.y / d + 1)^3.

    Binkowski et al. 2018 (arXiv 1801.01401), section 4, over all pairs and not over subsets. Its
    mean is 0 where both sets come from one distribution, so that it may be below 0.

    Args:
        real_similarity: `similarity(real)`, where it is known already.

    Raises:
        ValueError: a set of one point, or points that are NaN or infinite.
    """
    require_points(real, generated)
    real_similarity = similarity(real) if real_similarity is None else real_similarity
    across = sum(_kernel_sum(block, generated) for block in real.split(BLOCK))
    across = across / (len(real) * len(generated))
    return real_similarity + similarity(generated) - 2 * across


def similarity(x: Tensor) -> float:
    """The kernel of `kernel_distance`, averaged over the pairs of different points of a set.

    Raises:
        ValueError: a set of one point, or points that are NaN or infinite.
    """
    require_points(x)
    blocks = x.split(BLOCK)
    # The matrix is symmetric: its blocks above the diagonal count twice.
    above = [_kernel_sum(b, c) for b, c in itertools.combinations(blocks, 2)]
    own = [_kernel_sum(b, b) for b in blocks]
    diagonal = (((x * x).sum(1) / x.shape[1] + 1) ** 3).sum().item()
    return (2 * sum(above) + sum(own) - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    base = (x @ y.T).div_(x.shape[1]).add_(1)
    return (base * base).mul_(base).sum().item()  # a product is faster than a power


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
        ValueError: a set of no more than k points, or points that are NaN or infinite.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(f"overlap needs more than {neighbours} points in each set")
    require_points(real, generated)
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


def nearest(values: Tensor, others: Tensor | Indexed) -> tuple[Tensor, Tensor]:
    """Distance to and index of each example's nearest among others: a memorised one is at 0.

    Both in blocks, so that a large training set is never in floats as a whole.

    Args:
        values, others: (N, *shape) and (M, *shape), as `Examples.values` and `blockwise` hold them.

    Returns:
        Root mean squared differences per dimension, (N,), and indices into `others`, (N,).
    """
    x = to_floats(values).flatten(1).float()
    # See `_distances`.
    centre = x.median(0).values
    x = x - centre
    least = torch.full((len(x),), torch.inf)
    index = torch.zeros(len(x), dtype=torch.long)
    many = max(1, NUMBERS // x.shape[1])
    for start in range(0, len(others), many):
        y = to_floats(others[start : start + many]).flatten(1).float() - centre
        squares = (y**2).sum(1)
        for rows in torch.arange(len(x)).split(BLOCK):
            # Up to |x|^2, which does not change which is least.
            distances, nearest_row = torch.addmm(squares, x[rows], y.T, alpha=-2).min(1)
            closer = distances < least[rows]
            least[rows] = torch.where(closer, distances, least[rows])
            index[rows] = torch.where(closer, start + nearest_row, index[rows])
    # The difference itself: the expanded square has lost the digits of a small one.
    for rows in torch.arange(len(x)).split(BLOCK):
        difference = to_floats(values[rows]).double() - to_floats(others[index[rows]]).double()
        least[rows] = (difference.flatten(1) ** 2).mean(1).sqrt().float()
    return least, index


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances of all pairs, in blocks of x's rows; 0 between equal points."""
    # They do not depend on the origin, but the digits that their expansion keeps do. A mean would
    # follow a single point far out.
    centre = x.median(0).values
    x, y = x - centre, y - centre
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = torch.cdist(x[rows], y, compute_mode="use_mm_for_euclid_dist")
        least = SAME * x[rows].norm(dim=1, keepdim=True)
        yield rows, distances.masked_fill_(distances < least, 0)


def radii(x: Tensor, neighbours: int) -> Tensor:
    """Each point's distance to its k-th neighbour in the set, itself not counted, (N,)."""
    batches = []
    for rows, distances in _distances(x, x):
        distances[:, rows].fill_diagonal_(0)
        # The largest of the k + 1 least: kthvalue takes ten times as long.
        least = distances.topk(neighbours + 1, dim=1, largest=False, sorted=False).values
        batches.append(least.amax(1))
    return torch.cat(batches)


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()


def entropy(shares: Tensor) -> float:
    """Entropy of a histogram's shares (classes,), in nats; log(classes) where all are equal."""
    return torch.special.entr(shares.double()).sum().item()


def class_shares(probabilities: Tensor) -> Tensor:
    """The share of examples in each class: probabilities (N, classes) -> (classes,)."""
    n, classes = probabilities.shape
    return probabilities.argmax(1).bincount(minlength=classes).double() / n
