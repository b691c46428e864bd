"""What a terminal shows while a model trains, and what it does not."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import callbacks
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

PAUSE = 0.2  # seconds between two drawings
BAR = 20  # columns


class ProgressBar(callbacks.ProgressBar):
    """A line with the epoch, counted from 1, its batches, batches a second and the time left of the
    whole training; below it the loss terms' means over the epoch so far, and the last `val/mse`.

    Drawn a few times a second rather than in every step: reading a loss waits for the device. Where
    output is no terminal, such as a log's file, it is a plain line for each epoch.

    Args:
        console: where to draw; by default the terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.console = console
        self.screen: Screen | None = None
        self.epochs: int | None = None
        self.metrics: dict[str, float] = {}
        self.batches = ""  # of the epoch, and how many are done
        self.drawn = 0.0
        self.enable()

    def enable(self) -> None:
        self.is_enabled = sys.stdout.isatty()

    def disable(self) -> None:
        self.is_enabled = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.epochs = trainer.max_epochs  # before a callback adds one

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.begin(trainer.num_training_batches * (trainer.max_epochs or 0), before(trainer))
        self.show(description=self.name(trainer.current_epoch))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or time.monotonic() - self.drawn > PAUSE:
            done = batch_idx + 1
            self.batches = of(done, trainer.num_training_batches)
            metrics = self.latest(trainer, pl_module)
            self.show(completed=before(trainer) + done, batches=self.batches, metrics=metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.show(batches=self.batches, metrics=self.latest(trainer, pl_module))
        metrics = self.get_metrics(trainer, pl_module)
        if trainer.is_global_zero and not sys.stdout.isatty():
            numbers = [f"{name} {value:.4g}" for name, value in metrics.items()]
            print(f"{self.name(trainer.current_epoch)}: {', '.join(numbers)}", flush=True)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.show(batches="validating")  # where there is a screen: between two epochs

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.begin(sum(trainer.num_test_batches))
        self.show(description="Test")

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        batches, done = sum(trainer.num_test_batches), batch_idx + 1
        if done == batches or time.monotonic() - self.drawn > PAUSE:
            self.show(completed=done, batches=of(done, batches))

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.end()

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self.end()

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:
        metrics = {name: float(mean) for name, mean in pl_module.train_losses.so_far().items()}
        if "val/mse" in trainer.callback_metrics:
            metrics["val/mse"] = float(trainer.callback_metrics["val/mse"])
        return metrics

    def latest(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, float]:
        """The metrics; the last epoch's where an epoch has none yet, so that lines stay."""
        self.metrics |= self.get_metrics(trainer, pl_module)
        return self.metrics

    def name(self, epoch: int) -> str:
        if epoch == self.epochs:  # stochastic weight averaging adds it
            return "Averaging"
        return f"Epoch {epoch + 1}/{self.epochs}"

    # The screen -----------------------------------------------------------------------------------

    def begin(self, batches: float, done: int = 0) -> None:
        """Show work of so many batches, unless some is shown already."""
        if self.is_enabled and self.screen is None:
            self.screen = Screen(self.console, batches, done)
            self.screen.start()

    def show(self, **values: Any) -> None:
        if self.screen is not None:
            self.screen.update(self.screen.task_ids[0], refresh=True, **values)
            self.drawn = time.monotonic()

    def end(self) -> None:
        if self.screen is not None:
            self.screen.stop()
            self.screen = None


class Screen(Progress):
    """A task's line, and its metrics below.

    Args:
        batches: that the task takes; infinite if nobody knows.
        done: those that were done before.
    """

    def __init__(self, console: Console | None, batches: float, done: int) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR),
            TextColumn("{task.fields[batches]}", markup=False),
            Speed(),
            TimeLeft(),
        )
        super().__init__(*columns, console=console, auto_refresh=False)
        total = batches if math.isfinite(batches) else None
        self.add_task("", total=total, completed=done, batches="", metrics={})

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            numbers = {name: f"{value:.4g}" for name, value in task.fields["metrics"].items()}
            # As wide as any number, so that nothing moves when one changes.
            texts = [Text(f"{name} {number:<10}") for name, number in numbers.items()]
            yield Columns(texts)


class Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.speed:
            return Text("")
        return Text(f"{task.speed:,.0f} it/s" if task.speed > 10 else f"{task.speed:.2g} it/s")


class TimeLeft(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text.assemble(super().render(task), " left" if task.total else "")


def of(done: int, batches: float) -> str:
    """How many of the batches are done; of a stream nobody knows how many there are."""
    return f"{done}/{batches}" if math.isfinite(batches) else str(done)


def before(trainer: pl.Trainer) -> int:
    """The batches of the epochs that are over; 0 of a stream."""
    batches = trainer.num_training_batches
    return int(batches) * trainer.current_epoch if math.isfinite(batches) else 0


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
