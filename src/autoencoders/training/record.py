"""What metrics.json tells of a run."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from autoencoders.errors import InputError
from autoencoders.files import shown
from autoencoders.models import AutoEncoder
from autoencoders.training.checkpoint_files import Content
from autoencoders.training.stopping import ending, epochs_so_far


class RunRecord(Callback):
    """Keeps what metrics.json tells of a run, through checkpoints and resumes.

    Attributes:
        metrics: the last epoch's `train/` and `val/`, later the `test/` metrics.
        images: trained on so far, by all processes.
        seconds: that took, validation, figures and checkpoints not counted.
        memory: see `peak_memory`, at the last checkpoint.
        history: by name, the `train/` and `val/` metrics of each epoch, counted from 1.
        ended: what ended training before its last epoch, and where; empty where all were trained.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.images = 0
        self.seconds = 0.0
        self.memory: dict[str, float] = {}
        self.history: dict[str, dict[int, float]] = {}
        self.ended = ""
        self._max_epochs = 0
        self._epoch = 0
        self._start = self._end = 0.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._trainer = trainer
        if stage == "fit":
            assert trainer.max_epochs is not None  # Lightning has set it
            self._max_epochs = trainer.max_epochs

    @property
    def epochs(self) -> int:
        """How many have been trained, counting one that was cut short.

        Stochastic weight averaging adds one to Lightning's count, in which batch normalization
        gathers the average's statistics and nothing is trained.
        """
        return min(epochs_so_far(self._trainer), self._max_epochs)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= bool(self.ended)  # resumed after its training had ended

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch = min(trainer.current_epoch + 1, self._max_epochs)
        self._start = self._end = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._append_history("val/")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.current_epoch == self._max_epochs:  # of statistics alone
            return
        self.images += len(batch.x) * trainer.world_size
        if pl_module.device.type == "cuda" and (trainer.is_last_batch or trainer.should_stop):
            torch.cuda.synchronize()
        self._end = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds += self._end - self._start  # also of an epoch that was cut short

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        ended = self.ended or ending(trainer, self._max_epochs)
        self.ended = ended if self.epochs < self._max_epochs or not trainer.is_last_batch else ""
        if self.ended and trainer.is_global_zero:
            print(self.ended)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        if (surplus := progress["current"]["processed"] - self._max_epochs) > 0:
            for counts in progress.values():  # of this training, and of all
                counts.update({name: count - surplus for name, count in counts.items()})
            checkpoint["epoch"] -= surplus

    def state_dict(self) -> dict[str, Any]:
        self._update_metrics()
        self._append_history(
            "train/"
        )  # which the model logs after this callback's turn, before it is saved
        self.memory = peak_memory()
        self.ended = ending(self._trainer, self._max_epochs)
        return {
            **{"metrics": self.metrics, "images": self.images, "history": self.history},
            **{"seconds": self.seconds, "memory": self.memory, "ended": self.ended},
        }

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._update_metrics()

    def _update_metrics(self) -> None:
        metrics = self._trainer.callback_metrics.items()
        self.metrics.update({name: float(value) for name, value in metrics if "/" in name})

    def _append_history(self, stage: str) -> None:
        for name, value in self._trainer.callback_metrics.items():
            if name.startswith(stage):
                self.history.setdefault(name, {})[self._epoch] = float(value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metrics, self.images = state_dict["metrics"], state_dict["images"]
        self.seconds, self.memory = state_dict["seconds"], state_dict.get("memory", {})
        self.history = state_dict.get("history", {})
        self.ended = state_dict.get("ended", "")

    def summary(self, epochs: int, model: AutoEncoder) -> dict[str, float]:
        """The flat content of metrics.json."""
        return {
            **self.metrics,
            "epochs": epochs,
            "train_seconds": self.seconds,
            "images_per_second": self.images / self.seconds if self.seconds else 0.0,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **self.memory,
        }


def training_metrics(checkpoint: Content, model: AutoEncoder) -> dict[str, float]:
    """What `RunRecord` has left in a checkpoint of `model`: all but what a test measures.

    Raises:
        InputError: it is none of train.py's.
    """
    record = RunRecord()
    try:
        record.load_state_dict(checkpoint["callbacks"][record.state_key])
        return record.summary(checkpoint.epochs, model)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{checkpoint.path}: not a checkpoint of train.py: {error}") from error


def training_history(checkpoint: Content) -> dict[str, dict[int, float]]:
    """What `RunRecord` has left in a checkpoint of train.py of the epochs so far, by name; empty
    where it was written before histories were kept."""
    state = checkpoint["callbacks"][RunRecord().state_key]
    return dict(state.get("history", {}))


def why_ended(checkpoint: Mapping[str, Any]) -> str:
    """What ended the training early that a checkpoint's content is of, or would have, had there
    been more epochs; empty where nothing did."""
    return str(checkpoint["callbacks"].get(RunRecord().state_key, {}).get("ended", ""))


def refuse_extension(checkpoint: Content, max_epochs: int) -> None:
    """Raise InputError where more epochs do not make a checkpoint's training longer."""
    if ended := why_ended(checkpoint):
        raise InputError(
            f"trainer.max_epochs={max_epochs}: {ended}; a longer max_epochs does not lengthen it;"
            f" ckpt_path={shown(checkpoint.path)} starts a new run from its weights"
        )


def peak_memory() -> dict[str, float]:
    """The most memory that this process has held so far, where the system tells it."""
    if sys.platform == "win32":
        return {}
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"peak_memory_gib": peak / 2**30}
