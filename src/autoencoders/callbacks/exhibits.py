"""What a model does, shown: images in TensorBoard, figures in the run's folder."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from autoencoders import exhibits, figures
from autoencoders.data import ImageDataModule
from autoencoders.models.base import inference


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
        x = exhibits.first_pixels((data.val if len(data.val) else data.train).images, 512).to(
            pl_module.device
        )
        rows = [x[:16], pl_module.reconstruct(x[:16])]
        board.add_image("reconstructions", figures.montage(rows), epoch)
        samples = pl_module.sample(64, torch.Generator().manual_seed(0))
        board.add_image("samples", figures.montage(samples.split(16)), epoch)
        with inference(pl_module):
            codes = pl_module.encode(x)
        board.add_histogram("latent/codes", codes, epoch)
        board.add_histogram("latent/means_by_dimension", codes.mean(0), epoch)
        board.add_histogram("latent/stds_by_dimension", codes.std(0, correction=0), epoch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        drawn = exhibits.of_model(pl_module, _data(trainer), trainer.current_epoch)
        step = max(trainer.current_epoch - 1, 0)  # where the last epoch's curves end
        exhibits.leave(drawn, self.folder, _board(trainer), step)


def _board(trainer: pl.Trainer) -> Any:
    """TensorBoard's writer, on the process that writes."""
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
        return logger.experiment
    return None


def _data(trainer: pl.Trainer) -> ImageDataModule:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in fit and test
