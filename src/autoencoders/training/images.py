"""What a model does while it trains, shown by the run's loggers."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from autoencoders.data import DataModule, Examples
from autoencoders.figures.images import montage
from autoencoders.models import AutoEncoder
from autoencoders.training.averaging import evaluated_weights
from autoencoders.training.loggers import TensorBoard

SHOWN = 512  # examples whose codes are drawn as histograms
ROW = 16  # images in a row


class Images(Callback):
    """After every epoch: reconstructions of the same images and samples from the same codes; in
    TensorBoard also histograms of codes, and a chart of each term, training beside validation.

    The images are of the validation set, or of the training set where there is none.
    """

    def __init__(self) -> None:
        self.failed = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.loggers and trainer.is_global_zero and not self.failed:
            try:
                with evaluated_weights(trainer, pl_module):
                    self._show(trainer, pl_module)
            except OSError:  # a full disk
                raise
            except Exception as error:  # a model that draws or decodes in another way still trains
                self.failed = True
                print(f"no images are shown while it trains: {type(error).__name__}: {error}")

    def _show(self, trainer: pl.Trainer, pl_module: Any) -> None:
        epoch = trainer.current_epoch
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]  # set in fit
        examples = data.val if len(data.val) else data.train
        shown = examples.batch(SHOWN, pl_module.device)
        rows = images_of(pl_module, data, examples) if data.kind == "image" else {}
        for logger in trainer.loggers:
            for name, images in rows.items():
                logger.log_image(f"epoch/{name}", [to_pil_image(montage(images))], epoch)  # type: ignore[attr-defined]
            if isinstance(logger, TensorBoard):
                _show_codes(logger.experiment, pl_module.encode(shown.x, **shown.given), epoch)
                if epoch == 0:
                    _lay_out_charts(logger.experiment, pl_module.train_losses.names)


def images_of(model: AutoEncoder, data: DataModule, examples: Examples) -> dict[str, list[Tensor]]:
    """Rows of reconstructions below their originals, and of samples, as they are shown."""
    first = examples.batch(ROW, model.device)
    x_hat = model.reconstruct(first.x, **first.given)
    n, generator = 4 * len(first.x), torch.Generator().manual_seed(0)
    given = examples.resample(n, torch.Generator().manual_seed(0)).batch(device=model.device)
    covariates: dict[str, Any] = dict(given.covariates)
    samples = model.sample(n, generator, **covariates)
    return {
        "reconstructions": [data.pixels(x) for x in (first.x, x_hat)],
        "samples": list(data.pixels(samples).split(len(first.x))),
    }


def _show_codes(board: Any, z: Tensor, epoch: int) -> None:
    """Histograms of codes (n, latent_dim)."""
    board.add_histogram("latent/codes", z, epoch)
    board.add_histogram("latent/means_by_dimension", z.mean(0), epoch)
    board.add_histogram("latent/stds_by_dimension", z.std(0, correction=0), epoch)


def _lay_out_charts(board: Any, terms: Iterable[str]) -> None:
    charts = {term: ["Multiline", [f"train/{term}$", f"val/{term}$"]] for term in terms}
    board.add_custom_scalars({"training beside validation": charts})
