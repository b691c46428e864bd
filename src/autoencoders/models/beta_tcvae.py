"""The variational auto-encoder that pays for dependent dimensions."""

from typing import Any

from pydantic import validate_call

from autoencoders.data import Batch
from autoencoders.distributions import NormalPosterior
from autoencoders.divergences import total_correlation
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output


class BetaTCVAE(AutoEncoder):
    """beta-TCVAE: minimise c(x, G(z)) + KL(Q(z|x) || P_z) + (beta - 1) TC(Q_z), z ~ Q(z|x).

    Chen et al. 2018 (arXiv 1802.04942), equation 4 with alpha = gamma = 1: the KL divergence is the
    sum of the codes' information on x, their total correlation TC and each dimension's distance
    from the prior, and beta weighs the second alone. beta = 1 is the VAE.

    Args:
        beta: weight of the total correlation.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "β-TCVAE"
    prior_weight = "beta"
    posterior_type = NormalPosterior

    @validate_call
    def __init__(self, *, beta: NonNegative = 6.0, **common: Any) -> None:
        super().__init__(**common)
        self.save_hyperparameters("beta")
        self.beta = beta

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        kl = out.posterior.kl(self.prior, out.z)
        correlation = total_correlation(out.z, out.posterior.mean, out.posterior.log_var)
        return {
            "loss": reconstruction + kl + (self.beta - 1) * correlation,
            "reconstruction": reconstruction,
            "kl": kl,
            "total_correlation": correlation,
        }
