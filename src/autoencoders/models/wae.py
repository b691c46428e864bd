"""The Wasserstein auto-encoder with an adversarial penalty."""

from typing import Any

from pydantic import PositiveInt, validate_call
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.losses import adversarial_penalty, discriminator_accuracy, discriminator_loss
from autoencoders.models.base import AutoEncoder, Losses, NonNegative, Pass, Positive
from autoencoders.networks import Discriminator, Size


class WAEGAN(AutoEncoder):
    """WAE-GAN: minimise c(x, G(Q(x))) - lambda log D(Q(x)) over encoder and decoder, while the
    discriminator D learns to tell codes from draws of the prior.

    Tolstikhin et al. 2018 (arXiv 1711.01558), algorithm 1. The two players alternate by manual
    optimization: D steps first, then encoder and decoder against the D that has just stepped. One
    encoding serves both, since D's step leaves the encoder as it was.

    Args:
        reg_weight: lambda.
        discriminator_dim: width of D's four hidden layers.
        discriminator_lr: Adam's learning rate for D.
        discriminator_steps: D's steps on each batch, each against new draws from the prior.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "WAE-GAN"

    @validate_call
    def __init__(
        self,
        *,
        reg_weight: NonNegative = 10.0,
        discriminator_dim: Size = 128,
        discriminator_lr: Positive = 1e-3,
        discriminator_steps: PositiveInt = 1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters(
            "reg_weight", "discriminator_dim", "discriminator_lr", "discriminator_steps"
        )
        self.automatic_optimization = False
        self.reg_weight = reg_weight
        self.discriminator_lr = discriminator_lr
        self.discriminator_steps = discriminator_steps
        self.discriminator = Discriminator(self.latent_dim, discriminator_dim)

    def losses(self, x: Tensor, out: Pass) -> Losses:
        reconstruction = self.reconstruction(x, out)
        code_logits = self.discriminator(out.z)
        prior_logits = self.discriminator(self.prior.draw(len(x), device=self.device))
        penalty = adversarial_penalty(code_logits)
        return {
            "loss": reconstruction + self.reg_weight * penalty,
            "reconstruction": reconstruction,
            "penalty": penalty,
            "discriminator_loss": discriminator_loss(prior_logits, code_logits),
            "discriminator_accuracy": discriminator_accuracy(prior_logits, code_logits),
        }

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Losses:
        x, _ = batch
        out = self(x)
        for _ in range(self.discriminator_steps):
            of_discriminator = self.step_discriminator(out.z.detach())
        return of_discriminator | self.step_autoencoder(x, out)

    def step_discriminator(self, z: Tensor) -> Losses:
        """D's step, on codes (B, latent_dim) that carry no gradient to the encoder."""
        _, optimizer = self.optimizers()  # type: ignore[attr-defined]
        code_logits = self.discriminator(z)
        prior_logits = self.discriminator(self.prior.draw(len(z), device=self.device))
        loss = discriminator_loss(prior_logits, code_logits)
        optimizer.zero_grad()
        self.manual_backward(self.reg_weight * loss)
        optimizer.step()
        accuracy = discriminator_accuracy(prior_logits, code_logits)
        return {"discriminator_loss": loss, "discriminator_accuracy": accuracy}

    def step_autoencoder(self, x: Tensor, out: Pass) -> Losses:
        """The encoder's and the decoder's step, against the D that has just stepped."""
        optimizer, _ = self.optimizers()  # type: ignore[attr-defined]
        self.discriminator.requires_grad_(False)  # it passes gradients on and keeps none
        penalty = adversarial_penalty(self.discriminator(out.z))
        self.discriminator.requires_grad_(True)
        reconstruction = self.reconstruction(x, out)
        loss = reconstruction + self.reg_weight * penalty
        loss = self.warm_up(reconstruction, loss)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        # Under manual optimization Lightning leaves the schedules to us.
        for scheduler in self.lr_schedulers():  # type: ignore[union-attr]
            scheduler.step()

    def configure_optimizers(self) -> Any:
        return [
            self.adam(self.autoencoder_parameters(), self.lr),
            self.adam(self.discriminator.parameters(), self.discriminator_lr),
        ]
