"""A Gaussian mixture fitted on the codes."""

from pathlib import Path

import torch
from pydantic import PositiveInt, validate_call
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import Self

from autoencoders.distributions import NormalPrior
from autoencoders.files import write_whole

MOST = 20_000  # codes that are enough to fit on


class Mixture:
    """A Gaussian mixture with full covariances.

    Fitted on a trained model's codes it makes a generative model even of the plain auto-encoder,
    which has no prior: Ghosh et al. 2020 (arXiv 1903.12436), section 3.1.

    Args:
        components: K, at most; no more than there are codes.

    Attributes:
        weights: (K,); means: (K, latent_dim); covariances: (K, latent_dim, latent_dim).
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @validate_call
    def __init__(self, components: PositiveInt = 10) -> None:
        self.components = components

    def fit(self, codes: Tensor, prior: NormalPrior | None = None, seed: int = 0) -> Self:
        """Fit by expectation-maximisation (scikit-learn's) on codes (N, latent_dim)."""
        from sklearn.mixture import GaussianMixture  # takes a second: only who needs it pays

        chosen = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))[:MOST]
        points = codes.cpu()[chosen.sort().values].double().numpy()
        components = min(self.components, len(points))
        mixture = GaussianMixture(components, random_state=seed % 2**32).fit(points)
        self.weights = torch.from_numpy(mixture.weights_)
        self.means = torch.from_numpy(mixture.means_)
        self.covariances = torch.from_numpy(mixture.covariances_)
        return self

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        latent_dim = self.means.shape[1]
        k = self.weights.multinomial(n, replacement=True, generator=generator)
        eps = torch.randn(n, latent_dim, 1, generator=generator, dtype=self.means.dtype)
        roots = torch.linalg.cholesky(self.covariances)
        return (self.means[k] + (roots[k] @ eps).squeeze(2)).float()  # (n, latent_dim)

    def save(self, path: Path) -> None:
        names = ("weights", "means", "covariances")
        write_whole(path, save({name: getattr(self, name) for name in names}))

    @classmethod
    def load(cls, path: Path | str) -> Self:
        parts = load_file(path)
        sampler = cls(len(parts["weights"]))
        sampler.weights, sampler.means = parts["weights"], parts["means"]
        sampler.covariances = parts["covariances"]
        return sampler
