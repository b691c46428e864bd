"""When checkpoints are written."""

import signal
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from autoencoders.errors import InputError
from autoencoders.runs import LAST, shown
from autoencoders.sweeps import MULTIRUN


class Checkpoints(ModelCheckpoint):
    """Keeps `last.ckpt`, rewritten after every epoch and there from the start, and `best.ckpt`.

    An interrupted run goes on after the last epoch that it finished: an epoch resumed half-way
    could not end as an undisturbed one does.

    Args:
        run: the run's folder.
        monitor: the metric that the best checkpoint has the least of.
        objective: the metric that the run is judged by in a sweep.
    """

    def __init__(self, run: Path, monitor: str, objective: str) -> None:
        super().__init__(
            run / "checkpoints",
            filename="best",
            monitor=monitor,
            save_last=True,
            save_on_train_epoch_end=True,  # where both train/ and val/ metrics are known
            enable_version_counter=False,
        )
        self.run = run
        self.named = {"monitor": monitor, "objective": objective}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in fit
        if str(self.monitor).startswith("val/") and not len(data.val):
            raise InputError(
                f"monitor={self.monitor}: there is no validation set with dataset.val_size=0; set"
                " monitor=train/loss or a larger dataset.val_size"
            )

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # One batch has been validated, so that a mistyped val/ metric need not cost an epoch.
        self._check_names(trainer, "val/")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if trainer.ckpt_path is None:  # a new run, not one resumed
            trainer.save_checkpoint(self.run / LAST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_names(trainer, "train/")
        super().on_train_epoch_end(trainer, pl_module)

    def _check_names(self, trainer: pl.Trainer, stage: str) -> None:
        for key, name in self.named.items():
            if name.startswith(stage) and name not in trainer.callback_metrics:
                known = sorted(metric for metric in trainer.callback_metrics if "/" in metric)
                raise InputError(f"{key}={name}: no such metric; allowed: {', '.join(known)}")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        asked_to_stop = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        if isinstance(exception, SIGTERMException):
            exception.code = 128 + signal.SIGTERM  # or the program would end as if all were well
        if asked_to_stop and trainer.is_global_zero:
            multirun = (self.run.parent / MULTIRUN).exists()
            what = (
                f"-m resume={shown(self.run.parent)}" if multirun else f"resume={shown(self.run)}"
            )
            epochs = trainer.current_epoch
            print(f"interrupted; {epochs} epochs are saved; continue with: python train.py {what}")
