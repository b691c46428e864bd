"""The conditional variational auto-encoder."""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import validate_call
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.distributions import Posterior
from autoencoders.errors import InputError
from autoencoders.models.base import NonNegative
from autoencoders.models.vae import VAE


class CVAE(VAE):
    """Conditional VAE: minimise c(x, G(z, y)) + beta KL(Q(z|x, y) || P_z), z ~ Q(z|x, y), where y
    is the class.

    Kingma et al. 2014 (arXiv 1406.5298), model M2 with all labels known; Sohn et al. 2015. What the
    label says, the code need not.

    Args:
        beta: weight of the KL divergence.
        common: what every model takes, see `AutoEncoder`.

    Raises:
        InputError: data without classes.
    """

    label = "CVAE"
    conditional = True

    @validate_call
    def __init__(self, *, beta: NonNegative = 1.0, **common: Any) -> None:
        if not common.get("classes"):
            raise InputError(
                "model=cvae: takes data with classes, and the data set names none; set"
                " dataset.labels=, or choose model=vae"
            )
        super().__init__(beta=beta, **common)

    @property
    def encoder_shape(self) -> tuple[int, ...]:
        channels, *size = self.shape
        return (channels + self.classes, *size)

    @property
    def decoder_dim(self) -> int:
        return self.latent_dim + self.classes

    def posterior(self, batch: Batch) -> Posterior:
        y = self.one_hot(batch)  # (B, classes)
        planes = y.view(*y.shape, *[1] * (batch.x.ndim - 2)).expand(-1, -1, *batch.x.shape[2:])
        return self.posterior_type.of(self.encoder(torch.cat([batch.x, planes], 1)))

    def logits(self, z: Tensor, given: Batch) -> Tensor:
        return self.decoder(torch.cat([z, self.one_hot(given).to(z)], 1))

    def one_hot(self, batch: Batch) -> Tensor:
        """The labels as (B, classes), zeros for an example without one.

        Raises:
            ValueError: there are none.
        """
        if batch.labels is None:
            raise ValueError("CVAE needs the labels: encode(x, labels), decode(z, labels)")
        known = (batch.labels >= 0)[:, None]
        return F.one_hot(batch.labels.clamp_min(0), self.classes).to(batch.x) * known
