"""Where a run's numbers and images go while it trains and at its end, one class for each choice.

They are Lightning's loggers, but for three habits: epochs are the x-axis, the settings are those of
the whole run, and a resumed run goes on where it was.
"""

import csv
import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from pydantic import StrictBool, validate_call
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from autoencoders.errors import InputError
from autoencoders.files import write_whole

Settings = dict[str, Any]
CURVES = ("train/", "val/")  # what the names of metrics begin with that have a value an epoch


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
    def log_image(self, key: str, images: list[Image], step: int | None = None) -> None:
        for image in images:
            pixels = np.asarray(image.convert("RGB"))
            self.experiment.add_image(key, pixels, step, dataformats="HWC")

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        """Show a finished run in the HPARAMS tab: final numbers as columns beside the settings.

        They are no scalars: SCALARS would open on their single dots, above the training curves.
        """
        numbers = {k: v for k, v in metrics.items() if not k.startswith(CURVES)}
        columns = {**self.settings, **numbers}
        plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in columns.items()}
        # The tab shows the last point of a curve.
        curves = {k: v for k, v in metrics.items() if k.startswith(CURVES)}
        writer = self.experiment._get_file_writer()
        experiment, *session = hparams_summaries(plain, curves)
        of_samples = [k for k in numbers if "/f" in k and not k.startswith(("floor/", "recon"))]
        for summary in (_led_by({"model", "test/mse", *of_samples[:1]}, experiment), *session):
            writer.add_summary(summary)
        self.save()


def _led_by(names: set[str], experiment: Any) -> Any:
    """An experiment's summary in which these columns come first.

    TensorBoard sorts columns by name, but puts those before all others that are said to differ
    between runs.
    """
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in names
    plugin.content = content.SerializeToString()
    return experiment


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
                self.rows[int(row["epoch"])] = dict(row)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        epoch = int(metrics.get("epoch", step))
        row = self.rows.setdefault(epoch, {})
        row |= {name: float(value) for name, value in metrics.items()} | {"epoch": epoch}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: they are in .hydra/config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        names = {name for row in self.rows.values() for name in row} - {"epoch"}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["epoch", *sorted(names)])
        writer.writeheader()
        writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))
        write_whole(self.file, text.getvalue())


class WandB(EpochLogger, WandbLogger):
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
            **{"save_dir": folder, "project": project, "offline": offline},
            **{"version": _known_id(folder, "wandb"), **known},
        )
        self.experiment.define_metric("*", step_metric="epoch")
        _keep_id(folder, self)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        WandbLogger.log_metrics(self, {"epoch": step, **metrics})  # type: ignore[dict-item]

    def log_image(  # type: ignore[override]
        self, key: str, images: list[Image], step: int | None = None
    ) -> None:
        WandbLogger.log_image(self, key, images, step)

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        self.log_hyperparams(self.settings)
        self.experiment.summary.update(metrics)  # the columns of the project's table


class MLflow(EpochLogger, MLFlowLogger):
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
            experiment_name=experiment,
            run_name=_name(folder),
            tracking_uri=server or f"sqlite:///{folder.as_posix()}/mlflow.db",
            artifact_location=None if server else (folder / "mlflow").as_uri(),
            run_id=_known_id(folder, "mlflow"),
        )
        _keep_id(folder, self)

    @rank_zero_only
    def log_image(self, key: str, images: list[Image], step: int | None = None) -> None:
        for image in images:
            self.experiment.log_image(self.run_id, image, key=key, step=step)


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise InputError(f"the package {package} is missing: pip install -e '.[{package}]'")


def _name(folder: Path) -> str:
    """What a service shows a run as, such as wae/2026-11-20_13-09-38."""
    return "/".join(folder.resolve().parts[-2:])


def _known_id(folder: Path, service: str) -> str | None:
    """Under what a service knows the run in `folder`, if it does: a resumed run goes on there."""
    file = folder / f"{service}.id"
    return file.read_text(encoding="utf-8") if file.exists() else None


@rank_zero_only
def _keep_id(folder: Path, logger: WandB | MLflow) -> None:
    service = type(logger).__name__.lower()
    write_whole(folder / f"{service}.id", str(logger.version))
