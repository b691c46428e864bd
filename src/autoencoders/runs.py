"""Run folders: where a run writes, how it is continued, and how it is read back."""

import json
import logging
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from autoencoders.errors import InputError, describe

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import ImageDataModule
    from autoencoders.models import AutoEncoder

CONFIG = ".hydra/config.yaml"
LAST = "checkpoints/last.ckpt"
METRICS = "metrics.json"


class RunFolder(Callback):
    """Hydra's callback that chooses the run's folder, before Hydra writes anything into it.

    With `resume=<folder>` that folder is where the run goes on; a folder that holds a finished run
    is refused; one made for a run that failed before it began is removed.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # hydra.run.dir is made of the group choices
        self.is_new = False
        with exiting():
            if config.resume is not None:
                folder = Path(config.resume)
                check_resumable(folder)
                with read_write(config.hydra), open_dict(config.hydra):
                    config.hydra.run.dir = str(folder)
                    config.hydra.output_subdir = None  # the run's own config stays as it is
            check_settings(config)
            refuse_finished(Path(config.hydra.run.dir))
            self.is_new = not Path(config.hydra.run.dir).exists()

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.runtime.output_dir)
        failed = kwargs["job_return"].status is JobStatus.FAILED
        if failed and self.is_new and not (folder / LAST).exists():
            logging.shutdown()  # closes the folder's log file
            shutil.rmtree(folder)
            with suppress(OSError):  # parents that hold other runs
                os.removedirs(folder.parent)


@contextmanager
def exiting() -> Iterator[None]:
    """End the program where an exception is raised: Hydra would turn a callback's into warnings
    and go on."""
    try:
        yield
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(1) from error


class _TrainerSettings(BaseModel):
    max_epochs: PositiveInt


class _Settings(BaseModel):
    """The keys that no constructor checks."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    monitor: Annotated[str, Field(pattern="^(train|val)/")]
    ckpt_path: str | None
    trainer: _TrainerSettings


def check_settings(config: DictConfig) -> None:
    """Raise InputError where a key that no constructor checks is outside what is allowed."""
    try:
        _Settings.model_validate(OmegaConf.to_container(config, resolve=False))
    except ValidationError as error:
        raise InputError(describe(error)) from error


def check_resumable(folder: Path) -> None:
    """Raise InputError where `folder` is not a run that was started and interrupted."""
    for file in (CONFIG, LAST):
        if not (folder / file).is_file():
            raise InputError(
                f"resume={folder}: not a run to continue: it has no {file}; give a run's folder,"
                " such as outputs/digits/wae/<time>"
            )


def refuse_finished(folder: Path) -> None:
    """Raise InputError where `folder` holds a finished run."""
    if (folder / METRICS).exists():
        raise InputError(
            f"{folder}: holds a finished run ({METRICS} is there), which stays as it is; leave out"
            f" resume= and hydra.run.dir= for a new run (ckpt_path={folder / LAST} starts it from"
            " these weights)"
        )


def load_config(folder: Path) -> DictConfig:
    """The composed config of the run in `folder`.

    Raises:
        InputError: there is none.
    """
    file = Path(folder) / CONFIG
    if not file.is_file():
        raise InputError(f"{folder}: not a run's folder: it has no {CONFIG}")
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    return config


class Run(NamedTuple):
    """A run read back: its model in evaluation mode, its config, its data and its metrics."""

    model: "AutoEncoder"
    cfg: DictConfig
    data: "ImageDataModule"
    metrics: dict[str, float]


def load_run(folder: str | Path, checkpoint: str = "last") -> Run:
    """Read a run back.

    Args:
        folder: the run's, such as outputs/fmnist/wae/<time>.
        checkpoint: `last`, the weights that metrics.json is about, or `best`.

    Returns:
        The run; `data` is ready to use, `metrics` are empty where the run has not finished.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    from hydra.utils import get_class, instantiate

    from autoencoders.checkpoints import load_weights, read_checkpoint

    folder = Path(folder)
    cfg = load_config(folder)
    file = folder / "checkpoints" / f"{checkpoint}.ckpt"
    model_class: Any = get_class(cfg.model._target_)
    model = model_class(**read_checkpoint(file)["hyper_parameters"])
    load_weights(model, file)
    data = instantiate(cfg.dataset)
    data.prepare_data()
    data.setup()
    metrics_file = folder / METRICS
    metrics = json.loads(metrics_file.read_text()) if metrics_file.exists() else {}
    return Run(model.eval(), cfg, data, metrics)


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Write metrics.json, which marks the run as finished, whole or not at all."""
    partial = folder / f".{METRICS}.partial"
    partial.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    os.replace(partial, folder / METRICS)
