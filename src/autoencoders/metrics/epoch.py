"""What a training epoch and a test add up, as torchmetrics classes that work across processes."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

from autoencoders.metrics.base import Quantity

ACTIVE_VARIANCE = 0.01


class MeanLosses(Metric):
    """Each loss term's mean over an epoch's examples, without a look at any value in between.

    Lightning's `self.log` in every step would cost a GPU more than these models' steps do.
    """

    full_state_update = False
    totals: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.add_state("totals", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, terms: Mapping[str, Tensor], n: int) -> None:
        """Take in a batch: scalars by name, the same names each time, averaged over n examples."""
        self.names = tuple(terms)
        self.totals = self.totals + n * torch.stack([v.detach().float() for v in terms.values()])
        self.count = self.count + n

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name, over all processes."""
        return self.so_far()

    def so_far(self) -> dict[str, Tensor]:
        """The same of this process alone; empty before the first batch."""
        if self.totals.ndim == 0:
            return {}
        return dict(zip(self.names, self.totals / self.count, strict=True))


def merge_moments(parts: Tensor) -> Tensor:
    """The moments of several sets together.

    Chan et al. 1983 (The American Statistician 37): deviations are from each set's own mean. A sum
    of squares less the square of a sum would lose a small variance beside a large mean.

    Args:
        parts: of each set its size, mean and variance, (sets, 3, ...).

    Returns:
        Those of their union, (3, ...).
    """
    n, mean, variance = parts.unbind(1)  # (sets, ...) each
    total = n.sum(0)
    share = n / total
    centre = mean[0] + (share * (mean - mean[0])).sum(0)
    return torch.stack([total, centre, (share * (variance + (mean - centre) ** 2)).sum(0)])


class LatentMoments(Metric):
    """Moments of the aggregate posterior, accumulated batch by batch.

    They tell whether a regulariser works: where the aggregate posterior has become the prior,
    `z_abs_mean` is about 0 and `z_std` about prior_std. `active_units` counts the dimensions whose
    posterior mean varies between images by more than 0.01 (Burda et al. 2016, arXiv 1509.00519,
    section 5.3): a VAE that ignores a dimension leaves it inactive.

    Args:
        latent_dim: dimensions of a code.

    Attributes:
        moments: number, mean and variance of each dimension of posterior means, then of draws,
            (3, 2, latent_dim).
    """

    full_state_update = False
    moments: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.add_state("moments", torch.zeros(3, 2, latent_dim), dist_reduce_fx=merge_moments)

    def update(self, mean: Tensor, z: Tensor) -> None:
        """Take in a batch: posterior means and draws from the posterior, (B, latent_dim) each."""
        batch = torch.stack([mean, z], 1).float()  # (B, 2, latent_dim)
        n = torch.full_like(batch[0], len(batch))
        of_batch = torch.stack([n, batch.mean(0), batch.var(0, correction=0)])
        self.moments = merge_moments(torch.stack([self.moments, of_batch]))

    def compute(self) -> dict[str, Tensor]:
        """Scalars: `z_abs_mean`, averaged over dimensions, `z_std`, the root of the variance so
        averaged, and `active_units`."""
        _, (_, z_mean), (mean_variance, z_variance) = self.moments
        return {
            "z_abs_mean": z_mean.abs().mean(),
            "z_std": z_variance.mean().sqrt(),
            "active_units": (mean_variance > ACTIVE_VARIANCE).sum().float(),
        }


# What `val/` and `test/` report beside a model's own terms.
QUANTITIES = (
    Quantity("mse", "MSE", "lower"),
    Quantity("mse_sampled", "MSE, sampled codes", "lower"),
    Quantity("bce", "BCE, nats", "lower"),
)
CODES = (
    Quantity("z_abs_mean", "mean of codes"),
    Quantity("z_std", "std of codes"),
    Quantity("active_units", "active units"),
)
