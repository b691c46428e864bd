"""Run folders: where a run writes, how it is continued, and how it is read back."""

import itertools
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, Field, PositiveInt, ValidationError
from yaml import YAMLError

from autoencoders.errors import InputError, describe, end
from autoencoders.trust import read_json, refuse_foreign

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import ImageDataModule
    from autoencoders.models import AutoEncoder

CONFIG = ".hydra/config.yaml"
HYDRA = ".hydra/hydra.yaml"
LAST = "checkpoints/last.ckpt"
METRICS = "metrics.json"
EVALUATED = (
    "floor/",
    "reconstruction/",
    "prior/",
    "mixture/",
    "latent/",
)  # an evaluation's metrics
# What reading anything else as a run's config raises.
NOT_A_CONFIG = (
    *(YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, OSError, ImportError),
    UnicodeDecodeError,
)
EVALUATION = "evaluation.json"
MIXTURE = "mixture.safetensors"


class RunFolder(Callback):
    """Hydra's callback that chooses a run's folder, before Hydra writes anything into it.

    A run gets a folder of its own; with `resume=<folder>` it goes on in that one. What another run
    has left is never written over, and a folder made for a run that failed before it began is
    removed.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # hydra.run.dir is made of the group choices
        try:
            folder = self._choose(config)
        except (InputError, OSError) as error:
            end(error)  # Hydra would turn a callback's exception into a warning and go on
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.run.dir = str(folder)
            if config.resume is not None or rank() > 0:
                config.hydra.output_subdir = None  # the run's own config stays as it is

    def _choose(self, config: DictConfig) -> Path:
        self.made: list[Path] = []
        first = rank() == 0
        if config.resume is not None:
            return check_resumable(config)
        folder = Path(config.hydra.run.dir)
        explicit = any(key.startswith("hydra.run.dir=") for key in config.hydra.overrides.hydra)
        if not first:  # it is the first process that chooses
            return folder
        if sweep := config.hydra.runtime.choices.get("sweep"):
            raise InputError(f"sweep={sweep}: runs many jobs: python train.py -m sweep={sweep}")
        if _number("WORLD_SIZE", 1) > 1 and not explicit:
            raise InputError(
                f"{os.environ['WORLD_SIZE']} processes were started, which must agree on the run's"
                " folder: set hydra.run.dir="
            )
        new_parents = [path for path in folder.parents if not path.exists()]
        if explicit:
            refuse_occupied(folder)
            if folder.exists():
                return folder
        folder = make_new(folder)
        self.made = [folder, *new_parents]
        return folder

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        failed = kwargs["job_return"].status is JobStatus.FAILED
        if failed and self.made and not (self.made[0] / LAST).exists():
            shutil.rmtree(self.made[0])
            with suppress(OSError):  # a parent where another run has begun
                for parent in self.made[1:]:
                    parent.rmdir()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from autoencoders import sweeps

        HydraConfig.instance().set_config(config)
        folder = Path(config.hydra.sweep.dir)
        if sweeps.CONTINUED not in os.environ and (folder / sweeps.MULTIRUN).exists():
            end(
                InputError(
                    f"{folder}: holds another multirun; -m resume={folder} continues it; give"
                    " hydra.sweep.dir= a new folder for another"
                )
            )

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from autoencoders import report, sweeps

        jobs = sweeps.read_jobs(Path(config.hydra.sweep.dir))
        report.print_jobs(jobs, str(config.objective), Path(config.hydra.sweep.dir))
        searched = "trials" in config.hydra.sweeper  # a search goes on past its failed trials
        done = ("finished", "failed") if searched else ("finished",)
        if any(job.status not in done for job in jobs):
            sys.exit(1)


def rank() -> int:
    """This process's number among those that train one model together."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # torchrun's, SLURM's, Lightning's
    return next((_number(name) for name in names if name in os.environ), 0)


def _number(variable: str, default: int = 0) -> int:
    """An environment variable's value.

    Raises:
        InputError: it is no whole number.
    """
    value = os.environ.get(variable, str(default))
    if not value.isdecimal():
        raise InputError(
            f"{variable}={value}: must be a whole number, as torchrun or SLURM sets it; unset it to"
            " train in one process"
        )
    return int(value)


def make_new(folder: Path) -> Path:
    """Make `folder`, or where a run of the same second has just made it, `folder`-2 and so on."""
    claimed = folder
    for n in itertools.count(2):
        try:
            claimed.mkdir(parents=True)
            break
        except FileExistsError:
            claimed = folder.with_name(f"{folder.name}-{n}")
    return claimed


def check_resumable(config: DictConfig) -> Path:
    """The folder that `resume=` names.

    Raises:
        InputError: it is not of a run that was begun and interrupted, or other keys are set.
    """
    folder = Path(str(config.resume))
    for file in (CONFIG, HYDRA):
        if not (folder / file).is_file():
            raise InputError(
                f"resume={folder}: not a run to continue: it has no {file}; give a run's folder,"
                " such as outputs/digits/wae/<time>"
            )
    if (folder / METRICS).exists():
        raise InputError(
            f"resume={folder}: holds a finished run ({METRICS} is there), which stays as it is;"
            f" ckpt_path={folder / LAST} starts a new run from its weights"
        )
    others = [key for key in config.hydra.overrides.task if not key.startswith("resume=")]
    if others:
        raise InputError(
            f"resume={folder}: continues that run with its own config; leave out {' '.join(others)}"
        )
    return folder


