"""The jobs of a multirun: what becomes of each, and how a multirun is continued."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoders.config import check_settings, objective_of
from autoencoders.errors import FAULTS, InputError, describe
from autoencoders.runs import (
    CONFIG,
    LAST,
    LOCK,
    METRICS,
    MULTIRUN,
    NOT_A_CONFIG,
    OWN,
    find_data,
    load_config,
    lock,
    shown,
    write_whole,
)
from autoencoders.trust import read_json, refuse_foreign, refuse_foreign_overrides, refuse_links

ERROR = "error.txt"
OVERRIDES = ".hydra/overrides.yaml"
CONTINUED = "AUTOENCODERS_CONTINUED_MULTIRUN"  # set where one is; reaches jobs of other processes

# What a continued multirun sets of Hydra itself, and what may be set anew.
SET = ("hydra.sweep.dir=", "hydra.mode=", "hydra.output_subdir=")
CHANGEABLE = (
    "hydra/launcher=",
    "hydra.launcher.",
    "hydra.sweeper.trials=",
    "hydra.sweeper.workers=",
)
COMPOSED = ".composed"  # where Hydra then leaves a job's config: the job may have its own already

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
    folder = Path(named[0].removeprefix("resume=").strip("'"))
    if not (folder / MULTIRUN).is_file():
        raise InputError(
            f"resume={folder}: not a multirun's folder: it has no {MULTIRUN}; give one such as"
            " outputs/multirun/<time>, or leave out -m to continue a single run"
        )
    try:
        whole: Any = OmegaConf.to_container(OmegaConf.load(folder / MULTIRUN), resolve=False)
        overrides = whole["hydra"]["overrides"]
        task, typed = list(overrides["task"]), list(overrides["hydra"])
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / MULTIRUN}: not a multirun's config: {reason}") from error
    again = [argument for argument in arguments if argument not in (*flags, named[0])]
    other = {argument.partition("=")[0] for argument in again if argument.startswith(CHANGEABLE)}
    hydra = [o for o in typed if not o.startswith(SET) and o.partition("=")[0] not in other]
    recorded = [*task, *hydra, *(a for a in again if a.partition("=")[0] in other)]
    if others := [argument for argument in again if argument not in recorded]:
        raise InputError(
            f"resume={folder}: continues that multirun with its own arguments; leave out"
            f" {' '.join(others)}"
        )
    refuse_foreign_overrides(recorded, again, folder / MULTIRUN)
    refuse_links(folder)
    for result in (folder / ".submitit").rglob("*_result.pkl"):
        result.unlink()  # submitit would take it for a job's, and unpickle it
    os.environ[CONTINUED] = "1"
    return [
        *("-m", *recorded),
        *(f"hydra.sweep.dir={quoted(folder)}", f"hydra.output_subdir={COMPOSED}"),
    ]


@contextmanager
def handle_interruptions() -> Iterator[None]:
    """See to a run or multirun that is cut off: say how to go on with it after Ctrl-C, or where a
    launcher's process was killed from outside; leave nothing of a multirun that never began.

    Raises:
        InputError: a process was killed; the jobs' table is printed before.
    """
    try:
        yield
    except KeyboardInterrupt:
        if HydraConfig.initialized():
            hydra = HydraConfig.get()
            multirun = hydra.mode is RunMode.MULTIRUN
            folder = Path(hydra.sweep.dir if multirun else hydra.run.dir)
            print(f"interrupted; continue with: {how_to_continue(folder)}")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        folder = Path(HydraConfig.get().sweep.dir) if HydraConfig.initialized() else Path("nowhere")
        begun = not folder.is_dir() or set(os.listdir(folder)) - {MULTIRUN, LOCK}
        if not begun and CONTINUED not in os.environ:
            for file in folder.iterdir():
                file.unlink()
            (os.rmdir if folder.is_absolute() else os.removedirs)(folder)  # outputs/multirun too
        # joblib's, and submitit's, which need not be installed.
        if isinstance(error, BrokenProcessPool) or "UncompletedJob" in type(error).__name__:
            from autoencoders import report

            objective = str(OmegaConf.load(folder / MULTIRUN).objective)
            report.print_jobs(read_jobs(folder), objective, folder)
            raise InputError(
                f"{folder}: a job's process was killed, perhaps for want of memory;"
                f" {how_to_continue(folder)} goes on"
            ) from error
        raise


def how_to_continue(folder: Path) -> str:
    """The command that goes on with the run in `folder`, or with the multirun that it is of."""
    for multirun in (folder, folder.parent):
        if (multirun / MULTIRUN).exists():
            return f"python train.py -m {shlex.quote(f'resume={shown(multirun)}')}"
    plain = re.fullmatch(r"[\w./:-]+", str(shown(folder)))
    path = shown(folder) if plain else quoted(shown(folder))  # for Hydra, then for the shell
    return f"python train.py {shlex.quote(f'resume={path}')}"


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
        resume = (folder / LAST).exists()
        if os.environ.get(CONTINUED):
            _keep_own_config(folder)
        if (folder / METRICS).exists():
            return objective_of(read_json(folder / METRICS), cfg)
        (folder / ERROR).unlink(missing_ok=True)
        if os.environ.get(CONTINUED) and not resume:
            refuse_foreign(cfg, folder.parent / MULTIRUN)
            find_data(cfg, Path.cwd())
        check_settings(cfg)
        if cfg.trainer.devices != 1:
            _in_own_process(train, folder, not resume)
            return objective_of(read_json(folder / METRICS), cfg)
        with lock(folder):
            return train(load_config(folder) if resume else cfg, folder, resume)
    except Exception as error:  # whatever it is, the other jobs go on
        line = describe(error) if isinstance(error, FAULTS) else None
        line = line or f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        write_whole(folder / ERROR, f"{line}\n\n{traceback.format_exc()}")
        print(f"job {folder.name} failed: {line}", file=sys.stderr)
        return float("nan")


def _keep_own_config(folder: Path) -> None:
    """Of a job that has begun, keep the config it began with; another takes that of today."""
    own, composed = (folder / CONFIG).parent, folder / COMPOSED
    if (folder / METRICS).exists() or (folder / LAST).exists():
        shutil.rmtree(composed, ignore_errors=True)
    elif composed.exists():
        shutil.rmtree(own, ignore_errors=True)
        composed.rename(own)


def _in_own_process(train: Train, folder: Path, new: bool) -> None:
    """Run a job that trains in several processes by a command of its own: Lightning kills the
    program whose further processes fail, and with it the jobs that are to follow.

    Args:
        new: its config has just been composed here.

    Raises:
        InputError: the job has failed.
    """
    script = train.__code__.co_filename  # not sys.argv[0], which launchers change
    command = [sys.executable, script, f"resume={quoted(folder)}"]
    environment = {**os.environ, **({OWN: str(folder)} if new else {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, text=True, env=environment) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            errors = process.communicate()[1]
        except KeyboardInterrupt:  # of this process alone, perhaps
            process.send_signal(signal.SIGINT)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
    sys.stderr.write(errors)
    if process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM):
        sys.exit(128 + signal.SIGTERM)
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        line = lines[-1].removeprefix("error: ") if lines else f"ended with {process.returncode}"
        raise InputError(line) from RuntimeError(errors)


def quoted(folder: Path) -> str:
    """A path as the value of one of Hydra's overrides."""
    return "'" + str(folder).replace("'", "\\'") + "'"


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
    if (folder / METRICS).exists():
        objective = OmegaConf.load(folder / CONFIG).objective
        value = read_json(folder / METRICS).get(objective)
        return Job(number, overrides, "finished", value)
    if (folder / ERROR).exists():
        line = (folder / ERROR).read_text(encoding="utf-8").partition("\n")[0]
        return Job(number, overrides, "failed", error=line)
    return Job(number, overrides, "interrupted" if (folder / LAST).exists() else "not begun")
