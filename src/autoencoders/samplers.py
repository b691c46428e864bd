"""Where codes to decode are drawn from, if not from the prior: objects that `sample` takes."""

from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from autoencoders.runs import open_whole

MOST = 20_000  # codes that a mixture is fitted on


class Sampler(Protocol):
    """Draws codes. A further one needs this method alone."""

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n codes, (n, latent_dim), on the CPU."""
        ...


class Mixture:
    """A Gaussian mixture with full covariances.

    Fitted on a trained model's codes it makes a generative model even of the plain auto-encoder,
    which has no prior: Ghosh et al. 2020 (arXiv 1903.12436), section 3.1.

    Args:
        weights: of K components, (K,).
        means: (K, latent_dim).
        covariances: (K, latent_dim, latent_dim).
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        self.weights = weights
        self.means = means
        self.covariances = covariances

    @classmethod
    def fit(cls, codes: Tensor, components: int = 10, seed: int = 0) -> "Mixture":
        """Fit by expectation-maximisation (scikit-learn's) on codes (N, latent_dim), of which
        20,000 are enough."""
        from sklearn.mixture import GaussianMixture  # takes a second: only who needs it pays

        components = min(components, len(codes), MOST)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(codes), generator=generator)[:MOST]
        start = int(torch.randint(2**32, (), generator=generator))
        points = codes.cpu()[chosen.sort().values].double().numpy()
        fitted = GaussianMixture(components, random_state=start).fit(points)
        found = (fitted.weights_, fitted.means_, fitted.covariances_)
        return cls(*(torch.from_numpy(values) for values in found))

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        latent_dim = self.means.shape[1]
        chosen = self.weights.multinomial(n, replacement=True, generator=generator)
        noise = torch.randn(n, latent_dim, generator=generator, dtype=self.means.dtype)
        roots = torch.linalg.cholesky(self.covariances)
        return (self.means[chosen] + (roots[chosen] @ noise[:, :, None])[:, :, 0]).float()

    def save(self, path: Path) -> None:
        parts = {"weights": self.weights, "means": self.means, "covariances": self.covariances}
        with open_whole(path) as file:
            file.write(save(parts))

    @classmethod
    def load(cls, path: Path) -> "Mixture":
        return cls(**load_file(path))
