"""What every auto-encoder shares: its networks, its face, its optimizer and what it reports."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, validate_call
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from autoencoders.losses import Cost, reconstruction_cost
from autoencoders.metrics.training import LatentMoments, MeanLosses
from autoencoders.networks import Architecture, Decoder, Encoder
from autoencoders.samplers import Sampler

Batch = tuple[Tensor, Tensor]  # images in [0, 1] (B, C, H, W) and labels (B,)
Losses = dict[str, Tensor]  # the objective as "loss", and the terms that it is made of

# Sizes whose networks' parameters torch can count, and numbers that a float32 can hold.
Size = Annotated[int, Field(gt=0, le=2**20)]
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Schedule = Literal["constant", "step", "cosine"]


class Pass(NamedTuple):
    """One pass through the model.

    mean: the posterior's mean, (B, latent_dim).
    z: the code that was decoded, (B, latent_dim): the mean, or a draw where the posterior is one.
    logits: the decoder's output, (B, C, H, W).
    log_var: the posterior's log-variance, (B, latent_dim), where it has one.
    """

    mean: Tensor
    z: Tensor
    logits: Tensor
    log_var: Tensor | None = None


class AutoEncoder(pl.LightningModule):
    """The face of every model: `encode`, `decode`, `reconstruct`, `sample`.

    A model adds its objective in `losses`, and where it needs to, its own `forward` (the VAE) or
    `training_step` (WAE-GAN). These are the arguments that all models take:

    Args:
        channels, image_size: the images' shape; the data set knows it.
        latent_dim: dimensions of a code.
        hidden_dim: width of the networks, see `networks`.
        architecture: `tutorial` or `paper`, see `networks`.
        cost: of the reconstruction: `bce` or `mse`, see `losses`.
        prior_std: sigma of the prior N(0, sigma^2 I).
        input_noise: standard deviation of Gaussian noise on the encoder's input in training.
        lr: Adam's learning rate.
        betas: Adam's decay rates.
        schedule: of the learning rate: `constant`, `step`, or `cosine` (to 0 at the last epoch).
        lr_steps: for `step`: pairs of an epoch and the factor from then on.

    Raises:
        pydantic.ValidationError: an argument outside what its type allows.
        ValueError: an `image_size` that the architecture cannot make, or `lr_steps` without their
            `schedule`.
    """

    label: ClassVar[str]  # the model's name in figures and tables
    encoder_heads: ClassVar[int] = 1  # outputs of the encoder per latent dimension

    @validate_call
    def __init__(
        self,
        *,
        channels: PositiveInt = 1,
        image_size: PositiveInt = 28,
        latent_dim: Size = 8,
        hidden_dim: Size = 32,
        architecture: Architecture = "tutorial",
        cost: Cost = "bce",
        prior_std: Positive = 1.0,
        input_noise: NonNegative = 0.0,
        lr: Positive = 1e-3,
        betas: tuple[Beta, Beta] = (0.9, 0.999),
        schedule: Schedule = "cosine",
        lr_steps: list[tuple[PositiveInt, Positive]] = [],  # noqa: B006 (pydantic copies it)
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if (schedule == "step") != bool(lr_steps):
            raise ValueError(
                f"schedule={schedule} with lr_steps={lr_steps}: schedule=step needs lr_steps, no"
                " other schedule takes them"
            )
        self.latent_dim = latent_dim
        self.hidden_dim = hidden_dim
        self.cost: Cost = cost
        self.prior_std = prior_std
        self.input_noise = input_noise
        self.lr = lr
        self.betas = betas
        self.schedule: Schedule = schedule
        self.lr_steps = lr_steps
        codes = self.encoder_heads * latent_dim
        self.encoder = Encoder(channels, image_size, hidden_dim, codes, architecture)
        self.decoder = Decoder(channels, image_size, hidden_dim, latent_dim, architecture)
        self.train_losses = MeanLosses()
        self.eval_losses = MeanLosses()
        self.latents = LatentMoments(latent_dim)
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    # The face -----------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """The posterior's mean: images in [0, 1] (B, C, H, W) -> codes (B, latent_dim)."""
        return self.encoder(x)

    def encode_and_draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's mean and a draw from it, the same where the encoder is deterministic:
        images in [0, 1] (B, C, H, W) -> two of (B, latent_dim)."""
        z = self.encode(x)
        return z, z

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, latent_dim) -> pixels in [0, 1] (B, C, H, W)."""
        return self.decoder(z).sigmoid()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W) -> their reconstructions from the posterior's mean."""
        with inference(self):
            return self.decode(self.encode(x))

    def sample(
        self, n: int, generator: torch.Generator | None = None, sampler: Sampler | None = None
    ) -> Tensor:
        """Decode n draws from the prior, or of another sampler -> pixels in [0, 1] (n, C, H, W)."""
        with inference(self):
            if sampler is None:
                return self.decode(self.sample_prior(n, generator))
            return self.decode(sampler.draw(n, generator).to(self.device))

    def sample_prior(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n codes from N(0, prior_std^2 I) -> (n, latent_dim).

        A generator draws on its own device, so that a CPU generator's codes are the same anywhere.
        """
        device = generator.device if generator else self.device
        z = torch.randn(n, self.latent_dim, generator=generator, device=device)
        return self.prior_std * z.to(self.device)

    # The objective ------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Pass:
        """Encode and decode a batch, with the input noise in training."""
        z = self.encoder(self.perturb(x))
        return Pass(mean=z, z=z, logits=self.decoder(z))

    def perturb(self, x: Tensor) -> Tensor:
        if self.training and self.input_noise:
            return x + self.input_noise * torch.randn_like(x)
        return x

    def losses(self, x: Tensor, out: Pass) -> Losses:
        """The objective as "loss" and its terms, per image, averaged over the batch."""
        raise NotImplementedError

    def reconstruction(self, x: Tensor, out: Pass) -> Tensor:
        """c(x, G(z)), summed over pixels and averaged over the batch."""
        return reconstruction_cost(self.cost, out.logits, x)

    # Training and evaluation --------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Losses:
        x, _ = batch
        return self.losses(x, self(x))

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Lightning has divided the loss, and none of its terms, by the batches that it accumulates.
        loss = outputs["loss"] * self.trainer.accumulate_grad_batches
        self.train_losses.update({**outputs, "loss": loss}, len(batch[0]))

    def on_train_epoch_end(self) -> None:
        self.report("train", self.train_losses)

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.evaluate(batch[0])

    def on_validation_epoch_end(self) -> None:
        self.report("val", self.eval_losses, self.latents)

    def test_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.evaluate(batch[0])

    def on_test_epoch_end(self) -> None:
        self.report("test", self.eval_losses, self.latents)

    def evaluate(self, x: Tensor) -> None:
        """Take in the objective's terms, the reconstructions' error and the codes' moments."""
        out = self(x)
        terms = self.losses(x, out)
        sampled = out.z is not out.mean
        logits = self.decoder(out.mean) if sampled else out.logits
        terms["mse"] = F.mse_loss(logits.sigmoid(), x)
        terms["bce"] = reconstruction_cost("bce", logits, x)
        if sampled:
            terms["mse_sampled"] = F.mse_loss(out.logits.sigmoid(), x)
        self.eval_losses.update(terms, len(x))
        self.latents.update(out.mean, out.z)

    def report(self, stage: str, *metrics: MeanLosses | LatentMoments) -> None:
        """Log what an epoch's metrics have come to, over all of its images and all processes."""
        for metric in metrics:
            values = {f"{stage}/{name}": value for name, value in metric.compute().items()}
            self.log_dict(values, logger=stage != "test")  # the HPARAMS tab shows those
            metric.reset()

    # The optimizer ------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        return self.adam(self.autoencoder_parameters(), self.lr)

    def autoencoder_parameters(self) -> Iterator[nn.Parameter]:
        """The encoder's and the decoder's."""
        yield from self.encoder.parameters()
        yield from self.decoder.parameters()

    def adam(self, parameters: Iterable[nn.Parameter], lr: float) -> Any:
        """Adam and its learning-rate schedule, stepped once an epoch, as Lightning takes them."""
        on_gpu = self.device.type == "cuda"  # one kernel for all parameters, fit for a CUDA graph
        optimizer = torch.optim.Adam(
            parameters, lr=lr, betas=self.betas, fused=on_gpu or None, capturable=on_gpu
        )
        scheduler = LambdaLR(optimizer, lambda epoch: self.lr_factor(epoch))
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def lr_factor(self, epoch: int) -> float:
        """The schedule's factor on the learning rate in that epoch, counted from 0."""
        if self.schedule == "cosine":
            epochs = self.trainer.max_epochs or 1
            return 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        if self.schedule == "step":
            return math.prod(factor for start, factor in self.lr_steps if epoch >= start)
        return 1.0


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for a while: batch normalization must use its running
    statistics, not those of the images at hand."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
