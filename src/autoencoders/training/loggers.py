"""Where a run's numbers and images go while it trains and at its end, one class for each choice.

They are Lightning's loggers, but for three habits: epochs are the x-axis, the settings are those of
the whole run, and a resumed run goes on where it was.
"""

import csv
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

from autoencoders.files import HPARAMS, write_whole
from autoencoders.training.epoch_logger import EpochLogger, Settings
from autoencoders.training.event_files import (
    CURVES,
    History,
    event_files,
    finished_epochs,
    hparams,
)
from autoencoders.training.services import MLflow, WandB

__all__ = ["CSV", "EpochLogger", "MLflow", "TensorBoard", "WandB"]


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
