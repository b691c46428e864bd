"""The variational auto-encoder."""

from typing import Any

import torch
from pydantic import validate_call
from torch import Tensor

from autoencoders.divergences import kl_to_prior
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Pass


class VAE(AutoEncoder):
    """Variational auto-encoder: minimise c(x, G(z)) + beta KL(Q(z|x) || P_z), z ~ Q(z|x).

    Kingma & Welling 2014 (arXiv 1312.6114); beta: Higgins et al. 2017. With `cost=bce` and beta 1
    the loss is the negative evidence lower bound, in nats per image.

    Args:
        beta: weight of the KL divergence.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "VAE"
    encoder_heads = 2  # mean and log-variance

    @validate_call
    def __init__(self, *, beta: NonNegative = 1.0, **common: Any) -> None:
        super().__init__(**common)
        self.save_hyperparameters("beta")
        self.beta = beta

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of Q(z|x): images (B, C, H, W) -> two of (B, latent_dim)."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def encode_and_draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.posterior(x)
        return mean, self.draw(mean, log_var)

    def draw(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """A draw from N(mean, exp(log_var)), all (B, latent_dim).

        The reparameterization trick: the draw is a function of mean and log_var, so that gradients
        reach both.
        """
        return mean + (log_var / 2).exp() * torch.randn_like(mean)

    def forward(self, x: Tensor) -> Pass:
        mean, log_var = self.posterior(self.perturb(x))
        z = self.draw(mean, log_var)
        return Pass(mean, z, self.decoder(z), log_var)

    def losses(self, x: Tensor, out: Pass) -> Losses:
        reconstruction = self.reconstruction(x, out)
        assert out.log_var is not None  # our forward gave it
        kl = kl_to_prior(out.mean, out.log_var, self.prior_std)
        return {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}
