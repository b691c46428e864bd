"""Where models, figures and the logger meet: what happens beside the training itself."""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from pytorch_lightning.callbacks import (
    Callback,
    ModelCheckpoint,
    RichModelSummary,
    RichProgressBar,
)
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from autoencoders import figures
from autoencoders.data import ImageDataModule, Images, to_pixels
from autoencoders.errors import InputError
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.runs import LAST


class EpochLogger(TensorBoardLogger):
    """TensorBoard's events in the run's folder, with epochs on the x-axis.

    Optimizer steps would put WAE-GAN, which makes two a batch, on another axis than the others
    (Lightning issue 17958).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        metrics = dict(metrics)
        super().log_metrics(metrics, step=int(metrics.pop("epoch", step or 0)))

    def log_final(self, hparams: Mapping[str, Any], metrics: dict[str, float]) -> None:
        """Show a finished run in the HPARAMS tab; `train/` and `val/` have their curves already."""
        final = {key: v for key, v in metrics.items() if not key.startswith(("train/", "val/"))}
        self.log_hyperparams(dict(hparams), final, step=int(metrics["epochs"]))
        self.save()


class SeedEpochs(Callback):
    """Makes each epoch's random numbers a function of the seed and the epoch alone.

    A run that is resumed draws what it would have drawn undisturbed, and validation draws the same
    in every epoch, so that epochs compare.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, 1 + trainer.current_epoch)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, 0)

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, 0)

    def _seed(self, trainer: pl.Trainer, epoch: int) -> None:
        # Not seed + epoch: neighbouring runs would share their epochs' numbers.
        entropy = np.random.SeedSequence([self.seed, epoch, trainer.global_rank])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))


class StopOnNonFinite(Callback):
    """Ends a run whose loss is no number any more, before a checkpoint is written of it."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if batch_idx % 20 == 0:  # seldom, since reading a loss waits for the device
            self._check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        for name, value in trainer.callback_metrics.items():
            if not torch.isfinite(value):
                raise InputError(
                    f"{name} is {float(value)} in epoch {trainer.current_epoch}: training has"
                    " diverged; the last good checkpoint stays; lower model.lr and start again"
                )


class RunRecord(Callback):
    """Keeps what metrics.json tells of a run, through checkpoints and resumes.

    Attributes:
        metrics: the last epoch's `train/` and `val/`, later the `test/` metrics.
        images: trained on so far, by all processes.
        seconds: that took, validation, figures and checkpoints not counted.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.images = 0
        self.seconds = 0.0
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.images += len(batch[0]) * trainer.world_size
        if trainer.is_last_batch:
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take(trainer)

    def _take(self, trainer: pl.Trainer) -> None:
        named = {name: float(v) for name, v in trainer.callback_metrics.items() if "/" in name}
        self.metrics.update(named)

    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics, self.images = state_dict["metrics"], state_dict["images"]
        self.seconds = state_dict["seconds"]

    def summary(self, trainer: pl.Trainer, model: AutoEncoder) -> dict[str, float]:
        """The flat content of metrics.json."""
        return {
            **self.metrics,
            "epochs": trainer.current_epoch,
            "train_seconds": self.seconds,
            "images_per_second": self.images / self.seconds if self.seconds else 0.0,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **_peak_memory(),
        }


def _peak_memory() -> dict[str, float]:
    """The most memory that this process has held so far, where the system tells it."""
    if sys.platform == "win32":
        return {}
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"peak_memory_gib": peak / 2**30}


