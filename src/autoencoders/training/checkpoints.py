"""When checkpoints are written."""

import math
import re
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from autoencoders.errors import InputError
from autoencoders.files import BEST, LAST
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.stopping import monitored


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` at the start and after every epoch, `best.ckpt` where `monitor` improves.

    Lightning's `ModelCheckpoint` rewrites its last checkpoint only in epochs that improve. This one
    always does: `last.ckpt` holds the weights that the run's metrics and figures are about.

    An interrupted run continues after the last epoch that it finished: an epoch resumed half-way
    could not end as an undisturbed one does.

    Args:
        run: the run's folder.
        monitor: the metric that the best checkpoint has the least of.
        objective: the metric that the run is judged by in a sweep.
    """

    def __init__(self, run: Path, monitor: str, objective: str) -> None:
        self.run = run
        self.monitor = monitor
        self.metrics = [("monitor", monitor), ("objective", objective)]
        self.least = math.inf
        self.validated = False

    def state_dict(self) -> dict[str, Any]:
        return {"least": self.least}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.least = state_dict["least"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        there = set(checkpoint["callbacks"])
        lacking = {callback.state_key for callback in callbacks if callback.state_dict()} - there
        foreign = there - {callback.state_key for callback in callbacks}
        if lacking or foreign:
            raise InputError(
                f"{trainer.ckpt_path}: is of a run with other callbacks: it has"
                f" {', '.join(sorted(foreign)) or 'none'} in place of"
                f" {', '.join(sorted(lacking)) or 'none'}; put the run's own checkpoint there"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics += monitored(trainer)
        for key, name in self.metrics:
            if name.startswith("val/") and (setting := _without_validation(trainer)):
                raise InputError(
                    f"{key}={name}: there is no validation with {setting}; change that, or set"
                    f" {key}=train/loss"
                )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path is None:  # a new run, not one resumed
            trainer.save_checkpoint(self.run / LAST)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After the sanity check's batch too, so that a mistyped metric need not cost an epoch.
        self._check_names(trainer, "val/")
        self.validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_names(trainer, "train/")
        for logger in trainer.loggers:  # they must not be behind the checkpoint after a crash
            logger.save()
        # In an epoch without validation, Lightning still holds the `val/` metrics of an earlier.
        if self.validated or not self.monitor.startswith("val/"):
            score = float(trainer.callback_metrics[self.monitor])
            if score < self.least:
                self.least = score
                trainer.save_checkpoint(self.run / BEST)
        self.validated = False
        trainer.save_checkpoint(self.run / LAST)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Stochastic weight averaging changes the weights once more, after the last epoch.
        if trainer.is_global_zero:
            saved = read_checkpoint(self.run / LAST)["state_dict"]
            now = pl_module.state_dict()
            same = all(torch.equal(saved[name], now[name].cpu()) for name in saved)
        else:
            same = True
        if not trainer.strategy.broadcast(same):
            trainer.save_checkpoint(self.run / LAST)

    def _check_names(self, trainer: pl.Trainer, stage: str) -> None:
        for key, name in self.metrics:
            measured = re.sub("^test/", "val/", name)  # a test measures what validation does
            if measured.startswith(stage) and measured not in trainer.callback_metrics:
                known = sorted(m for m in trainer.callback_metrics if m.startswith(stage))
                allowed = ", ".join(known).replace(stage, f"{name.partition('/')[0]}/")
                raise InputError(f"{key}={name}: no such metric; allowed: {allowed}")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, SIGTERMException):
            exception.code = 128 + signal.SIGTERM  # or the program would end as if all were well
        asked_to_stop = isinstance(exception, KeyboardInterrupt | SystemExit)
        if asked_to_stop and trainer.is_global_zero:
            last = self.run / LAST
            epochs = read_checkpoint(last).epochs if last.exists() else 0
            print(f"interrupted; {epochs} epochs are saved")


def _without_validation(trainer: pl.Trainer) -> str:
    """The setting that keeps a run from validation, if one does."""
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in fit
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if not len(data.val):
        return "dataset.val_size=0"
    if trainer.limit_val_batches == 0:
        return "trainer.limit_val_batches=0"
    if every and epochs and every > epochs:
        return f"trainer.check_val_every_n_epoch={every} and trainer.max_epochs={epochs}"
    return ""
