"""The Wasserstein auto-encoder with a maximum mean discrepancy penalty."""

from typing import Annotated, Any

from pydantic import Field, validate_call
from torch import Tensor

from autoencoders.divergences import KERNEL_SCALES, Kernel, mmd
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Pass, Positive


class WAEMMD(AutoEncoder):
    """WAE-MMD: minimise c(x, G(Q(x))) + lambda MMD^2(Q_z, P_z).

    Tolstikhin et al. 2018 (arXiv 1711.01558), algorithm 2.

    Args:
        reg_weight: lambda.
        kernel: `imq` (inverse multiquadratic) or `rbf`.
        kernel_scales: the kernel is a sum over these, see `divergences.mmd`.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "WAE-MMD"

    @validate_call
    def __init__(
        self,
        *,
        reg_weight: NonNegative = 200.0,
        kernel: Kernel = "imq",
        kernel_scales: Annotated[list[Positive], Field(min_length=1)] = list(KERNEL_SCALES),  # noqa: B006
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("reg_weight", "kernel", "kernel_scales")
        self.reg_weight = reg_weight
        self.kernel: Kernel = kernel
        self.kernel_scales = kernel_scales

    def losses(self, x: Tensor, out: Pass) -> Losses:
        reconstruction = self.reconstruction(x, out)
        penalty = self.penalty(out.z)
        loss = reconstruction + self.reg_weight * penalty
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}

    def penalty(self, z: Tensor) -> Tensor:
        """MMD^2 between codes (B, latent_dim) and as many draws from the prior."""
        if len(z) < 2:  # one code says nothing about a distribution
            return z.new_zeros(())
        prior = self.prior.draw(len(z), device=self.device)
        return mmd(z, prior, self.prior.std, self.kernel, self.kernel_scales)
