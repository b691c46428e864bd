"""What every auto-encoder shares: its networks, its public methods, its optimizers and what it
reports."""

import inspect
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, validate_call
from rich.progress import track
from torch import Tensor

from autoencoders.data import Batch, Examples
from autoencoders.data.examples import as_batch
from autoencoders.distributions import Bernoulli, NormalPrior, PointPosterior, Posterior, Prior
from autoencoders.distributions.likelihoods import CostArgument, make_cost
from autoencoders.metrics.epoch import LatentMoments, MeanLosses
from autoencoders.models.description import DESCRIPTION, describe, parts, plain
from autoencoders.models.inference import inference
from autoencoders.models.optimization import Optimized
from autoencoders.models.optimizers import ADAM, COSINE, Partial
from autoencoders.models.recipes import Made, MadePartial, recipe
from autoencoders.networks import Network, Size, Tutorial
from autoencoders.samplers import ClassSampler, SupportsDraw

Losses = dict[str, Tensor]  # the objective as "loss", and the terms that it is made of

# Numbers that a float32 can hold.
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]


@dataclass
class Output:
    """What a forward pass computes.

    posterior: Q(z|x), of the model's `posterior_type`.
    z: the codes drawn from it and decoded, (B, latent_dim).
    logits: the decoder's output, (B, heads * C, ...); `model.cost.mean` brings it into the data's
        space.
    extras: what else a model's losses need of its forward pass, by name.
    """

    posterior: Any
    z: Tensor
    logits: Tensor
    extras: dict[str, Any] = field(default_factory=dict)


