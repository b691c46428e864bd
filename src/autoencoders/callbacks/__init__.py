"""Where models, figures and the logger meet: what happens beside the training itself."""

from pathlib import Path

from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from autoencoders.callbacks.checkpoints import Checkpoints
from autoencoders.callbacks.exhibits import Exhibits
from autoencoders.callbacks.guards import SeedEpochs, ShareBuffers, StopOnNonFinite
from autoencoders.callbacks.progress import ProgressBar
from autoencoders.callbacks.record import EpochLogger, RunRecord

__all__ = [
    "Checkpoints",
    "EpochLogger",
    "Exhibits",
    "ProgressBar",
    "RunRecord",
    "SeedEpochs",
    "ShareBuffers",
    "StopOnNonFinite",
    "for_run",
]


def for_run(cfg: DictConfig, folder: Path) -> list[Callback]:
    """The callbacks of every run that writes into `folder`."""
    return [
        SeedEpochs(cfg.seed),
        ShareBuffers(),
        StopOnNonFinite(),
        Exhibits(folder / "figures"),
        Checkpoints(folder, cfg.monitor, cfg.objective),
        *([ProgressBar()] if cfg.trainer.get("enable_progress_bar", True) else []),
    ]
