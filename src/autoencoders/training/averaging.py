"""Averages of the weights, which are evaluated in place of those that are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pytorch_lightning as pl
from pydantic import Field, validate_call
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """An exponential moving average of the weights and of batch normalization's statistics.

    Validation, test and images use it. A checkpoint holds it as its `state_dict`, and beside it, as
    `current_model_state`, the weights that are trained.

    It moves once a batch in which optimizers have stepped, however many they are (Lightning's
    `EMAWeightAveraging` can be told to count steps, of which WAE-GAN makes two a batch). After
    n moves it keeps min(decay, (1 + n) / (10 + n)) of itself, as TensorFlow's
    `ExponentialMovingAverage(num_updates=n)` does: a short training would else end near where it
    began.

    Args:
        decay: the share that is kept in the long run.
    """

    @validate_call
    def __init__(self, decay: Annotated[float, Field(ge=0, lt=1)] = 0.999) -> None:
        super().__init__(avg_fn=self.move)
        self.decay = decay

    def move(self, average: Tensor, weights: Tensor, moves: Tensor) -> Tensor:
        kept = ((1 + moves) / (10 + moves)).clamp(max=self.decay)
        return weights + kept * (average - weights)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Where Lightning brings the model later; nobody knew it when this callback was made.
        super().__init__(trainer.strategy.root_device, avg_fn=self.move)
        super().setup(trainer, pl_module, stage)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that is resumed after its last epoch has no end of training.
        self.on_train_end(trainer, pl_module)


@contextmanager
def evaluated_weights(trainer: pl.Trainer, model: pl.LightningModule) -> Iterator[None]:
    """Puts the average into the model for a while, where there is one, as validation does."""
    averages = [c for c in trainer.callbacks if isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    for average in averages:
        average.on_validation_epoch_start(trainer, model)
    try:
        yield
    finally:
        for average in averages:
            average.on_validation_epoch_end(trainer, model)