class AutoEncoder(Optimized):
    """What every model is: `encode`, `decode`, `reconstruct`, `sample`.

    These four are for using a trained model: they compute in evaluation mode and without gradients.
    Training goes through `forward`, which keeps both.

    A model adds its objective in `losses`. Where it needs to, it also sets its own
    `posterior_type` (the VAE), assigns its own `prior` (VampVAE), decodes codes together with what
    else it is given (`logits`, CVAE), or steps its players itself (`training_step`, WAE-GAN).
    Modules that it adds are trained with encoder and decoder, unless `opponents` names them. These
    are the arguments that all models take:

    Args:
        network: makes encoder and decoder, see `networks`.
        shape: of one example, (C, H, W), (C, T) or (features,); the data set knows it.
        kind: of the examples, `image`, `series` or `vector`; the data set knows it.
        bounded: whether data lie in [0, 1]; the data set knows it.
        classes: how many the labels tell apart; the data set knows it.
        latent_dim: dimensions of a code.
        cost: of the reconstruction: `bce`, `mse` or `sigma`, or one of your own, see `losses` and
            `distributions.likelihoods`.
        prior_std: sigma of the prior N(0, sigma^2 I).
        input_noise: scale of the noise on the encoder's input in training: normal, truncated at two
            standard deviations, as Tolstikhin et al. 2018 have it.
        optimizer: of all players, a `functools.partial` of one of torch's classes.
        scheduler: of the learning rate, the same of a schedule's class; None keeps it constant.
        warmup_epochs: epochs in which the regulariser's weight grows linearly to its full value.

    Raises:
        pydantic.ValidationError: an argument outside what its type allows, or a cost that does not
            suit the data.
        InputError: a shape that the network cannot make.
    """

    label: ClassVar[str]  # the model's name in figures and tables
    posterior_type: ClassVar[type[Posterior]] = PointPosterior
    prior_weight: ClassVar[str] = ""  # the argument that brings the codes to the prior, if any does
    conditional: ClassVar[bool] = False  # whether it must be given the labels of what it decodes

    prior: Prior

    @validate_call(config=ConfigDict(arbitrary_types_allowed=True))
    def __init__(
        self,
        *,
        network: Annotated[Network | None, Made] = None,
        shape: tuple[PositiveInt, ...] = (1, 28, 28),
        kind: Literal["image", "series", "vector"] = "image",
        bounded: bool = True,
        classes: NonNegativeInt = 0,
        latent_dim: Size = 8,
        cost: Annotated[CostArgument, Made] = "bce",
        prior_std: Positive = 1.0,
        input_noise: NonNegative = 0.0,
        optimizer: MadePartial = ADAM,
        scheduler: MadePartial = COSINE,
        warmup_epochs: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.network = network or Tutorial()
        objects = {"network": self.network, "cost": cost}
        objects |= {"optimizer": optimizer, "scheduler": scheduler}
        self.save_hyperparameters(ignore=list(objects))
        self.save_hyperparameters({name: recipe(value) for name, value in objects.items()})
        self.shape = shape
        self.kind = kind
        self.bounded = bounded
        self.classes = classes
        self.latent_dim = latent_dim
        self.cost = make_cost(cost, bounded)
        self.prior = NormalPrior(latent_dim, prior_std)
        self.input_noise = input_noise
        self.optimizer: Partial = optimizer
        self.scheduler: Partial | None = scheduler
        self.warmup_epochs = warmup_epochs
        self.encoder = self.network.encoder(
            self.encoder_shape, self.posterior_type.heads * latent_dim
        )
        channels, *size = shape
        self.decoder = self.network.decoder(self.decoder_dim, (self.cost.heads * channels, *size))
        self.train_losses = MeanLosses()
        self.eval_losses = MeanLosses()
        self.latents = LatentMoments(latent_dim)
        self.to(memory_format=torch.channels_last)  # convolutions are faster so

    @property
    def encoder_shape(self) -> tuple[int, ...]:
        """Of what the encoder takes of one example; more than the example where it is told more."""
        return self.shape

    @property
    def decoder_dim(self) -> int:
        """How many numbers the decoder takes; more than a code's where it is told more."""
        return self.latent_dim

    # For use after training ---------------------------------------------------------------------

    def encode(self, x: Tensor, labels: Tensor | None = None, **covariates: Tensor) -> Tensor:
        """The posterior's mean: x (B, *shape) -> codes (B, latent_dim).

        Args:
            labels: (B,), for a model that needs them.
            covariates: as the data set declares them, for a model that needs them.
        """
        with inference(self):
            return self.posterior(Batch(x, labels, covariates)).mean

    def embed(
        self,
        data: Examples | Tensor,
        labels: Tensor | None = None,
        *,
        batch_size: PositiveInt = 1000,
        progress: bool = False,
        **covariates: Tensor,
    ) -> Tensor:
        """Codes of any number of examples, (N, latent_dim) on the CPU, encoded batch by batch.

        Args:
            data: examples, or x (N, *shape); images of bytes are scaled as in training.
            labels, covariates: of x, for a model that needs them, see `encode`.
            progress: whether a bar shows it.
        """
        if self.conditional and labels is None and isinstance(data, Tensor):
            raise ValueError(f"{self.label} needs the labels: embed(x, labels)")
        if isinstance(data, Examples):
            examples = data
        else:
            examples = Examples(data, labels, covariates=covariates)
        batches = examples.batches(batch_size, self.device)
        steps = -(-len(examples) // batch_size)
        shown = track(batches, "encoding", steps, disable=not progress)
        codes = [self.encode(batch.x, **batch.given).cpu() for batch in shown]
        return torch.cat(codes) if codes else torch.empty(0, self.latent_dim)

    def decode(self, z: Tensor, labels: Tensor | None = None, **covariates: Tensor) -> Tensor:
        """Codes (B, latent_dim) -> x_hat (B, *shape), in the data's space.

        Args:
            labels, covariates: what the decoder is given beside the codes, see `encode`.
        """
        nothing = z.new_empty(len(z), 0)
        with inference(self):
            return self.cost.mean(self.logits(z, Batch(nothing, labels, covariates)))

    def reconstruct(self, x: Tensor, labels: Tensor | None = None, **covariates: Tensor) -> Tensor:
        """x (B, *shape) -> x_hat (B, *shape), decoded from the posterior's mean."""
        return self.decode(self.encode(x, labels, **covariates), labels, **covariates)

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        sampler: SupportsDraw | None = None,
        label: int | None = None,
        **covariates: Tensor,
    ) -> Tensor:
        """Decode n draws from the prior, or of another sampler -> (n, *shape).

        Args:
            label: the class to draw of, where the model or the sampler knows classes; without it, a
                conditional model draws each of them as often.
            covariates: (n, ...) each, for a model that needs them.

        Raises:
            ValueError: neither knows classes, or not this one.
        """
        source: Any = sampler or self.prior
        if label is not None and isinstance(source, ClassSampler):
            source = source.of_class(label)
        elif label is not None and not self.conditional:
            raise ValueError(
                f"label={label}: {type(source).__name__} knows no classes; give sampler= one that"
                " does, such as ClassMixture"
            )
        z = source.draw(n, generator).to(self.device)
        labels = self._labels(n, generator, label) if self.conditional else None
        return self.decode(z, labels, **covariates)

    def _labels(self, n: int, generator: torch.Generator | None, label: int | None) -> Tensor:
        """Labels (n,) to draw of: all the same, or random ones."""
        if label is None:
            return torch.randint(self.classes, (n,), generator=generator).to(self.device)
        if not 0 <= label < self.classes:
            raise ValueError(f"label={label}: no such class; allowed: 0 to {self.classes - 1}")
        return torch.full((n,), label, device=self.device)

    def own_weights(self) -> dict[str, float]:
        """The numbers that this model takes beside what all do, such as beta, and its opponents'
        learning rates."""
        common = inspect.signature(AutoEncoder.__init__).parameters
        own = {name: value for name, value in self.hparams.items() if name not in common}
        rates = {f"{name}_lr": self.optimizer_of(name).keywords["lr"] for name in self.opponents()}
        return {k: float(v) for k, v in {**own, **rates}.items() if isinstance(v, int | float)}

    # The objective ------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Output:
        """Encode, draw, decode: x (B, *shape), with the input noise in training."""
        posterior = self.posterior(batch._replace(x=self.perturb(batch.x)))
        z = posterior.draw()  # (B, latent_dim)
        return Output(posterior, z, self.logits(z, batch))

    def posterior(self, batch: Batch) -> Posterior:
        """Q(z|x) of x (B, *shape)."""
        return self.posterior_type.of(self.encoder(batch.x))

    def logits(self, z: Tensor, given: Batch) -> Tensor:
        """The decoder's output for codes (B, latent_dim) and what else is `given`, all but x."""
        return self.decoder(z)

    def perturb(self, x: Tensor) -> Tensor:
        if self.training and self.input_noise:
            # By the inverse of the distribution function: torch's trunc_normal_ draws again until
            # all values fit, which takes a look on the host, and a CUDA graph has none.
            uniform = math.erf(math.sqrt(2)) * (2 * torch.rand_like(x) - 1)
            return x + self.input_noise * math.sqrt(2) * uniform.erfinv()
        return x

    def losses(self, batch: Batch, out: Output) -> Losses:
        """The objective as "loss" and its terms, the first as "reconstruction"; per example,
        averaged over the batch."""
        raise NotImplementedError

    def reconstruction(self, batch: Batch, out: Output) -> Tensor:
        """c(x, G(z)), summed over dimensions and averaged over the batch."""
        return self.cost.loss(out.logits, batch.x)

    # Training and evaluation --------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Losses:
        batch = as_batch(batch)
        losses = self.losses(batch, self(batch))
        return {**losses, "loss": self.warm_up(losses["reconstruction"], losses["loss"])}

    def warm_up(self, reconstruction: Tensor, loss: Tensor) -> Tensor:
        """The loss with its regulariser, all that it adds to the reconstruction, at the share that
        the epoch gives it: of 4 epochs' warm-up 1/5, 2/5, 3/5, 4/5, then all."""
        share = (self.current_epoch + 1) / (self.warmup_epochs + 1)
        return loss if share >= 1 else torch.lerp(reconstruction, loss, share)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        # Lightning has divided the loss, and none of its terms, by the batches that it accumulates.
        loss = outputs["loss"] * self.trainer.accumulate_grad_batches
        self.train_losses.update({**outputs, "loss": loss}, len(as_batch(batch).x))

    def on_train_epoch_end(self) -> None:
        self.log_epoch("train", self.train_losses)

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.measure(as_batch(batch))

    def on_validation_epoch_end(self) -> None:
        self.log_epoch("val", self.eval_losses, self.latents)

    def test_step(self, batch: Batch, batch_idx: int = 0) -> None:
        self.measure(as_batch(batch))

    def on_test_epoch_end(self) -> None:
        self.log_epoch("test", self.eval_losses, self.latents)

    def measure(self, batch: Batch) -> None:
        """Take in the objective's terms, the reconstructions' error and the codes' moments."""
        out = self(batch)
        terms = self.losses(batch, out)
        mean, random = out.posterior.mean, out.posterior.random
        logits = self.logits(mean, batch) if random else out.logits
        terms["mse"] = F.mse_loss(self.cost.mean(logits), batch.x)
        if isinstance(self.cost, Bernoulli) or (self.bounded and self.cost.heads == 1):
            terms["bce"] = Bernoulli().loss(logits, batch.x)
        if random:
            terms["mse_sampled"] = F.mse_loss(self.cost.mean(out.logits), batch.x)
        self.eval_losses.update(terms, len(batch.x))
        self.latents.update(mean, out.z)

    def log_epoch(self, stage: str, *metrics: MeanLosses | LatentMoments) -> None:
        """Log what an epoch's metrics have come to, over all of its images and all processes."""
        for metric in metrics:
            values = {f"{stage}/{name}": value for name, value in metric.compute().items()}
            self.log_dict(values, logger=stage != "test")  # the HPARAMS tab shows those
            metric.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in a checkpoint what it is of and what it holds, in values that are read back
        safely."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # None where there is none
        checkpoint[DESCRIPTION] = {"of": describe(self, data), "parts": parts(checkpoint)}
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            if key in checkpoint:
                checkpoint[key] = plain(dict(checkpoint[key]))
