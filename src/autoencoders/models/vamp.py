"""The variational auto-encoder with a VampPrior."""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import validate_call
from torch import Tensor, nn

from autoencoders.data import Batch
from autoencoders.distributions import MixturePrior, NormalPosterior
from autoencoders.models.base import Losses, NonNegative, Output
from autoencoders.models.inference import inference
from autoencoders.models.vae import VAE
from autoencoders.networks import Size


class VampVAE(VAE):
    """VAE whose prior is the mixture of its own posteriors of K learned inputs u_k: minimise
    c(x, G(z)) + beta (log Q(z|x) - log P_z(z)), z ~ Q(z|x), P_z = 1/K sum over k of Q(z|u_k).

    Tomczak & Welling 2018 (arXiv 1705.07120), equation 9. The prior goes where the codes are, so
    that it need not be held to N(0, I), and its KL divergence has no closed form.

    Args:
        pseudo_inputs: K.
        beta: weight of the KL divergence.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "VampVAE"

    @validate_call
    def __init__(
        self, *, pseudo_inputs: Size = 100, beta: NonNegative = 1.0, **common: Any
    ) -> None:
        super().__init__(beta=beta, **common)
        self.save_hyperparameters("pseudo_inputs")
        # Of bounded data before the sigmoid.
        self.pseudo_inputs = nn.Parameter(torch.randn(pseudo_inputs, *self.shape))
        self.prior = VampPrior(self.mixture)

    def forward(self, batch: Batch) -> Output:
        """One pass through the encoder for x and the u_k, so that batch normalization treats both
        alike."""
        x, u = self.perturb(batch.x), self.inputs().to(batch.x)
        together: Any = self.posterior(Batch(torch.cat([x, u])))
        mean, log_var = (part.split([len(x), len(u)]) for part in (together.mean, together.log_var))
        posterior = NormalPosterior(mean[0], log_var[0])
        z = posterior.draw()  # (B, latent_dim)
        prior = MixturePrior(mean[1], log_var[1])
        return Output(posterior, z, self.logits(z, batch), {"prior": prior})

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        kl = out.posterior.kl(out.extras["prior"], out.z)
        return {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def inputs(self) -> Tensor:
        """The u_k in the data's space, (K, *shape)."""
        return self.pseudo_inputs.sigmoid() if self.bounded else self.pseudo_inputs

    def mixture(self) -> MixturePrior:
        """The prior as the weights are now."""
        with inference(self):
            posterior: Any = self.posterior(Batch(self.inputs()))
        return MixturePrior(posterior.mean, posterior.log_var).frozen()


class VampPrior:
    """A prior that is asked for anew each time, since it moves with the weights.

    Args:
        mixture: gives the prior as it is now.
    """

    def __init__(self, mixture: Callable[[], MixturePrior]) -> None:
        self.frozen = mixture

    @property
    def latent_dim(self) -> int:
        return self.frozen().latent_dim

    @property
    def scale(self) -> float:
        return self.frozen().scale

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        return self.frozen().draw(n, generator, device)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.frozen().log_prob(z)
