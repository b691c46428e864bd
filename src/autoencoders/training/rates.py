"""The learning rates, as the loggers show them."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class LearningRates(Callback):
    """Logs each optimizer's learning rate, epoch by epoch: `train/lr`, and of WAE-GAN's
    discriminator `train/discriminator_lr`.

    Lightning's `LearningRateMonitor` counts steps, of which WAE-GAN makes two a batch.
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for schedule in trainer.lr_scheduler_configs:
            rate = float(schedule.scheduler.get_last_lr()[0])
            pl_module.log(f"train/{schedule.name or 'lr'}", rate, on_epoch=True)
