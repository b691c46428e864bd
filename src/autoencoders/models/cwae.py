"""The Cramer-Wold auto-encoder."""

from typing import Any

from pydantic import validate_call

from autoencoders.data import Batch
from autoencoders.distributions import NormalPrior
from autoencoders.divergences import cramer_wold
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output


class CWAE(AutoEncoder):
    """Cramer-Wold auto-encoder: minimise c(x, G(Q(x))) + lambda log CW^2(Q_z, P_z).

    Knop et al. 2020 (arXiv 1805.09235). Nothing is drawn: the distance to the prior has a closed
    form. With its logarithm, the closer the codes come to the prior the harder they are pulled.

    Args:
        reg_weight: lambda.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "CWAE"
    prior_weight = "reg_weight"
    prior: NormalPrior  # the distance has a closed form for no other

    @validate_call
    def __init__(self, *, reg_weight: NonNegative = 5.0, **common: Any) -> None:
        super().__init__(**common)
        self.save_hyperparameters("reg_weight")
        self.reg_weight = reg_weight

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        penalty = cramer_wold(out.z, self.prior.std).clamp_min(1e-7).log()  # rounding: below 0
        loss = reconstruction + self.reg_weight * penalty
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}
