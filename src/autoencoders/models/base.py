"""What every auto-encoder shares: its networks, its face, its optimizer and what it reports."""

import inspect
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, validate_call
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from autoencoders.data import Batch
from autoencoders.distributions import NormalPrior, PointPosterior, Posterior
from autoencoders.losses import CostName, CrossEntropy, make_cost
from autoencoders.metrics.epoch import LatentMoments, MeanLosses
from autoencoders.models.description import DESCRIPTION, describe, parts, plain
from autoencoders.networks import Network, Size, Tutorial
from autoencoders.samplers import ClassSampler, Drawing

Losses = dict[str, Tensor]  # the objective as "loss", and the terms that it is made of

# Numbers that a float32 can hold.
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Schedule = Literal["constant", "step", "cosine"]


class Pass(NamedTuple):
    """One pass through the model.

    posterior: Q(z|x).
    z: the codes drawn from it and decoded, (B, latent_dim).
    logits: the decoder's output, (B, *shape); `model.cost.mean` brings it into the data's space.
    """

    posterior: Any  # of the model's `posterior_type`
    z: Tensor
    logits: Tensor


class AutoEncoder(pl.LightningModule):
    """The face of every model: `encode`, `decode`, `reconstruct`, `sample`.

    These four are for using a trained model: they compute in evaluation mode and without gradients.
    Training goes through `forward`, which keeps both.

    A model adds its objective in `losses`, and where it needs to, its own `posterior_type` (the
    VAE) or `training_step` (WAE-GAN). These are the arguments that all models take:

    Args:
        network: makes encoder and decoder, see `networks`.
        shape: of one example, (C, H, W) or (features,); the data set knows it.
        bounded: whether data lie in [0, 1]; the data set knows it.
        latent_dim: dimensions of a code.
        cost: of the reconstruction: `bce`, `mse` or `sigma`, see `losses`.
        prior_std: sigma of the prior N(0, sigma^2 I).
        input_noise: scale of the noise on the encoder's input in training: normal, truncated at two
            standard deviations, as Tolstikhin et al. 2018 have it.
        lr: Adam's learning rate.
        betas: Adam's decay rates.
        schedule: of the learning rate: `constant`, `step`, or `cosine` (to 0 at the last epoch).
        lr_steps: for `step`: pairs of an epoch and the factor from then on.
        warmup_epochs: epochs in which the regulariser's weight grows linearly to its full value.

    Raises:
        pydantic.ValidationError: an argument outside what its type allows.
        ValueError: `lr_steps` without their `schedule`, or a cost that does not suit the data.
        InputError: a shape that the network cannot make.
    """

    label: ClassVar[str]  # the model's name in figures and tables
    posterior_type: ClassVar[type[Posterior]] = PointPosterior
    prior_weight: ClassVar[str] = ""  # the argument that brings the codes to the prior, if any does

    @validate_call(config=ConfigDict(arbitrary_types_allowed=True))
    def __init__(
        self,
        *,
        network: Network | None = None,
        shape: tuple[PositiveInt, ...] = (1, 28, 28),
        bounded: bool = True,
        latent_dim: Size = 8,
        cost: CostName = "bce",
        prior_std: Positive = 1.0,
        input_noise: NonNegative = 0.0,
        lr: Positive = 1e-3,
        betas: tuple[Beta, Beta] = (0.9, 0.999),
        schedule: Schedule = "cosine",
        lr_steps: list[tuple[PositiveInt, Positive]] = [],  # noqa: B006 (pydantic copies it)
        warmup_epochs: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["network", "shape", "bounded"])
        if (schedule == "step") != bool(lr_steps):
            raise ValueError(
                f"schedule={schedule} with lr_steps={lr_steps}: schedule=step needs lr_steps, no"
                " other schedule takes them"
            )
        self.network = network or Tutorial()
        self.shape = shape
        self.bounded = bounded
        self.latent_dim = latent_dim
        self.cost = make_cost(cost, bounded)
        self.prior = NormalPrior(latent_dim, prior_std)
        self.input_noise = input_noise
        self.lr = lr
        self.betas = betas
        self.schedule: Schedule = schedule
        self.lr_steps = lr_steps
        self.warmup_epochs = warmup_epochs
        self.encoder = self.network.encoder(shape, self.posterior_type.heads * latent_dim)
        self.decoder = self.network.decoder(latent_dim, shape)
        self.train_losses = MeanLosses()
        self.eval_losses = MeanLosses()
        self.latents = LatentMoments(latent_dim)
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    # The face -----------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """The posterior's mean: x (B, *shape) -> codes (B, latent_dim)."""
        with inference(self):
            return self.posterior(x).mean

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, latent_dim) -> x_hat (B, *shape), in the data's space."""
        with inference(self):
            return self.cost.mean(self.decoder(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> x_hat (B, *shape), decoded from the posterior's mean."""
        return self.decode(self.encode(x))

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        sampler: Drawing | None = None,
        label: int | None = None,
    ) -> Tensor:
        """Decode n draws from the prior, or of another sampler -> (n, *shape).

        Args:
            label: the class to draw of, where the sampler knows classes.

        Raises:
            ValueError: the sampler knows no classes, or not this one.
        """
        if label is not None:
            if not isinstance(sampler, ClassSampler):
                kind = type(sampler or self.prior).__name__
                raise ValueError(
                    f"label={label}: {kind} knows no classes; give sampler= one that does, such as"
                    " ClassMixture"
                )
            sampler = sampler.of_class(label)
        z = (sampler or self.prior).draw(n, generator).to(self.device)
        return self.decode(z)

    def own_weights(self) -> dict[str, float]:
        """The numbers that this model takes beside what all do, such as beta."""
        common = inspect.signature(AutoEncoder.__init__).parameters
        own = {name: value for name, value in self.hparams.items() if name not in common}
        return {name: float(v) for name, v in own.items() if isinstance(v, int | float)}

    # The objective ------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Pass:
        """Encode, draw, decode: x (B, *shape), with the input noise in training."""
        posterior = self.posterior(self.perturb(x))
        z = posterior.draw()  # (B, latent_dim)
        return Pass(posterior, z, self.decoder(z))

    def posterior(self, x: Tensor) -> Posterior:
        """Q(z|x) of x (B, *shape)."""
        return self.posterior_type.of(self.encoder(x))

    def perturb(self, x: Tensor) -> Tensor:
        if self.training and self.input_noise:
            # By the inverse of the distribution function: torch's trunc_normal_ draws again until
            # all values fit, which takes a look on the host, and a CUDA graph has none.
            uniform = math.erf(math.sqrt(2)) * (2 * torch.rand_like(x) - 1)
            return x + self.input_noise * math.sqrt(2) * uniform.erfinv()
        return x

    def losses(self, x: Tensor, out: Pass) -> Losses:
        """The objective as "loss" and its terms, the first as "reconstruction"; per example,
        averaged over the batch."""
        raise NotImplementedError

    def reconstruction(self, x: Tensor, out: Pass) -> Tensor:
        """c(x, G(z)), summed over dimensions and averaged over the batch."""
        return self.cost.loss(out.logits, x)

    # Training and evaluation --------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Losses:
        x, _ = batch
        losses = self.losses(x, self(x))
        return {**losses, "loss": self.warm_up(losses["reconstruction"], losses["loss"])}

    def warm_up(self, reconstruction: Tensor, loss: Tensor) -> Tensor:
        """The loss with its regulariser, all that it adds to the reconstruction, at the share that
        the epoch gives it: of 4 epochs' warm-up 1/5, 2/5, 3/5, 4/5, then all."""
        share = (self.current_epoch + 1) / (self.warmup_epochs + 1)
        return loss if share >= 1 else torch.lerp(reconstruction, loss, share)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Lightning has divided the loss, and none of its terms, by the batches that it accumulates.
        loss = outputs["loss"] * self.trainer.accumulate_grad_batches
        self.train_losses.update({**outputs, "loss": loss}, len(batch[0]))

    def on_train_epoch_end(self) -> None:
        self.log_epoch("train", self.train_losses)

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.measure(batch[0])

    def on_validation_epoch_end(self) -> None:
        self.log_epoch("val", self.eval_losses, self.latents)

    def test_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.measure(batch[0])

    def on_test_epoch_end(self) -> None:
        self.log_epoch("test", self.eval_losses, self.latents)

    def measure(self, x: Tensor) -> None:
        """Take in the objective's terms, the reconstructions' error and the codes' moments."""
        out = self(x)
        terms = self.losses(x, out)
        mean, random = out.posterior.mean, out.posterior.random
        logits = self.decoder(mean) if random else out.logits
        terms["mse"] = F.mse_loss(self.cost.mean(logits), x)
        if self.bounded:
            terms["bce"] = CrossEntropy().loss(logits, x)
        if random:
            terms["mse_sampled"] = F.mse_loss(self.cost.mean(out.logits), x)
        self.eval_losses.update(terms, len(x))
        self.latents.update(mean, out.z)

    def log_epoch(self, stage: str, *metrics: MeanLosses | LatentMoments) -> None:
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

    def adam(self, parameters: Iterable[nn.Parameter], lr: float, name: str = "lr") -> Any:
        """Adam and its learning-rate schedule, stepped once an epoch, as Lightning takes them.

        Args:
            name: of the learning rate, where it is logged.
        """
        on_gpu = self.device.type == "cuda"  # one kernel for all parameters, fit for a CUDA graph
        optimizer = torch.optim.Adam(
            parameters, lr=lr, betas=self.betas, fused=on_gpu or None, capturable=on_gpu
        )
        scheduler = LambdaLR(optimizer, lambda epoch: self.lr_factor(epoch))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "name": name}}

    def on_train_start(self) -> None:
        # A run that is made longer has kept the rates of a schedule that was to end earlier.
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            if not isinstance(scheduler, LambdaLR):  # of a model that has another
                continue
            factors = [factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]
            rates = [lr * factor for lr, factor in zip(scheduler.base_lrs, factors, strict=True)]
            if rates != (saved := scheduler.get_last_lr()):
                self.print(
                    f"schedule={self.schedule} depends on the last epoch: the learning rate goes on"
                    f" at {rates[0]:.3g}, not {saved[0]:.3g}"
                )
            for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        epochs = self.trainer.max_epochs
        if late := [list(step) for step in self.lr_steps if epochs and step[0] >= epochs]:
            self.print(f"model.lr_steps: {late} not reached within trainer.max_epochs={epochs}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in a checkpoint what it is of and what it holds, in values that are read back
        safely."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # None where there is none
        checkpoint[DESCRIPTION] = {"of": describe(self, data), "parts": parts(checkpoint)}
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            if key in checkpoint:
                checkpoint[key] = plain(dict(checkpoint[key]))

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
