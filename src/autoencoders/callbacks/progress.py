"""The bar that a terminal shows while a model trains."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme

SHOWN = ("loss", "reconstruction", "kl", "penalty")
PAUSE = 0.2  # seconds between two drawings


class ProgressBar(RichProgressBar):
    """Epochs counted from 1, the loss terms' means over the epoch so far, and the last `val/mse`.

    Drawn a few times a second, and not in every step: reading a loss waits for the device.
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
        means = pl_module.train_losses.so_far()
        shown = {name: float(means[name]) for name in SHOWN if name in means}
        if "val/mse" in trainer.callback_metrics:
            shown["val/mse"] = float(trainer.callback_metrics["val/mse"])
        return shown

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(10)
