"""The information-maximising variational auto-encoder."""

from typing import Annotated, Any

from pydantic import Field, validate_call
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.distributions import NormalPosterior
from autoencoders.divergences import KERNEL_SCALES, Kernel, mmd
from autoencoders.models.base import AutoEncoder, Losses, Output, Positive


class InfoVAE(AutoEncoder):
    """InfoVAE: minimise c(x, G(z)) + (1 - alpha) KL(Q(z|x) || P_z) + (alpha + lambda - 1)
    MMD^2(Q_z, P_z), z ~ Q(z|x).

    Zhao et al. 2019 (arXiv 1706.02262), equation 7. The KL divergence holds each posterior to the
    prior, the MMD all of them together. alpha = 0 and lambda = 1 is the VAE, alpha = 1 the MMD-VAE.

    Args:
        alpha: how much of the KL divergence is left out, from 0 to 1.
        reg_weight: lambda, at least 1.
        kernel: `imq` (inverse multiquadratic) or `rbf`.
        kernel_scales: the kernel is a sum over these, see `divergences.mmd`.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "InfoVAE"
    prior_weight = "reg_weight"
    posterior_type = NormalPosterior

    @validate_call
    def __init__(
        self,
        *,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
        reg_weight: Annotated[float, Field(ge=1, le=1e30)] = 200.0,
        kernel: Kernel = "imq",
        kernel_scales: Annotated[list[Positive], Field(min_length=1)] = list(KERNEL_SCALES),  # noqa: B006
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("alpha", "reg_weight", "kernel", "kernel_scales")
        self.alpha = alpha
        self.reg_weight = reg_weight
        self.kernel: Kernel = kernel
        self.kernel_scales = kernel_scales

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        kl = out.posterior.kl(self.prior, out.z)
        penalty = self.penalty(out.z)
        weighted = (1 - self.alpha) * kl + (self.alpha + self.reg_weight - 1) * penalty
        return {
            "loss": reconstruction + weighted,
            "reconstruction": reconstruction,
            "kl": kl,
            "penalty": penalty,
        }

    def penalty(self, z: Tensor) -> Tensor:
        """MMD^2 between codes (B, latent_dim) and as many draws from the prior."""
        if len(z) < 2:  # one code says nothing about a distribution
            return z.new_zeros(())
        prior = self.prior.draw(len(z), device=self.device)
        return mmd(z, prior, self.prior.scale, self.kernel, self.kernel_scales)