def refuse_occupied(folder: Path) -> None:
    """Raise InputError where a run has written into `folder`."""
    if (folder / METRICS).exists():
        raise InputError(
            f"hydra.run.dir={folder}: holds a finished run ({METRICS} is there), which stays as it"
            " is; give another folder"
        )
    if (folder / CONFIG).exists():
        raise InputError(
            f"hydra.run.dir={folder}: holds an unfinished run; resume={folder} continues it;"
            " another folder takes a new one"
        )


class _TrainerSettings(BaseModel):
    max_epochs: PositiveInt


class _Settings(BaseModel):
    """The keys that no constructor checks."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    monitor: Annotated[str, Field(pattern="^(train|val)/")]
    ckpt_path: str | None
    evaluate: bool
    objective: str
    trainer: _TrainerSettings


def check_settings(config: DictConfig) -> None:
    """Raise InputError where a key that no constructor checks is outside what is allowed."""
    try:
        _Settings.model_validate(OmegaConf.to_container(config, resolve=False))
    except ValidationError as error:
        raise InputError(describe(error)) from error
    if not config.evaluate and str(config.objective).startswith(EVALUATED):
        raise InputError(
            f"objective={config.objective}: is measured after training, which evaluate=false leaves"
            " out"
        )


def to_evaluate(config: DictConfig) -> tuple[Path, str]:
    """The run and the checkpoint in it that `run=` or `ckpt_path=` names.

    Raises:
        InputError: neither or both, no finished run, or no checkpoint of one.
    """
    if (config.run is None) == (config.ckpt_path is None):
        raise InputError(
            "give either run=, a finished run's folder such as outputs/digits/wae/<time>, or"
            " ckpt_path=, a checkpoint in one"
        )
    if config.run is not None:
        key, folder, checkpoint = f"run={config.run}", Path(str(config.run)), "last"
    else:
        path = Path(str(config.ckpt_path)).resolve()
        key, folder, checkpoint = f"ckpt_path={config.ckpt_path}", path.parent.parent, path.stem
        if path.parent.name != "checkpoints" or path.suffix != ".ckpt":
            raise InputError(
                f"{key}: not a run's checkpoint: give <run>/checkpoints/<name>.ckpt, as train.py"
                " left it"
            )
    if not (folder / CONFIG).is_file():
        raise InputError(f"{key}: {folder} is not a run's folder: it has no {CONFIG}")
    if not (folder / METRICS).is_file():
        raise InputError(
            f"{key}: {folder} holds no finished run: it has no {METRICS}; train.py"
            f" resume={folder} finishes it"
        )
    return folder, checkpoint


def load_config(folder: Path) -> DictConfig:
    """The composed config of the run in `folder`.

    Raises:
        InputError: there is none.
    """
    for file in (CONFIG, HYDRA):
        if not (folder / file).is_file():
            raise InputError(f"{folder}: not a run's folder: it has no {file}")
    try:
        config: Any = OmegaConf.load(folder / CONFIG)
        hydra = OmegaConf.load(folder / HYDRA)
        refuse_foreign(config, folder / CONFIG)
        # A relative data_dir was meant from where the run was started.
        data_dir = Path(OmegaConf.select(hydra, "hydra.runtime.cwd")) / config.dataset.data_dir
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / CONFIG}: not a run's config: {reason}") from error
    if not any(data_dir.glob("*/raw")):  # a download must not go where a file says
        data_dir = Path(os.environ.get("AUTOENCODERS_DATA", "data"))
    config.dataset.data_dir = str(data_dir)
    return config


def objective_of(metrics: dict[str, float], cfg: DictConfig) -> float:
    """The metric that `cfg.objective` names.

    Raises:
        InputError: there is none of that name.
    """
    if cfg.objective not in metrics:
        known = ", ".join(name for name in metrics if "/" in name)
        raise InputError(f"objective={cfg.objective}: no such metric; allowed: {known}")
    return float(metrics[cfg.objective])


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """What TensorBoard's HPARAMS tab lists: the model's and the data set's keys, and the seed."""
    keys = {str(key): value for key, value in cfg.model.items() if key != "_target_"}
    kinds = {"model": cfg.model._target_, "dataset": cfg.dataset._target_}
    return {**kinds, **keys, "batch_size": cfg.dataset.batch_size, "seed": cfg.seed}


class Run(NamedTuple):
    """A run read back: its model in evaluation mode, its config, its data, its metrics, and after
    how many epochs the weights were saved."""

    model: "AutoEncoder"
    cfg: DictConfig
    data: "ImageDataModule"
    metrics: dict[str, float]
    epochs: int


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
    from hydra.utils import instantiate

    from autoencoders.checkpoints import load_weights, read_checkpoint

    folder = Path(folder)
    cfg = load_config(folder)
    data = instantiate(cfg.dataset, _convert_="all")
    data.prepare_data()
    data.setup()
    size = {"channels": data.channels, "image_size": data.image_size}
    model = instantiate(cfg.model, **size, _convert_="all")
    path = folder / "checkpoints" / f"{checkpoint}.ckpt"
    load_weights(model, path)
    metrics_file = folder / METRICS
    metrics = read_json(metrics_file) if metrics_file.exists() else {}
    epochs = read_checkpoint(path)["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]
    return Run(model.eval(), cfg, data, metrics, epochs)


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Write metrics.json, which marks the run as finished, whole or not at all."""
    write_whole(folder / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, content: str) -> None:
    """Write a text file whole or not at all: beside it first, then renamed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)


def shown(path: Path) -> Path:
    """A path as a user types it: from the current folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
