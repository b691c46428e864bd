"""A trained model's numbers, measured of the weights that it ends with."""

import pytorch_lightning as pl

from autoencoders.data import DataModule
from autoencoders.models import AutoEncoder


def measure(trainer: pl.Trainer, model: AutoEncoder, data: DataModule) -> dict[str, float]:
    """The `val/` metrics of a model, if there is a validation set, and its `test/` metrics, unless
    it is judged on the validation set: nothing of the test set is computed then.

    The last validation in training may have been of earlier weights: it may be held every few
    epochs, and averaging changes the weights at the end.
    """
    metrics: dict[str, float] = {}
    loggers, trainer.loggers = trainer.loggers, []  # the curves have ended with training
    if len(data.val):
        trainer.validate(model, data, verbose=False)
        metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    if data.judged_on == "test":
        trainer.test(model, data, verbose=False)
        metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer.loggers = loggers
    return {name: value for name, value in metrics.items() if name.startswith(("val/", "test/"))}
