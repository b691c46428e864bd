"""A Gaussian mixture fitted on the codes."""

import math
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt, validate_call
from safetensors.torch import load_file, save
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal
from typing_extensions import Self

from autoencoders.distributions import Prior
from autoencoders.files import write_whole
from autoencoders.samplers.files import checked, require_draws, require_weights

CHOICES = (1, 3, 10, 30, 100, 200, 300)  # numbers of components that are tried
BLOCK = 5000  # codes between two updates of the parameters
NUMBERS = 2_000_000  # of the largest tensor that is held at once
PASSES = 100  # over the codes, at most
TOLERANCE = 1e-3  # nats per code that a pass gains, else it is the last
SHARED = 2.0  # codes that each component gets beside its own, of their average covariance
LEAST_VARIANCE = 1e-6  # of standardised codes
LEAST_STD = 1e-6  # of codes: a dimension with none stays where it is
ASYMMETRY = 1e-3  # of a covariance that was computed, over the standard deviations


class Mixture:
    """A Gaussian mixture with full covariances.

    Fitted on a trained model's codes it makes a generative model even of the plain auto-encoder,
    which has no prior: Ghosh et al. 2020 (arXiv 1903.12436), section 3.1, with ten components.

    Args:
        components: K, no more than there are codes; None chooses among `CHOICES` by the
            log-likelihood of a tenth of the codes, held out.

    Attributes:
        weights: (K,); means: (K, latent_dim); covariances: (K, latent_dim, latent_dim).
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    tensors: ClassVar[dict[str, tuple[str, ...]]] = {  # and their shapes
        "weights": ("K",),
        "means": ("K", "latent_dim"),
        "covariances": ("K", "latent_dim", "latent_dim"),
    }
    whole: ClassVar[tuple[str, ...]] = ()  # those of whole numbers

    @validate_call
    def __init__(self, components: PositiveInt | None = None) -> None:
        self.components = components

    @property
    def latent_dim(self) -> int:
        return self.means.shape[1]

    def fit(
        self,
        codes: Tensor,
        prior: Prior | None = None,
        seed: int = 0,
        labels: Tensor | None = None,
    ) -> Self:
        """Fit by expectation-maximisation on codes (N, latent_dim), finite ones."""
        order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
        x = codes.cpu().double()[order]
        centre, scale = x.mean(0), x.std(0, correction=0).clamp_min(LEAST_STD)
        x = (x - centre) / scale
        if self.components is None:
            fitted = choose(x, seed)
        else:
            fitted = expectation_maximisation(x, min(self.components, len(x)), seed)
        self.weights = fitted.weights
        self.means = centre + scale * fitted.means
        self.covariances = scale[:, None] * fitted.covariances * scale
        return self

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        k = self.weights.multinomial(n, replacement=True, generator=generator)
        roots = torch.linalg.cholesky(self.covariances)
        return draw_of_components(k, self.means, roots, generator).float()  # (n, latent_dim)

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats of codes (N, latent_dim), (N,)."""
        normals = MultivariateNormal(
            self.means, scale_tril=torch.linalg.cholesky(self.covariances), validate_args=False
        )
        mixture = MixtureSameFamily(Categorical(self.weights), normals, validate_args=False)
        return torch.cat([mixture.log_prob(block) for block in codes.cpu().double().split(500)])

    def save(self, path: Path) -> None:
        write_whole(path, save({name: getattr(self, name) for name in self.tensors}))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        parts = checked(load_file(path), cls.tensors, cls.whole)
        require_weights(parts["weights"])
        require_covariances(parts["covariances"])
        sampler = cls(len(parts["weights"]))
        for name, value in parts.items():
            setattr(sampler, name, value)
        require_draws(sampler)
        return sampler


def require_covariances(covariances: Tensor) -> None:
    """Raise ValueError where matrices (K, d, d) are no covariances with an inverse."""
    stds = covariances.diagonal(dim1=1, dim2=2).abs().sqrt()  # (K, d)
    least = ASYMMETRY * stds[:, :, None] * stds[:, None, :]
    skewed = (covariances - covariances.mT).abs() > least
    _, wrong = torch.linalg.cholesky_ex(covariances)
    if skewed.any() or wrong.any():
        raise ValueError("covariances must be symmetric and positive definite")


