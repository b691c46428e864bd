"""When checkpoints are written."""

import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from autoencoders.checkpoints import saved_epochs
from autoencoders.errors import InputError
from autoencoders.runs import LAST
from autoencoders.sweeps import how_to_continue


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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best score; not the paths, which Lightning would delete files at: the run
        may have been moved, and a checkpoint may have come from anywhere."""
        best, score = self.run / "checkpoints/best.ckpt", state_dict["best_model_score"]
        if score is not None and best.exists():
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(best)
            self.best_k_models = {str(best): score}
        self.last_model_path = str(self.run / LAST)

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
            last, command = self.run / LAST, how_to_continue(self.run)
            epochs = saved_epochs(last) if last.exists() else 0
            print(f"interrupted; {epochs} epochs are saved; continue with: {command}")
