"""What a model does, shown: images in TensorBoard, figures in the run's folder."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from autoencoders import figures
from autoencoders.data import ImageDataModule, Images, to_pixels
from autoencoders.models import AutoEncoder
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
        x = _first(data.val if len(data.val) else data.train, 512).to(pl_module.device)
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
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, figure in draw(pl_module, _data(trainer), trainer.current_epoch).items():
            figure.savefig(self.folder / f"{name}.png", dpi=150)
            if board := _board(trainer):
                board.add_figure(f"figures/{name}", figure, trainer.current_epoch)


def draw(model: AutoEncoder, data: ImageDataModule, epochs: int) -> dict[str, Figure]:
    """A trained model's figures, by name: reconstructions and codes of test images, and samples."""
    heading = f"{model.label} on {data.label}"
    note = _parameters(model, epochs)
    x = _first(data.test, 2000).to(model.device)
    with inference(model):
        codes = model.encode(x)
    rows = []
    for twelve in x[:24].split(12):
        rows += [("test images", twelve), (model.label, model.reconstruct(twelve))]
    samples = model.sample(100, torch.Generator().manual_seed(0))
    labels = data.test.labels[: len(x)]
    return {
        "reconstructions": figures.image_rows(rows, f"{heading}: reconstructions", note),
        "samples": figures.image_grid(samples, f"{heading}: decoded draws from the prior", note),
        "latent": figures.latent_space(
            codes, labels, data.class_names, model.prior_std, f"{heading}: latent space", note
        ),
    }


def _parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of the model."""
    signs = {"beta": "\u03b2", "reg_weight": "\u03bb", "prior_std": "\u03c3"}
    weights = [f"{sign} = {model.hparams[k]:g}" for k, sign in signs.items() if k in model.hparams]
    sizes = [f"{k} = {model.hparams[k]}" for k in ("cost", "latent_dim", "hidden_dim")]
    return ", ".join([*weights, *sizes, f"{epochs} epoch{'s' if epochs != 1 else ''}"])


def _board(trainer: pl.Trainer) -> Any:
    """TensorBoard's writer, on the process that writes."""
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
        return logger.experiment
    return None


def _data(trainer: pl.Trainer) -> ImageDataModule:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in fit and test


def _first(images: Images, n: int) -> Tensor:
    """The first n images as pixels in [0, 1]."""
    return to_pixels(images.images[:n])
