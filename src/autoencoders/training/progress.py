"""What a terminal shows while a model trains, and what it does not."""

import logging
import sys
import time
import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme

PAUSE = 0.2  # seconds between two drawings


class ProgressBar(RichProgressBar):
    """Epochs counted from 1, the loss terms' means over the epoch so far, and the last `val/mse`.

    Drawn a few times a second, and not in every step: reading a loss waits for the device. Where
    output is no terminal, such as a log's file, it is a plain line for each epoch.
    """

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".4g"))
        self._drawn = 0.0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.is_last_batch or time.monotonic() - self._drawn > PAUSE:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self._drawn = time.monotonic()

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        metrics = {name: float(mean) for name, mean in pl_module.train_losses.so_far().items()}
        if "val/mse" in trainer.callback_metrics:
            metrics["val/mse"] = float(trainer.callback_metrics["val/mse"])
        return metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero and not sys.stdout.isatty():
            metrics = self.get_metrics(trainer, pl_module)
            numbers = [f"{name} {value:.4g}" for name, value in metrics.items()]
            epoch = self._get_train_description(trainer.current_epoch).strip()
            print(f"{epoch}: {', '.join(numbers)}", flush=True)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(10)


def quiet_lightning() -> None:
    """Silence Lightning's notices that say nothing of the run at hand."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # their reports
    for notice in (
        "does not have many workers",  # data lies in memory
        "number of training batches",  # epochs are the x-axis, not steps
        "exists and is not empty",  # a run resumed in place
        "Total length of `list` across ranks is zero",  # no validation set
        "It is recommended to use .self.log",  # over processes the metrics are averaged already
        "isinstance.treespec, LeafSpec",  # between Lightning and torch
        "You called `self.log.*have no logger configured",  # with logger=none
    ):
        warnings.filterwarnings("ignore", f".*{notice}")
