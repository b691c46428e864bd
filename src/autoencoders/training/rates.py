"""The learning rates, as the loggers show them."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer


class LearningRates(Callback):
    """Logs each optimizer's learning rate, epoch by epoch: `train/lr`, and of WAE-GAN's
    discriminator `train/discriminator_lr`.

    Lightning's `LearningRateMonitor` counts steps, of which WAE-GAN makes two a batch.
    """

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx > 0:
            return
        # The optimizer's own rate, once all has been said about it that an epoch begins with: a
        # schedule knows only what it has set itself.
        for i, optimizer in enumerate(trainer.optimizers):
            rate = float(optimizer.param_groups[0]["lr"])
            name = _scheduled_name(trainer, optimizer) or _name(pl_module, i)
            pl_module.log(f"train/{name}", rate, on_step=False, on_epoch=True, batch_size=1)


def _name(model: Any, i: int) -> str:
    """What the i-th optimizer's learning rate is called where none schedules it."""
    names = [*["lr"], *(f"{name}_lr" for name in getattr(model, "opponents", dict)())]
    return names[i] if i < len(names) else f"lr{i}"


def _scheduled_name(trainer: pl.Trainer, optimizer: Optimizer) -> str | None:
    """What an optimizer's learning rate is called where a schedule has it."""
    schedules = trainer.lr_scheduler_configs
    return next((s.name for s in schedules if s.scheduler.optimizer is optimizer), None)
