"""The sliced-Wasserstein auto-encoder."""

from typing import Any

from pydantic import validate_call

from autoencoders.data import Batch
from autoencoders.distributions import NormalPrior
from autoencoders.divergences import random_directions, sliced_wasserstein
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output
from autoencoders.networks import Size


class SWAE(AutoEncoder):
    """Sliced-Wasserstein auto-encoder: minimise c(x, G(Q(x))) + lambda SW^2(Q_z, P_z).

    Kolouri et al. 2018 (arXiv 1804.01947). Where they draw from the prior, this one takes the
    prior's exact quantiles: along a direction it is a Gaussian.

    Args:
        reg_weight: lambda.
        projections: directions drawn for each batch.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "SWAE"
    prior_weight = "reg_weight"
    prior: NormalPrior  # the distance has a closed form for no other

    @validate_call
    def __init__(
        self, *, reg_weight: NonNegative = 100.0, projections: Size = 50, **common: Any
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("reg_weight", "projections")
        self.reg_weight = reg_weight
        self.projections = projections

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        directions = random_directions(self.projections, like=out.z)
        penalty = sliced_wasserstein(out.z, directions, self.prior.std)
        loss = reconstruction + self.reg_weight * penalty
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}
