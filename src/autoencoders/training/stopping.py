"""When training ends before its last epoch."""

from typing import Annotated, Literal

import pytorch_lightning as pl
from pydantic import Field, PositiveInt, validate_call
from pytorch_lightning.callbacks import EarlyStopping as LightningsEarlyStopping


class EarlyStopping(LightningsEarlyStopping):
    """Ends training once a metric has not improved for some epochs.

    Lightning's, but that a run which is resumed after it was stopped is not trained further.

    Args:
        monitor: the metric.
        mode: whether less of it is better, or more.
        patience: epochs without improvement.
        min_delta: what is no improvement yet.
    """

    @validate_call
    def __init__(
        self,
        monitor: str,
        mode: Literal["min", "max"] = "min",
        patience: PositiveInt = 5,
        min_delta: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__(monitor, min_delta, patience, mode=mode)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped_epoch:
            trainer.should_stop = True
