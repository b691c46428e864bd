"""What a terminal shows while a model trains, and what it does not."""

import logging
import re
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

PAUSE = 0.2  # seconds between two drawings
BAR = 8  # columns
TIME = 7  # columns, and one between any two


class ProgressBar(RichProgressBar):
    """One line: epochs counted from 1, the time that this one still takes, the loss terms' means
    over it so far and the last `val/mse`, as many as the terminal is wide for.

    Drawn a few times a second, and not in every step: reading a loss waits for the device. Where
    output is no terminal, such as a log's file, it is a plain line for each epoch.
    """

    def __init__(self, console_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(console_kwargs=console_kwargs)
        if not sys.stdout.isatty():
            self.disable()
        self._drawn = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._max_epochs = trainer.max_epochs  # before a callback adds one

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        terms = Column(no_wrap=True, overflow="ellipsis")
        return [
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[terms]}", markup=False, table_column=terms),
        ]

    def _add_task(self, total_batches: float, description: str, visible: bool = True) -> Any:
        assert self.progress is not None  # Lightning has just made it
        return self.progress.add_task(description, total=total_batches, visible=visible, terms="")

    def _update_metrics(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.progress is not None and self.train_progress_bar_id is not None:
            description = self._get_train_description(trainer.current_epoch)
            width = self.progress.console.width - len(description) - BAR - TIME - 4
            terms = fitted(self.get_metrics(trainer, pl_module), width)
            self.progress.update(self.train_progress_bar_id, terms=terms)

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
        metrics = {name: float(mean) for name, mean in pl_module.train_losses.so_far().items()}
        if "val/mse" in trainer.callback_metrics:
            metrics["val/mse"] = float(trainer.callback_metrics["val/mse"])
        return metrics

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.is_global_zero and not sys.stdout.isatty():
            metrics = self.get_metrics(trainer, pl_module)
            numbers = [f"{name} {value:.4g}" for name, value in metrics.items()]
            epoch = self._get_train_description(trainer.current_epoch).strip()
            print(f"{epoch}: {', '.join(numbers)}", flush=True)

    def _get_train_description(self, current_epoch: int) -> str:
        if current_epoch == self._max_epochs:  # stochastic weight averaging adds it
            return "Averaging "
        return f"Epoch {current_epoch + 1}/{self._max_epochs}".ljust(10)


def fitted(metrics: Mapping[str, float], width: int) -> str:
    """As many metrics as fit into a line: the loss and `val/mse` before the terms, in their order;
    names in short where the whole ones have no room."""
    names = sorted(metrics, key=lambda name: name not in ("loss", "val/mse"))
    values = [f"{metrics[name]:.4g}" for name in names]
    short = [re.sub(r"([a-z]{5})[a-z]+", r"\1", name) for name in names]  # recon, penal
    for known_as in (names, short):
        parts = [f"{name} {value}" for name, value in zip(known_as, values, strict=True)]
        if len(" ".join(parts)) <= width:
            break
    while parts and len(" ".join(parts)) > width:
        parts.pop()
    return " ".join(parts)


def quiet_lightning() -> None:
    """Silence Lightning's notices that say nothing of the run at hand."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # their reports
    for notice in (
        "does not have many workers",  # data lies in memory
        "number of training batches",  # epochs are the x-axis, not steps
        "exists and is not empty",  # a run resumed in place
        "Total length of `list` across ranks is zero",  # no validation set
        "It is recommended to use .self.log",  # over processes the metrics are averaged already
        "isinstance.treespec, LeafSpec",  # between Lightning and torch
        "You called `self.log.*have no logger configured",  # with logger=none
    ):
        warnings.filterwarnings("ignore", f".*{notice}")