class Exhibits(Callback):
    """Shows what the model does: in TensorBoard after every epoch, as PNG files after the test.

    While training it reconstructs the same images and decodes the same codes each time, so that
    epochs compare. Those images are of the validation set, or of the training set where there is
    none; the figures that remain show the test set.

    Args:
        folder: where the PNG files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        terms = ("loss", "reconstruction", "penalty", "kl")
        charts = {term: ["Multiline", [f"train/{term}$", f"val/{term}$"]] for term in terms}
        if board := _board(trainer):
            board.add_custom_scalars({"training beside validation": charts})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        board = _board(trainer)
        if board is None:
            return
        epoch = trainer.current_epoch
        data = _data(trainer)
        x = _first(data.val if len(data.val) else data.train, 512).to(pl_module.device)
        rows = [x[:16], pl_module.reconstruct(x[:16])]
        board.add_image("reconstructions", figures.montage(rows), epoch)
        samples = pl_module.sample(64, torch.Generator().manual_seed(0))
        board.add_image("samples", figures.montage(samples.split(16)), epoch)
        with inference(pl_module):
            codes = pl_module.encode(x)
        board.add_histogram("latent/codes", codes, epoch)
        board.add_histogram("latent/means_by_dimension", codes.mean(0), epoch)
        board.add_histogram("latent/stds_by_dimension", codes.std(0), epoch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, figure in draw(pl_module, _data(trainer), trainer.current_epoch).items():
            figure.savefig(self.folder / f"{name}.png", dpi=150)
            if board := _board(trainer):
                board.add_figure(f"figures/{name}", figure, trainer.current_epoch)


class Checkpoints(ModelCheckpoint):
    """Keeps `last.ckpt`, rewritten after every epoch and there from the start, and `best.ckpt`.

    An interrupted run goes on after the last epoch that it finished: an epoch resumed half-way
    could not end as an undisturbed one does.

    Args:
        run: the run's folder.
        monitor: the metric that the best checkpoint has the least of.
    """

    def __init__(self, run: Path, monitor: str) -> None:
        super().__init__(
            run / "checkpoints",
            filename="best",
            monitor=monitor,
            save_last=True,
            save_on_train_epoch_end=True,  # where both train/ and val/ metrics are known
            enable_version_counter=False,
        )
        self.run = run

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if str(self.monitor).startswith("val/") and not len(_data(trainer).val):
            raise InputError(
                f"monitor={self.monitor}: there is no validation set with dataset.val_size=0; set"
                " monitor=train/loss or a larger dataset.val_size"
            )
        if not (self.run / LAST).exists():
            trainer.save_checkpoint(self.run / LAST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor not in trainer.callback_metrics:
            known = sorted(name for name in trainer.callback_metrics if "/" in name)
            raise InputError(f"monitor={self.monitor}: no such metric; allowed: {', '.join(known)}")
        super().on_train_epoch_end(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            command = shlex.join(["python", "train.py", f"resume={self.run}"])
            print(f"interrupted; to continue after epoch {trainer.current_epoch}: {command}")


def draw(model: AutoEncoder, data: ImageDataModule, epochs: int) -> dict[str, Figure]:
    """A trained model's figures, by name: reconstructions and codes of test images, and samples."""
    heading = f"{model.label} on {data.label}"
    note = _parameters(model, epochs)
    x = _first(data.test, 2000).to(model.device)
    with inference(model):
        codes = model.encode(x)
    rows = []
    for twelve in x[:24].split(12):
        rows += [("test images", twelve), (model.label, model.reconstruct(twelve))]
    samples = model.sample(100, torch.Generator().manual_seed(0))
    labels = data.test.labels[: len(x)]
    return {
        "reconstructions": figures.image_rows(rows, f"{heading}: reconstructions", note),
        "samples": figures.image_grid(samples, f"{heading}: decoded draws from the prior", note),
        "latent": figures.latent_space(
            codes, labels, data.class_names, model.prior_std, f"{heading}: latent space", note
        ),
    }


def _parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of the model."""
    signs = {"beta": "\u03b2", "reg_weight": "\u03bb", "prior_std": "\u03c3"}
    weights = [f"{sign} = {model.hparams[k]:g}" for k, sign in signs.items() if k in model.hparams]
    sizes = [f"{k} = {model.hparams[k]}" for k in ("cost", "latent_dim", "hidden_dim")]
    return ", ".join([*weights, *sizes, f"{epochs} epochs"])


def for_run(cfg: DictConfig, folder: Path) -> list[Callback]:
    """The callbacks of every run that writes into `folder`."""
    return [
        SeedEpochs(cfg.seed),
        StopOnNonFinite(),
        Exhibits(folder / "figures"),
        Checkpoints(folder, cfg.monitor),
        RichModelSummary(),
        RichProgressBar(),
    ]


def _board(trainer: pl.Trainer) -> Any:
    """TensorBoard's writer, on the process that writes."""
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
        return logger.experiment
    return None


def _data(trainer: pl.Trainer) -> ImageDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ImageDataModule)
    return data


def _first(images: Images, n: int) -> Tensor:
    """The first n images as pixels in [0, 1]."""
    return to_pixels(images.images[:n])
