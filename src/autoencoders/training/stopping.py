"""When training ends before its last epoch, and why."""

from typing import Annotated, Any, Literal

import pytorch_lightning as pl
from pydantic import Field, PositiveInt, validate_call
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.callbacks import EarlyStopping as LightningsEarlyStopping


class EarlyStopping(LightningsEarlyStopping):
    """Ends training once a metric has not improved for some epochs.

    Lightning's, but for three habits. A run that is resumed after it was stopped is not trained
    further. Until `min_epochs` and `min_steps` are reached no stop is kept, so that a metric which
    recovers trains on. A metric of the validation is looked at after each validation, never when it
    is that of an earlier epoch.

    Args:
        monitor: the metric.
        mode: whether less of it is better, or more.
        patience: epochs without improvement.
        min_delta: what is no improvement yet.

    Attributes:
        stopped: whether it has ended training (Lightning's `stopped_epoch` is 0 both where it has
            not, and where it has in the first epoch).
    """

    @validate_call
    def __init__(
        self,
        monitor: Annotated[str, Field(pattern="^(train|val)/")],
        mode: Literal["min", "max"] = "min",
        patience: PositiveInt = 5,
        min_delta: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        after_training = monitor.startswith("train/")
        super().__init__(
            monitor, min_delta, patience, mode=mode, check_on_train_epoch_end=after_training
        )
        self.stopped = False

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.stopped = state_dict.get("stopped", self.stopped_epoch > 0)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= self.stopped

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before = trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        self._settle(trainer, before)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before = trainer.should_stop
        super().on_train_epoch_end(trainer, pl_module)
        self._settle(trainer, before)

    def _settle(self, trainer: pl.Trainer, before: bool) -> None:
        """Keep a stop that has just been asked for, unless it comes too early."""
        if trainer.should_stop and not before:
            self.stopped = may_stop(trainer, trainer.current_epoch + 1)
            trainer.should_stop = self.stopped


class EndAtMaxSteps(Callback):
    """Has Lightning validate the epoch that `max_steps` cuts short, as it does under `max_time`:
    its weights are the last, and may be the best."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop |= at_max_steps(trainer)


def epochs_so_far(trainer: pl.Trainer) -> int:
    """How many epochs Lightning counts, with one that was cut short."""
    return trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]


def at_max_steps(trainer: pl.Trainer) -> bool:
    return 0 <= trainer.max_steps <= trainer.global_step


def may_stop(trainer: pl.Trainer, epochs: int) -> bool:
    """Whether training may end before its last epoch, after so many."""
    enough_steps = trainer.global_step >= (trainer.min_steps or 0)
    return epochs >= (trainer.min_epochs or 0) and enough_steps


def monitored(trainer: pl.Trainer) -> list[tuple[str, str]]:
    """The metrics that early stopping cannot do without, each after the key that names it."""
    stops = [c for c in trainer.callbacks if isinstance(c, LightningsEarlyStopping) and c.strict]  # type: ignore[attr-defined]
    own, lightnings = "callbacks.early_stopping.monitor", "trainer.callbacks: EarlyStopping.monitor"
    return [(own if isinstance(c, EarlyStopping) else lightnings, c.monitor) for c in stops]


def ending(trainer: pl.Trainer, max_epochs: int) -> str:
    """What ends training here, however many epochs there are still to come, and where; empty where
    nothing does.

    Args:
        max_epochs: as asked for; stochastic weight averaging adds one to the trainer's.
    """
    epoch = epochs_so_far(trainer)
    if at_max_steps(trainer):
        cause, detail = f"trainer.max_steps={trainer.max_steps}", _steps_of_several(trainer)
    elif trainer.should_stop and may_stop(trainer, epoch):
        cause, detail = stopped_by(trainer)
    else:
        return ""
    where = f"after epoch {epoch} of {max_epochs}"
    if not trainer.is_last_batch:
        batch, batches = trainer.fit_loop.batch_idx + 1, trainer.num_training_batches
        where = f"within epoch {epoch} of {max_epochs}, after {batch} of its {batches} batches"
    return f"{cause} ended training {where}" + (f": {detail}" if detail else "")


def _steps_of_several(trainer: pl.Trainer) -> str:
    optimizers = len(trainer.optimizers)
    return f"each of its {optimizers} optimizers' steps counts" if optimizers > 1 else ""


def stopped_by(trainer: pl.Trainer) -> tuple[str, str]:
    """What has asked the trainer to stop, and its reason where it has one to give."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, LightningsEarlyStopping) and _has_stopped(callback):
            return "early stopping", _reason(callback, trainer)
    for callback in callbacks:
        left = callback.time_remaining() if isinstance(callback, Timer) else None
        if left is not None and left <= 0:
            return "the time limit (trainer.max_time)", ""
    return "the model or a callback", ""


def _has_stopped(callback: LightningsEarlyStopping) -> bool:
    if isinstance(callback, EarlyStopping):
        return callback.stopped
    return callback.stopping_reason_message is not None


def _reason(callback: LightningsEarlyStopping, trainer: pl.Trainer) -> str:
    if callback.wait_count >= callback.patience:
        last = f"last {callback.wait_count} checks" if callback.wait_count > 1 else "last check"
        best = float(callback.best_score)
        return f"{callback.monitor} had not improved on {best:.4g} in the {last}"
    value = trainer.callback_metrics.get(callback.monitor)  # none in a run resumed after its end
    return "" if value is None else f"{callback.monitor} is {float(value):.4g}"
