"""What keeps a run reproducible and stops one that has failed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from autoencoders.errors import InputError
from autoencoders.training.stopping import epochs_so_far, stopped_by


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


class ShareBuffers(Callback):
    """Gives every process the first one's running statistics before an evaluation.

    Each process's batch normalization has seen images of its own; the checkpoint holds the first
    one's statistics, and it is that model whose metrics are wanted. It comes after a callback that
    puts averaged weights into the model.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._share(trainer, pl_module)

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._share(trainer, pl_module)

    def _share(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:
            for buffer in pl_module.buffers():
                torch.distributed.broadcast(buffer, 0)


class RequireBatches(Callback):
    """Ends a run that has trained on nothing, before it is tested."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if epochs_so_far(trainer):
            return
        if trainer.should_stop:
            cause, _ = stopped_by(trainer)
            raise InputError(f"{cause} ended training before its first batch; allow it more")
        raise InputError(
            "no batch to train on: the training set makes none; lower dataset.batch_size,"
            " dataset.val_size or trainer.devices, or allow a larger trainer.limit_train_batches"
        )


class StopOnNonFinite(Callback):
    """Ends a run whose loss is NaN or infinite, before a checkpoint of it is written."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if batch_idx % 100 == 0:  # seldom, since reading a loss waits for the device
            self._check(trainer, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._check(trainer, pl_module.train_losses.compute())
        for name, parameter in pl_module.named_parameters():
            if not parameter.isfinite().all():  # the epoch's last step spoilt it
                self._stop(trainer, name, float("nan"))

    def _check(self, trainer: pl.Trainer, terms: Mapping[str, Tensor]) -> None:
        # A term before the sum that it spoils.
        for name, value in sorted(terms.items(), key=lambda term: "loss" in term[0]):
            if not torch.isfinite(value):
                self._stop(trainer, f"train/{name}", value.item())

    def _stop(self, trainer: pl.Trainer, name: str, value: float) -> None:
        raise InputError(
            f"{name} is {value} in epoch {trainer.current_epoch + 1}: training has diverged; the"
            " last good checkpoint stays; lower optimizer.lr and start again"
        )
