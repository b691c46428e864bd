"""The Wasserstein auto-encoder with a maximum mean discrepancy penalty."""

from typing import Annotated, Any

import torch
from pydantic import Field, validate_call
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.divergences import KERNEL_SCALES, Kernel, mmd
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output, Positive


class WAEMMD(AutoEncoder):
    """WAE-MMD: minimise c(x, G(Q(x))) + lambda MMD^2(Q_z, P_z).

    Tolstikhin et al. 2018 (arXiv 1711.01558), algorithm 2.

    Args:
        reg_weight: lambda.
        kernel: `imq` (inverse multiquadratic) or `rbf`.
        kernel_scales: the kernel is a sum over these, see `divergences.mmd`.
        queue_size: how many codes of past batches training compares with the prior beside those of
            the batch; the estimate of MMD^2 varies less. Before training they are draws from the
            prior.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "WAE-MMD"
    prior_weight = "reg_weight"
    queue: Tensor | None

    @validate_call
    def __init__(
        self,
        *,
        reg_weight: NonNegative = 200.0,
        kernel: Kernel = "imq",
        kernel_scales: Annotated[list[Positive], Field(min_length=1)] = list(KERNEL_SCALES),  # noqa: B006
        queue_size: Annotated[int, Field(ge=0, le=2**20)] = 0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("reg_weight", "kernel", "kernel_scales", "queue_size")
        self.reg_weight = reg_weight
        self.kernel: Kernel = kernel
        self.kernel_scales = kernel_scales
        # A buffer, so that a checkpoint has it and a continued run repeats.
        self.register_buffer("queue", self.prior.draw(queue_size) if queue_size else None)

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        penalty = self.penalty(out.z)
        loss = reconstruction + self.reg_weight * penalty
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}

    def penalty(self, z: Tensor) -> Tensor:
        """MMD^2 between codes (B, latent_dim), in training the queue's too, and as many draws from
        the prior."""
        if self.training and self.queue is not None:
            z = with_past(z, self.queue)
        if len(z) < 2:  # one code says nothing about a distribution
            return z.new_zeros(())
        prior = self.prior.draw(len(z), device=self.device)
        return mmd(z, prior, self.prior.scale, self.kernel, self.kernel_scales)


def with_past(z: Tensor, queue: Tensor) -> Tensor:
    """Codes (B, latent_dim) and behind them the queue's, (B + len(queue), latent_dim); then the
    queue takes the batch's codes in and lets its oldest go."""
    past = queue.clone()
    queue.copy_(torch.cat([z.detach(), past])[: len(past)])
    # Gradients pass through the batch's codes alone, which stand for all: so reg_weight means the
    # same with a queue as without.
    share = len(z) / (len(z) + len(past))
    z = z.detach() + (z - z.detach()) / share
    return torch.cat([z, past])
