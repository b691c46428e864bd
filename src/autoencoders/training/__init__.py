"""What happens around the steps: callbacks, checkpoints, precision, the CUDA graph."""

from pathlib import Path

from pytorch_lightning.callbacks import Callback

from autoencoders.training.averaging import EMA
from autoencoders.training.checkpoint_files import AtomicCheckpointIO, read_checkpoint
from autoencoders.training.checkpoints import Checkpoints
from autoencoders.training.cuda_graph import choose_strategy
from autoencoders.training.epoch_logger import EpochLogger
from autoencoders.training.guards import RequireBatches, SeedEpochs, ShareBuffers, StopOnNonFinite
from autoencoders.training.images import Images
from autoencoders.training.loggers import TensorBoard
from autoencoders.training.measuring import measure
from autoencoders.training.precision import choose_precision
from autoencoders.training.progress import ProgressBar, quiet_lightning
from autoencoders.training.rates import LearningRates
from autoencoders.training.record import (
    RunRecord,
    refuse_extension,
    training_history,
)
from autoencoders.training.schedules import Schedules
from autoencoders.training.starting_points import check_resumable, start_from
from autoencoders.training.stopping import EarlyStopping, EndAtMaxSteps

__all__ = [
    "EMA",
    "AtomicCheckpointIO",
    "EarlyStopping",
    "EpochLogger",
    "LearningRates",
    "ProgressBar",
    "RunRecord",
    "SeedEpochs",
    "TensorBoard",
    "callbacks",
    "check_resumable",
    "choose_precision",
    "choose_strategy",
    "measure",
    "quiet_lightning",
    "read_checkpoint",
    "refuse_extension",
    "start_from",
    "training_history",
]


def callbacks(
    folder: Path, seed: int, monitor: str, objective: str, progress_bar: bool = True
) -> list[Callback]:
    """Those of every run that writes into `folder`."""
    return [
        SeedEpochs(seed),
        ShareBuffers(),
        StopOnNonFinite(),
        EndAtMaxSteps(),
        RequireBatches(),
        Schedules(),
        Images(),
        Checkpoints(folder, monitor, objective),
        *([ProgressBar()] if progress_bar else []),
    ]
