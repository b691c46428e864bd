"""Where a run's numbers and images go while it trains and at its end, one class for each choice.

They are Lightning's loggers, but for three habits: epochs are the x-axis, the settings are those of
the whole run, and a resumed run goes on where it was.
"""

import csv
import io
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from pydantic import StrictBool, validate_call
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from autoencoders.errors import InputError, how_to_install
from autoencoders.files import HPARAMS, write_whole
from autoencoders.training.event_files import (
    CURVES,
    History,
    event_files,
    finished_epochs,
    hparams,
)

Settings = dict[str, Any]


class EpochLogger(Logger):
    """What train.py's loggers share.

    Optimizer steps as the x-axis would put WAE-GAN, which makes two a batch, on another axis than
    the others (Lightning issue 17958).

    Args:
        settings: of the run, by name: numbers, text and lists.
        arguments: of Lightning's logger.
    """

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.settings = settings

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        metrics = dict(metrics)
        epoch = metrics.pop("epoch", step)
        super().log_metrics(metrics, step=int(epoch))  # type: ignore[safe-super]

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Called by Lightning as training starts, with the model's arguments alone."""
        super().log_hyperparams(self.settings)  # type: ignore[safe-super]

    def resume(self, history: History, epochs: int) -> None:
        """Make good what a crash has left of a run that goes on after so many epochs.

        It may have come between the last checkpoint and the logging of that epoch's end.
        """
        ends = {name: values for name, values in history.items() if name.startswith("train/")}
        if last := {name: values[epochs] for name, values in ends.items() if epochs in values}:
            self.log_metrics(last, epochs - 1)
            self.save()

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Show PIL images of an epoch, where there is a place for images."""

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        """Log metrics.json; its curves are there."""
        self.log_hyperparams(self.settings)
        numbers = {k: v for k, v in metrics.items() if not k.startswith(CURVES)}
        self.log_metrics(numbers, epoch)
        self.save()


class TensorBoard(EpochLogger, TensorBoardLogger):
    """TensorBoard's events in the run's folder."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__(settings, save_dir=folder, name="", version="", default_hp_metric=False)

    @rank_zero_only
    def save(self) -> None:
        self.experiment.flush()  # and no hparams.yaml, which .hydra/config.yaml makes needless

    @rank_zero_only
    def resume(self, history: History, epochs: int) -> None:
        """Bring what finished epochs have left into one new file.

        TensorBoard reads files in the order of the clocks that named them, and shows twice what two
        of them hold.
        """
        old = event_files(Path(self.log_dir))
        events = finished_epochs(old, history, epochs)
        writer = self.experiment.file_writer
        for event in events:
            writer.event_writer.add_event(event)
        self.save()
        _remove(old)

    @rank_zero_only
    def log_image(self, key: str, images: list[Image], step: int | None = None) -> None:
        for image in images:
            pixels = np.asarray(image.convert("RGB"))
            self.experiment.add_image(key, pixels, step, dataformats="HWC")

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        """Show a finished run in the HPARAMS tab: final numbers as columns beside the settings.

        They are no scalars: SCALARS would open on their single dots, above the training curves.
        They are in a file of their own, in place of an earlier one: TensorBoard shows the first
        that it reads.
        """
        old = event_files(Path(self.log_dir), HPARAMS)
        with SummaryWriter(self.log_dir, filename_suffix=HPARAMS) as writer:
            for summary in hparams(self.settings, metrics):
                writer.file_writer.add_summary(summary)
        _remove(old)
        self.save()


def _remove(files: list[Path]) -> None:
    for file in files:
        with suppress(PermissionError):  # Windows: TensorBoard has it open
            file.unlink()


