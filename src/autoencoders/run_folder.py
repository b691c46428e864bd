"""Which folder a run writes into: a new one, or that of the run which it continues."""

import itertools
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from autoencoders.errors import InputError, end
from autoencoders.runs import CONFIG, HYDRA, LAST, METRICS, MULTIRUN, lock

HELD: list[Any] = []  # the locks of multiruns, here because launchers copy the callback to workers


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
        folder = check_resumable(config) if config.resume is not None else self._new(config, first)
        if first:
            self.held = lock(folder)
        return folder

    def _new(self, config: DictConfig, first: bool) -> Path:
        folder = Path(config.hydra.run.dir)
        explicit = _is_explicit("hydra.run.dir", config)
        if not first:  # it is the first process that chooses
            return folder
        if sweep := config.hydra.runtime.choices.get("sweep"):
            raise InputError(f"sweep={sweep}: runs many jobs: python train.py -m sweep={sweep}")
        if _number("WORLD_SIZE", 1) > 1 and not explicit:
            raise InputError(
                f"{os.environ['WORLD_SIZE']} processes were started, which must agree on the run's"
                " folder: set hydra.run.dir="
            )
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        if explicit:
            refuse_occupied(folder)
            folder.mkdir(parents=True, exist_ok=True)  # another process may just have made it
        else:
            folder = make_new(folder)
        self.made = [folder, *new[1:]] if new else []
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
        new = sweeps.CONTINUED not in os.environ
        try:
            if new and not _is_explicit("hydra.sweep.dir", config):
                folder = make_new(folder)
                with read_write(config.hydra):
                    config.hydra.sweep.dir = str(folder)
                    config.hydra.overrides.hydra.append(f"hydra.sweep.dir={sweeps.quoted(folder)}")
            elif new and (folder / MULTIRUN).exists():
                raise InputError(
                    f"{folder}: holds another multirun; -m resume={folder} continues it; give"
                    " hydra.sweep.dir= a new folder for another"
                )
            folder.mkdir(parents=True, exist_ok=True)
            HELD.append(lock(folder))
        except (InputError, OSError) as error:
            end(error)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from autoencoders import report, sweeps

        folder = Path(config.hydra.sweep.dir)
        jobs = sweeps.read_jobs(folder)
        statuses = {job.status for job in jobs}
        if "trials" in config.hydra.sweeper:  # a search goes on past its failed trials
            left, well = statuses - {"finished", "failed"}, "finished" in statuses
        else:
            left, well = statuses - {"finished"}, statuses == {"finished"}
        report.print_jobs(jobs, str(config.objective), folder, bool(left))
        if left or not well:
            sys.exit(1)


def rank() -> int:
    """This process's number among those that train one model together."""
    # torchrun's, Lightning's, SLURM's: the last is set of a whole allocation too.
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
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


def _is_explicit(key: str, config: DictConfig) -> bool:
    return any(override.startswith(f"{key}=") for override in config.hydra.overrides.hydra)


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
    if (folder / MULTIRUN).is_file():
        raise InputError(f"resume={folder}: holds a multirun: python train.py -m resume={folder}")
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
