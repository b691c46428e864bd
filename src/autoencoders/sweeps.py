"""The jobs of a multirun: what becomes of each, and how a multirun is continued."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write

from autoencoders.config import check_settings, objective_of
from autoencoders.errors import FAULTS, InputError, describe
from autoencoders.runs import CONFIG, LAST, METRICS, NOT_A_CONFIG, load_config, write_whole
from autoencoders.trust import read_json, refuse_foreign, refuse_foreign_settings

ERROR = "error.txt"
MULTIRUN = "multirun.yaml"
OVERRIDES = ".hydra/overrides.yaml"
CONTINUED = "AUTOENCODERS_CONTINUED_MULTIRUN"  # set where one is; reaches jobs of other processes

Train = Callable[[DictConfig, Path, bool], float]


def continued(arguments: list[str]) -> list[str]:
    """The arguments that continue the multirun which `-m resume=<folder>` names: those that it was
    started with. Other arguments are returned as they are.

    Raises:
        InputError: no multirun's folder, or further arguments.
    """
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    named = [argument for argument in arguments if argument.startswith("resume=")]
    if not flags or not named:
        return arguments
    folder = Path(named[0].removeprefix("resume="))
    if not (folder / MULTIRUN).is_file():
        raise InputError(
            f"resume={folder}: not a multirun's folder: it has no {MULTIRUN}; give one such as"
            " outputs/multirun/<time>, or leave out -m to continue a single run"
        )
    others = [argument for argument in arguments if argument not in (*flags, named[0])]
    if others:
        raise InputError(
            f"resume={folder}: continues that multirun with its own arguments; leave out"
            f" {' '.join(others)}"
        )
    try:
        overrides: Any = OmegaConf.load(folder / MULTIRUN).hydra.overrides
        task, typed = list(overrides.task), list(overrides.hydra)
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / MULTIRUN}: not a multirun's config: {reason}") from error
    own = ("hydra.sweep.dir=", "hydra.mode=")
    hydra = [override for override in typed if not override.startswith(own)]
    refuse_foreign_settings(hydra, folder / MULTIRUN)
    os.environ[CONTINUED] = "1"
    return ["-m", *hydra, *task, f"hydra.sweep.dir='{folder}'"]


@contextmanager
def cut_off() -> Iterator[None]:
    """See to a multirun that an exception ends: one in which no job has begun leaves nothing, and
    where a launcher's process was killed from outside, what to do is said.

    Raises:
        InputError: a process was killed; the jobs' table is printed before.
    """
    try:
        yield
    except Exception as error:
        folder = Path(HydraConfig.get().sweep.dir) if HydraConfig.initialized() else None
        if folder is None or not (folder / MULTIRUN).exists():
            raise
        if os.listdir(folder) == [MULTIRUN]:
            (folder / MULTIRUN).unlink()
            os.removedirs(folder)
        # joblib's, and submitit's, which need not be installed.
        if isinstance(error, BrokenProcessPool) or "UncompletedJob" in type(error).__name__:
            from autoencoders import report

            objective = str(OmegaConf.load(folder / MULTIRUN).objective)
            report.print_jobs(read_jobs(folder), objective, folder)
            raise InputError(
                f"{folder}: a job's process was killed, perhaps for want of memory;"
                f" python train.py -m resume={folder} goes on"
            ) from error
        raise


def run_job(train: Train, cfg: DictConfig, folder: Path) -> float:
    """Run one job; where the multirun is continued, skip it if it has finished and go on with it if
    it was interrupted.

    A job that fails leaves its error in its folder, and the others go on.

    Args:
        train: of train.py.
        cfg: the job's.
        folder: the job's.

    Returns:
        The metric to minimise; nan of a job that has failed.
    """
    try:
        if os.environ.get(CONTINUED):
            refuse_foreign(cfg, folder.parent / MULTIRUN)
        if (folder / METRICS).exists():
            return objective_of(read_json(folder / METRICS), cfg)
        (folder / ERROR).unlink(missing_ok=True)
        resume = (folder / LAST).exists()
        with as_single_run(folder, resume):
            if resume:
                return train(load_config(folder), folder, True)
            check_settings(cfg)
            return train(cfg, folder, False)
    except Exception as error:  # whatever it is, the other jobs go on
        line = describe(error) if isinstance(error, FAULTS) else None
        line = line or f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        write_whole(folder / ERROR, f"{line}\n\n{traceback.format_exc()}")
        print(f"job {folder.name} failed: {line}", file=sys.stderr)
        return float("nan")


@contextmanager
def as_single_run(folder: Path, resume: bool) -> Iterator[None]:
    """Let the command line and the environment be those of this job alone for a while.

    Lightning starts a job's further processes with the arguments of this one: with the multirun's
    own, each would begin the whole multirun. What it tells them in the environment would make the
    next job wait for processes that it believes to be running.
    """
    arguments, environment = sys.argv, dict(os.environ)
    config: Any = HydraConfig.instance().cfg
    mine = [f"resume={folder}"] if resume else list(config.hydra.overrides.task)
    sys.argv = [arguments[0], *mine]
    with read_write(config.hydra):
        config.hydra.run.dir = str(folder)
    try:
        yield
    finally:
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(environment)
        _leave_process_group()


def _leave_process_group() -> None:
    import torch.distributed  # a job has imported it already

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Job(NamedTuple):
    """What became of a job.

    overrides: those that tell it from the others.
    status: `finished`, `failed`, `interrupted` or `not begun`.
    value: of the metric `objective`, where it has finished.
    error: one line, where it has failed.
    """

    number: str
    overrides: str
    status: str
    value: float | None = None
    error: str = ""


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of the multirun in `folder`, in order."""
    folders = [path for path in folder.iterdir() if (path / OVERRIDES).is_file()]
    folders.sort(key=lambda path: (len(path.name), path.name))
    typed = [list(OmegaConf.load(path / OVERRIDES)) for path in folders]
    shared = set.intersection(*map(set, typed)) if len(typed) > 1 else set()
    return [
        _read_job(path, " ".join(override for override in mine if override not in shared))
        for path, mine in zip(folders, typed, strict=True)
    ]


def _read_job(folder: Path, overrides: str) -> Job:
    number = folder.name
    if (folder / ERROR).exists():
        line = (folder / ERROR).read_text(encoding="utf-8").partition("\n")[0]
        return Job(number, overrides, "failed", error=line)
    if (folder / METRICS).exists():
        objective = OmegaConf.load(folder / CONFIG).objective
        value = read_json(folder / METRICS).get(objective)
        return Job(number, overrides, "finished", value)
    return Job(number, overrides, "interrupted" if (folder / LAST).exists() else "not begun")
