"""The regularised auto-encoder."""

from typing import Any

import torch
from pydantic import validate_call
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Output


class RAE(AutoEncoder):
    """Regularised auto-encoder: minimise c(x, G(z)) + w |z|^2 / 2 + v |G|^2, z = Q(x), where |G|^2
    is the decoder's squared weights.

    Ghosh et al. 2020 (arXiv 1903.12436), the variant RAE-L2. Short codes and a smooth decoder take
    the place of the VAE's noise; how codes are distributed is left to a sampler that is fitted on
    them afterwards.

    Args:
        code_weight: w.
        decoder_weight: v; biases and normalization are not counted.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "RAE"

    @validate_call
    def __init__(
        self,
        *,
        code_weight: NonNegative = 0.1,
        decoder_weight: NonNegative = 1e-3,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("code_weight", "decoder_weight")
        self.code_weight = code_weight
        self.decoder_weight = decoder_weight

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        code_penalty = (out.z**2).sum(1).mean() / 2
        decoder_penalty = self.decoder_penalty()
        weighted = self.code_weight * code_penalty + self.decoder_weight * decoder_penalty
        return {
            "loss": reconstruction + weighted,
            "reconstruction": reconstruction,
            "code_penalty": code_penalty,
            "decoder_penalty": decoder_penalty,
        }

    def decoder_penalty(self) -> Tensor:
        """The sum of the squares of the decoder's matrices and kernels."""
        weights = (p for p in self.decoder.parameters() if p.ndim > 1)
        return torch.stack([(p**2).sum() for p in weights]).sum()
