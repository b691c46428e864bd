"""The variational auto-encoder."""

from typing import Any

from pydantic import validate_call

from autoencoders.data import Batch
from autoencoders.distributions import NormalPosterior
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output


class VAE(AutoEncoder):
    """Variational auto-encoder: minimise c(x, G(z)) + beta KL(Q(z|x) || P_z), z ~ Q(z|x).

    Kingma & Welling 2014 (arXiv 1312.6114); beta: Higgins et al. 2017. With `cost=bce` and beta 1
    the loss is the negative evidence lower bound, in nats per image.

    Args:
        beta: weight of the KL divergence.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "VAE"
    prior_weight = "beta"
    posterior_type = NormalPosterior

    @validate_call
    def __init__(self, *, beta: NonNegative = 1.0, **common: Any) -> None:
        super().__init__(**common)
        self.save_hyperparameters("beta")
        self.beta = beta

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        kl = out.posterior.kl(self.prior, out.z)
        return {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}