class Parameters(NamedTuple):
    """weights: (K,); means: (K, d); covariances: (K, d, d)."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


def draw_of_components(
    k: Tensor, means: Tensor, roots: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """A draw of each of the components k (n,), (n, d); roots: of their covariances, (K, d, d)."""
    d = means.shape[1]
    eps = torch.randn(len(k), d, 1, generator=generator, dtype=means.dtype)
    many = max(1, NUMBERS // d**2)
    parts = zip(k.split(many), eps.split(many), strict=True)
    return torch.cat([means[i] + (roots[i] @ e).squeeze(2) for i, e in parts])


def choose(x: Tensor, seed: int) -> Parameters:
    """Fit ever more components to nine tenths of standardised codes (N, d), in random order, until
    the log-likelihood of the others falls."""
    held_out, train = x[: len(x) // 10], x[len(x) // 10 :]
    best, most = expectation_maximisation(train, 1, seed), -torch.inf
    for components in CHOICES:
        if components > len(train):
            break
        fitted = expectation_maximisation(train, components, seed)
        _, log_likelihood = _expect(held_out, fitted)
        if not log_likelihood > most:
            break
        best, most = fitted, log_likelihood
    return best


def expectation_maximisation(x: Tensor, components: int, seed: int) -> Parameters:
    """A mixture of `components` fitted to standardised codes (N, d), in random order.

    The start is k-means++ (Arthur & Vassilvitskii 2007). After each block of codes its share of the
    sufficient statistics is replaced and the parameters are updated: the incremental variant of
    Neal & Hinton 1998, which needs a fraction of the passes. Of one block it is the plain one.
    """
    from sklearn.cluster import kmeans_plusplus  # takes a second: only who needs it pays

    some = x[: max(50 * components, 1000)].numpy()
    means = torch.from_numpy(kmeans_plusplus(some, components, random_state=seed % 2**32)[0])
    blocks = x.split(BLOCK)
    # Of each block: how much of 1, z and z z' each component has, (K, monomials).
    statistics = [_nearest_mean(block, means) for block in blocks]
    total = torch.stack(statistics).sum(0)
    previous = -torch.inf
    for _ in range(PASSES):
        log_likelihood = 0.0
        for i, block in enumerate(blocks):
            update, gained = _expect(block, _maximise(total, x.shape[1]))
            total += update - statistics[i]
            statistics[i] = update
            log_likelihood += gained
        if log_likelihood - previous < TOLERANCE * len(x):
            break
        previous = log_likelihood
    return _maximise(total, x.shape[1])


def _nearest_mean(x: Tensor, means: Tensor) -> Tensor:
    """The statistics of codes (N, d) that belong to the component of the nearest mean, (K,
    monomials)."""
    belongs = F.one_hot(torch.cdist(x, means).argmin(1), len(means)).to(x.dtype)
    many = _many(x.shape[1])
    parts = zip(belongs.split(many), x.split(many), strict=True)
    return sum((of_part.T @ monomials(part) for of_part, part in parts), torch.zeros(()))


def _expect(x: Tensor, mixture: Parameters) -> tuple[Tensor, float]:
    """The statistics of codes (N, d) that belong to components as the mixture says, (K, monomials),
    and their log-likelihood, summed over codes."""
    weights = log_joint_weights(mixture)
    statistics, log_likelihood = torch.zeros_like(weights), 0.0
    for part in x.split(_many(x.shape[1])):
        of_part = monomials(part)
        joint = of_part @ weights.T
        evidence = joint.logsumexp(1, keepdim=True)
        statistics += (joint - evidence).exp().T @ of_part
        log_likelihood += evidence.sum().item()
    return statistics, log_likelihood


def _many(d: int) -> int:
    """How many codes' monomials are held at once."""
    return max(1, NUMBERS // ((d + 1) * (d + 2) // 2))


def monomials(x: Tensor) -> Tensor:
    """1, z and the products of z's coordinates of codes (B, d), (B, 1 + d + d (d + 1) / 2).

    A Gaussian's log-density is linear in them, and their means are its sufficient statistics: both
    steps are one matrix product each.
    """
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([torch.ones_like(x[:, :1]), x, x[:, i] * x[:, j]], 1)


def log_joint_weights(mixture: Parameters) -> Tensor:
    """The matrix that turns monomials into log w_k + log N(z; m_k, C_k), (K, monomials)."""
    weights, means, covariances = mixture
    d = means.shape[1]
    roots = torch.linalg.cholesky(covariances)
    precisions = torch.cholesky_inverse(roots)
    linear = (precisions @ means[:, :, None]).squeeze(2)
    log_det = 2 * roots.diagonal(dim1=1, dim2=2).log().sum(1)
    constant = weights.log() - (d * math.log(2 * math.pi) + log_det + (means * linear).sum(1)) / 2
    i, j = torch.triu_indices(d, d)
    quadratic = precisions[:, i, j] * torch.where(i == j, -0.5, -1.0)
    return torch.cat([constant[:, None], linear, quadratic], 1)


def _maximise(statistics: Tensor, d: int) -> Parameters:
    """The parameters that sufficient statistics (K, monomials) tell.

    Every component gets a few further codes of the covariance that all components have on average,
    as in Friedman 1989 (regularized discriminant analysis): one with few codes stays regular.
    """
    count = statistics[:, 0].clamp_min(1e-9)
    means = statistics[:, 1 : d + 1] / count[:, None]
    i, j = torch.triu_indices(d, d)
    scatter = torch.empty(len(statistics), d, d, dtype=statistics.dtype)
    scatter[:, i, j] = scatter[:, j, i] = statistics[:, d + 1 :]
    scatter -= count[:, None, None] * means[:, :, None] * means[:, None, :]
    average = scatter.sum(0) / count.sum()
    covariances = (scatter + SHARED * average) / (count + SHARED)[:, None, None]
    covariances += LEAST_VARIANCE * torch.eye(d, dtype=statistics.dtype)
    return Parameters(count / count.sum(), means, covariances)