class CSV(EpochLogger):
    """metrics.csv in the run's folder: a row for each epoch, a column for each metric.

    The final numbers stand in the last epoch's row. Lightning's own would write a row for each
    call, and delete a resumed run's earlier ones.
    """

    name = "csv"
    version = ""

    def __init__(self, folder: Path, settings: Settings) -> None:
        super().__init__(settings)
        self.file = folder / "metrics.csv"
        self.rows: dict[int, dict[str, Any]] = {}
        if self.file.exists():
            for row in csv.DictReader(io.StringIO(self.file.read_text(encoding="utf-8"))):
                self.rows[int(row["epoch"])] = {k: v for k, v in row.items() if v}

    @rank_zero_only
    def resume(self, history: History, epochs: int) -> None:
        """Keep the curves of finished epochs alone, all of them."""
        earlier, self.rows = self.rows, {}
        for epoch in sorted(earlier.keys() & range(epochs)):
            self.rows[epoch] = _curves_of(earlier[epoch]) | {"epoch": epoch}
        for name, values in history.items():
            for epoch in values.keys() & range(1, epochs + 1):
                self.log_metrics({name: values[epoch]}, epoch - 1)
        self.save()

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        epoch = int(metrics.get("epoch", step))
        row = self.rows.setdefault(epoch, {})
        row |= {name: float(value) for name, value in metrics.items()} | {"epoch": epoch}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: they are in .hydra/config.yaml."""

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        self.rows[epoch] = _curves_of(self.rows.get(epoch, {}))  # without an earlier evaluation
        super().log_final(metrics, epoch)

    @rank_zero_only
    def save(self) -> None:
        names = {name for row in self.rows.values() for name in row} - {"epoch"}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["epoch", *sorted(names)])
        writer.writeheader()
        writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))
        write_whole(self.file, text.getvalue())


def _curves_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith(CURVES)}


class Service(EpochLogger):
    """A logger that cannot be asked what it has: small files in the run's folder keep it.

    `wandb.id` says under what a service knows the run, and `wandb.epoch` which epoch's metrics have
    reached it last.

    Args:
        folder: the run's.
    """

    def __init__(self, settings: Settings, folder: Path, **arguments: Any) -> None:
        super().__init__(settings, **arguments)
        self.folder = folder

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        self._note_epoch(metrics, step)

    def resume(self, history: History, epochs: int) -> None:
        if int(_read_note(self.folder, self._service(), "epoch") or -1) < epochs - 1:
            super().resume(history, epochs)

    def _note_epoch(self, metrics: Any, step: int | None) -> None:
        if any(name.startswith("train/") for name in metrics):  # which come last in an epoch
            self._write_note("epoch", metrics.get("epoch", step))

    @rank_zero_only
    def _write_note(self, what: str, value: Any) -> None:
        write_whole(self.folder / f"{self._service()}.{what}", str(value))

    @classmethod
    def _service(cls) -> str:
        return cls.__name__.lower()


def _read_note(folder: Path, service: str, what: str) -> str | None:
    file = folder / f"{service}.{what}"
    return file.read_text(encoding="utf-8") if file.exists() else None


class WandB(Service, WandbLogger):
    """Weights & Biases; its files are in the run's folder.

    Args:
        project: as wandb knows it.
        offline: keep all of it in the run's folder, for `wandb sync`.
    """

    @validate_call
    def __init__(
        self,
        folder: Path,
        settings: Settings,
        project: str = "autoencoders",
        offline: StrictBool = False,
    ) -> None:
        _require("wandb")
        import wandb

        wandb.finish()  # of an earlier job in this process: Lightning would go on with it
        folder.mkdir(parents=True, exist_ok=True)
        known = {"name": _name(folder), "tags": settings.get("tags", "").split()}
        super().__init__(
            settings,
            folder,
            **{"save_dir": folder, "project": project, "offline": offline},
            **{"version": _read_note(folder, "wandb", "id"), **known},
        )
        self.experiment.define_metric("*", step_metric="epoch")
        self._write_note("id", self.version)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        WandbLogger.log_metrics(self, {"epoch": step, **metrics})  # type: ignore[dict-item]
        self._note_epoch(metrics, step)

    def log_image(  # type: ignore[override]
        self, key: str, images: list[Image], step: int | None = None
    ) -> None:
        WandbLogger.log_image(self, key, images, step)

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        self.log_hyperparams(self.settings)
        self.experiment.summary.update(metrics)  # the columns of the project's table


class MLflow(Service, MLFlowLogger):
    """MLflow, where MLFLOW_TRACKING_URI says, else in the run's folder.

    Args:
        experiment: as MLflow knows it.
    """

    @validate_call
    def __init__(self, folder: Path, settings: Settings, experiment: str = "autoencoders") -> None:
        _require("mlflow")
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        server = os.environ.get("MLFLOW_TRACKING_URI")
        super().__init__(
            settings,
            folder,
            experiment_name=experiment,
            run_name=_name(folder),
            tracking_uri=server or f"sqlite:///{folder.as_posix()}/mlflow.db",
            artifact_location=None if server else (folder / "mlflow").as_uri(),
            run_id=_read_note(folder, "mlflow", "id"),
        )
        self._write_note("id", self.version)

    @rank_zero_only
    def log_image(self, key: str, images: list[Image], step: int | None = None) -> None:
        for image in images:
            self.experiment.log_image(self.run_id, image, key=key, step=step)


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise InputError(f"the package {package} is missing: {how_to_install(package)}")


def _name(folder: Path) -> str:
    """What a service shows a run as, such as wae/2026-11-20_13-09-38."""
    return "/".join(folder.resolve().parts[-2:])
