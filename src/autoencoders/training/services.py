"""Loggers of services: Weights & Biases, MLflow."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL.Image import Image
from pydantic import StrictBool, validate_call
from pytorch_lightning.loggers import MLFlowLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from autoencoders.errors import InputError, how_to_install
from autoencoders.files import write_whole
from autoencoders.training.epoch_logger import EpochLogger, Settings
from autoencoders.training.event_files import History


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
