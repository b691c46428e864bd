"""What a model does while it trains, shown in TensorBoard."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from autoencoders.data import DataModule
from autoencoders.figures.images import montage

SHOWN = 512  # examples whose codes are drawn as histograms
ROW = 16  # images in a row


class Images(Callback):
    """After every epoch: reconstructions of the same images, samples from the same codes, and
    histograms of codes; and a chart of each term, training beside validation.

    The images are of the validation set, or of the training set where there is none.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        board = board_of(trainer)
        if board is None:
            return
        epoch = trainer.current_epoch
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]  # set in fit
        x = (data.val if len(data.val) else data.train).x(SHOWN).to(pl_module.device)
        if len(data.shape) == 3:
            rows = [x[:ROW], pl_module.reconstruct(x[:ROW])]
            board.add_image("epoch/reconstructions", montage(rows), epoch)
            samples = pl_module.sample(4 * ROW, torch.Generator().manual_seed(0))
            board.add_image("epoch/samples", montage(samples.split(ROW)), epoch)
        z = pl_module.encode(x)
        board.add_histogram("latent/codes", z, epoch)
        board.add_histogram("latent/means_by_dimension", z.mean(0), epoch)
        board.add_histogram("latent/stds_by_dimension", z.std(0, correction=0), epoch)
        if epoch == 0:
            terms = pl_module.train_losses.names
            charts = {term: ["Multiline", [f"train/{term}$", f"val/{term}$"]] for term in terms}
            board.add_custom_scalars({"training beside validation": charts})


def board_of(trainer: pl.Trainer) -> Any:
    """TensorBoard's writer, on the process that writes."""
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
        return logger.experiment
    return None
