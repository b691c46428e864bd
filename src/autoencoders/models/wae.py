"""The Wasserstein auto-encoder with an adversarial penalty."""

from typing import Any

from pydantic import PositiveInt, validate_call
from torch import Tensor, nn

from autoencoders.data import Batch
from autoencoders.data.examples import as_batch
from autoencoders.errors import InputError
from autoencoders.losses import adversarial_penalty, discriminator_accuracy, discriminator_loss
from autoencoders.models.base import Losses, NonNegative, Output
from autoencoders.models.manual import ManualSteps
from autoencoders.models.recipes import Changes, recipe
from autoencoders.networks import Discriminator, Size


class WAEGAN(ManualSteps):
    """WAE-GAN: minimise c(x, G(Q(x))) - lambda log D(Q(x)) over encoder and decoder, while the
    discriminator D learns to tell codes from draws of the prior.

    Tolstikhin et al. 2018 (arXiv 1711.01558), algorithm 1. The two players alternate by manual
    optimization: D steps first, then encoder and decoder against the D that has just stepped. One
    encoding serves both, since D's step leaves the encoder as it was. Where gradients are
    accumulated over batches, both step after the last of them, D first.

    Args:
        reg_weight: lambda.
        discriminator_dim: width of D's four hidden layers.
        discriminator_optimizer: what D's optimizer has otherwise than the model's, by name, or a
            `functools.partial` of another class.
        discriminator_steps: D's steps on each batch, each against new draws from the prior.
        common: what every model takes, see `AutoEncoder`.
    """

    label = "WAE-GAN"
    prior_weight = "reg_weight"

    @validate_call
    def __init__(
        self,
        *,
        reg_weight: NonNegative = 10.0,
        discriminator_dim: Size = 128,
        discriminator_optimizer: Changes = {"lr": 1e-3},  # noqa: B006 (never written to)
        discriminator_steps: PositiveInt = 1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("reg_weight", "discriminator_dim", "discriminator_steps")
        self.save_hyperparameters({"discriminator_optimizer": recipe(discriminator_optimizer)})
        self.reg_weight = reg_weight
        self.discriminator_optimizer = discriminator_optimizer
        self.discriminator_steps = discriminator_steps
        self.discriminator = Discriminator(self.latent_dim, discriminator_dim)

    def configure_callbacks(self) -> list[Any]:
        callbacks = super().configure_callbacks()
        if self.discriminator_steps > 1 and self.accumulate_grad_batches > 1:
            raise InputError(
                f"model.discriminator_steps={self.discriminator_steps}: does not go together with"
                f" trainer.accumulate_grad_batches={self.accumulate_grad_batches}; set one to 1"
            )
        return callbacks

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        code_logits = self.discriminator(out.z)
        prior_logits = self.discriminator(self.prior.draw(len(batch.x), device=self.device))
        penalty = adversarial_penalty(code_logits)
        return {
            "loss": reconstruction + self.reg_weight * penalty,
            "reconstruction": reconstruction,
            "penalty": penalty,
            "discriminator_loss": discriminator_loss(prior_logits, code_logits),
            "discriminator_accuracy": discriminator_accuracy(prior_logits, code_logits),
        }

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Losses:
        batch = as_batch(batch)
        out = self(batch)
        for _ in range(self.discriminator_steps):
            of_discriminator = self.step_discriminator(out.z.detach())
        return self.step_autoencoder(batch, out) | of_discriminator

    def step_discriminator(self, z: Tensor) -> Losses:
        """D's step, on codes (B, latent_dim) that carry no gradient to the encoder."""
        _, optimizer = self.optimizers()  # type: ignore[attr-defined]
        code_logits = self.discriminator(z)
        prior_logits = self.discriminator(self.prior.draw(len(z), device=self.device))
        loss = discriminator_loss(prior_logits, code_logits)
        self.descend(optimizer, self.reg_weight * loss)
        accuracy = discriminator_accuracy(prior_logits, code_logits)
        return {"discriminator_loss": loss, "discriminator_accuracy": accuracy}

    def step_autoencoder(self, batch: Batch, out: Output) -> Losses:
        """The encoder's and the decoder's step, against the D that has just stepped."""
        optimizer, _ = self.optimizers()  # type: ignore[attr-defined]
        self.discriminator.requires_grad_(False)  # it passes gradients on and keeps none
        penalty = adversarial_penalty(self.discriminator(out.z))
        self.discriminator.requires_grad_(True)
        reconstruction = self.reconstruction(batch, out)
        loss = self.warm_up(reconstruction, reconstruction + self.reg_weight * penalty)
        self.descend(optimizer, loss)
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}

    def opponents(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator}
