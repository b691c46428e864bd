"""Which folder a run or multirun writes into: a new one, or that which it goes on in."""

import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from autoencoders.errors import InputError, end
from autoencoders.files import CONFIG, HYDRA, LAST, LOCK, MULTIRUN, make_new, shown
from autoencoders.runs import best, jobs
from autoencoders.runs.folder import (
    LENGTH,
    NOT_A_CONFIG,
    find_data,
    is_recorded,
    load_config,
    lock,
    without_hydra,
)
from autoencoders.runs.keys import check_command, check_keys
from autoencoders.runs.settings import TrainKeys
from autoencoders.runs.state import is_finished
from autoencoders.runs.trust import read_yaml

SIGTERMED = 128 + signal.SIGTERM
# What is in the folder of a run or multirun that has begun; submitit's jobs may yet begin.
BEGUN = (f"**/{LAST}", f"**/{jobs.ERROR}", ".submitit")

# Of this program's run or multirun; here because launchers copy the callback to their processes.
HELD: list[Any] = []  # its lock
MADE: list[Path] = []  # its folder where that is new, and the parents that are


@contextmanager
def _ending_the_program() -> Iterator[None]:
    """End the program with a callback's exception, of which Hydra would make a warning."""
    try:
        yield
    except Exception as error:
        end(error)


class RunFolder(Callback):
    """Hydra's callback that chooses the folder of a run or a multirun before anything is written.

    A run gets a folder of its own; with `resume=<folder>` it goes on in that one. A multirun whose
    command is typed again with its `hydra.sweep.dir=` goes on. What another run has left is never
    written over.
    """

    @_ending_the_program()
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # hydra.run.dir is made of the group choices
        check_command(config, TrainKeys)
        folder = _choose(config)
        with read_write(config.hydra):
            config.hydra.run.dir = str(folder)
        HydraConfig.instance().set_config(config)

    @_ending_the_program()
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)
        jobs.JOBS.clear()
        check_keys(config, TrainKeys)
        print("checking the jobs of a multirun", flush=True)  # torch takes seconds to import
        folder = Path(config.hydra.sweep.dir)
        # For the names of the jobs' folders; jobs are composed of the multirun's overrides.
        excluded = ",".join(f'"{key}"' for key in jobs.shared_keys(config))
        key = "hydra.job.config.override_dirname.exclude_keys"
        with read_write(config.hydra):
            config.hydra.overrides.hydra.append(f"{key}=[{excluded}]")
        if _is_explicit("hydra.sweep.dir", config):
            refuse_other_multirun(config, folder)
            jobs.admit_jobs(config, jobs.grid(config))
            claim(folder, new=False)
        else:
            folder = claim(folder, new=True)
            with read_write(config.hydra):
                config.hydra.sweep.dir = str(folder)
                override = jobs.path_override("hydra.sweep.dir", folder)
                config.hydra.overrides.hydra.append(override)  # which the jobs are composed of
            jobs.admit_jobs(config, jobs.grid(config))
        for result in folder.glob(".submitit/**/*_result.pkl"):
            result.unlink()  # submitit would take it for that of a job of the same number
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(SIGTERMED))

    @_ending_the_program()
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        statuses = {job.outcome()[0] for job in jobs.JOBS.values()}
        is_search = "trials" in config.hydra.sweeper
        # A search goes on past its failed trials.
        done = {"finished", "failed"} if is_search else {"finished"}
        _print_jobs(left=not statuses <= done)
        if is_search and (found := best.best_of([*jobs.JOBS.values()])):
            job, value = found
            folder = shown(best.write_config(config, job, value))
            print(f"best: trial {job.number}, {job.config.objective} {value:.4g}: {job.folder}")
            print(f"its config: {folder / best.NAME}.yaml")
            flags = (f"--config-dir={folder}", f"--config-name={best.NAME}")
            print(f"at full length: {shlex.join([*_program(), *flags])}")
        if not statuses <= done or statuses == {"failed"}:
            sys.exit(1)


@contextmanager
def handle_interruptions() -> Iterator[None]:
    """See to a run or multirun that is cut off: print the command that goes on with it, and remove
    the folder made for one that failed before it began.

    Raises:
        InputError: the process of a multirun's job was killed.
    """
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        if (status := _interruption(ended)) is None:
            raise
        MADE.clear()
        if HELD:
            print(f"continue with: {how_to_continue()}")
        sys.exit(status)
    except Exception as error:
        if _has_begun():
            _print_jobs(left=True)
        if isinstance(error, _killed()):
            line = "a job's process was killed, perhaps for want of memory; type the command again"
            raise InputError(f"{line} with hydra.sweep.dir= as printed above") from error
        raise
    finally:
        HELD.clear()
        if not _has_begun():
            shutil.rmtree(MADE.pop(0), ignore_errors=True)
            with suppress(OSError):  # a parent where another run has begun
                for parent in MADE:
                    parent.rmdir()
        MADE.clear()
        signal.signal(signal.SIGTERM, sigterm)


def how_to_continue() -> str:
    """The command that goes on with this program's run or multirun, as a shell takes it."""
    hydra = HydraConfig.get()
    if hydra.mode is RunMode.MULTIRUN:
        given = {*hydra.overrides.hydra, *hydra.overrides.task}
        typed = [a for a in sys.argv[1:] if not re.match(r"\+*hydra\.sweep\.dir=", a)]
        arguments = sorted(typed, key=given.__contains__)  # argparse wants overrides in a row
        arguments.append(jobs.path_override("hydra.sweep.dir", shown(Path(hydra.sweep.dir))))
    else:
        arguments = [jobs.path_override("resume", shown(Path(hydra.run.dir)))]
        if any(override.startswith("resume=") for override in hydra.overrides.task):
            arguments += [o for o in hydra.overrides.task if o.startswith(LENGTH)]
    return shlex.join([*_program(), *arguments])


def _program() -> list[str]:
    """How this program is called."""
    script = Path(sys.argv[0])
    if script.parent.name == "scripts":  # in an installed package, see commands.py
        return [f"autoencoders-{script.stem}"]
    return ["python", str(shown(script))]


def _interruption(ended: BaseException) -> int | None:
    """The exit status of a program that was asked to stop; None of one that ends by itself."""
    # Lightning makes sys.exit(1) of Ctrl-C.
    if isinstance(ended, KeyboardInterrupt) or isinstance(ended.__context__, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return SIGTERMED if isinstance(ended, SystemExit) and ended.code == SIGTERMED else None


def _killed() -> tuple[type[Exception], ...]:
    """What launchers raise where a job's process was killed."""
    with suppress(ModuleNotFoundError):
        from submitit.core.utils import UncompletedJobError

        return BrokenProcessPool, UncompletedJobError
    return (BrokenProcessPool,)


def _has_begun() -> bool:
    return not MADE or any(any(MADE[0].glob(pattern)) for pattern in BEGUN)


def _print_jobs(left: bool) -> None:
    from autoencoders.runs import report

    if known := sorted(jobs.JOBS.values()):
        report.print_jobs(known, how_to_continue() if left else None)


def _choose(config: DictConfig) -> Path:
    """The folder of a run, made and locked by the first of its processes."""
    folder, explicit = Path(config.hydra.run.dir), _is_explicit("hydra.run.dir", config)
    if config.resume is not None:
        folder, explicit = check_resumable(config), True
    if rank() > 0:
        return folder
    again = is_recorded(without_hydra(config), folder) and not is_finished(folder)
    if config.resume is None and not (explicit and again):
        _check_new(config, folder, explicit)
    return claim(folder, new=not explicit)


def _check_new(config: DictConfig, folder: Path, explicit: bool) -> None:
    """Raise InputError where no new run can begin in `folder`."""
    if sweep := config.hydra.runtime.choices.get("sweep"):
        raise InputError(f"sweep={sweep}: runs many jobs: python train.py -m sweep={sweep}")
    if explicit:
        refuse_occupied(folder)
    elif _number("WORLD_SIZE", 1) > 1:
        raise InputError(
            f"{os.environ['WORLD_SIZE']} processes were started, which must agree on the run's"
            " folder: set hydra.run.dir="
        )


def claim(folder: Path, new: bool) -> Path:
    """Make and lock the folder of a run or multirun, or where it must be new and is not, another
    beside it.

    Raises:
        InputError: another process writes there.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    if new:
        folder = make_new(folder)
        missing = [folder, *missing[1:]]
    folder.mkdir(parents=True, exist_ok=True)
    HELD.append(lock(folder))
    MADE[:] = missing
    return folder


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
    return any(o.lstrip("+").startswith(f"{key}=") for o in config.hydra.overrides.hydra)


def check_resumable(config: DictConfig) -> Path:
    """The folder that `resume=` names.

    Raises:
        InputError: it is not of a run that was begun and interrupted, or that is to be longer; or
            other keys are set.
    """
    folder = Path(str(config.resume))
    if (folder / MULTIRUN).is_file():
        raise InputError(
            f"resume={folder}: holds a multirun, which goes on where its command is typed again"
            f" with hydra.sweep.dir={folder}"
        )
    for file in (CONFIG, HYDRA):
        if not (folder / file).is_file():
            raise InputError(
                f"resume={folder}: not a run to continue: it has no {file}; give a run's folder,"
                " such as outputs/digits/wae/<time>"
            )
    typed = config.hydra.overrides.task
    others = [o for o in typed if not o.startswith(("resume=", LENGTH))]
    if others:
        raise InputError(
            f"resume={folder}: continues that run with its own config; leave out {' '.join(others)}"
        )
    if is_finished(folder) and not any(o.startswith(LENGTH) for o in typed):
        raise InputError(
            f"resume={folder}: holds a finished run; add {LENGTH} with more"
            f" epochs than it has to extend it; ckpt_path={folder / LAST} starts a new run from its"
            " weights"
        )
    return folder


def resumed_config(typed: DictConfig, folder: Path) -> DictConfig:
    """The config of the run that goes on in `folder`, as long as the command says, if it does."""
    config = load_config(folder)
    find_data(config, folder)
    if any(override.startswith(LENGTH) for override in HydraConfig.get().overrides.task):
        config.trainer.max_epochs = typed.trainer.max_epochs
    return config


def refuse_occupied(folder: Path) -> None:
    """Raise InputError where a run has written into `folder`; one that failed before its first
    checkpoint has left nothing that another would spoil."""
    if is_finished(folder):
        raise InputError(
            f"hydra.run.dir={folder}: holds a finished run, which stays as it is; give another"
            " folder"
        )
    if (folder / LAST).exists():
        raise InputError(
            f"hydra.run.dir={folder}: holds an unfinished run; resume={folder} continues it;"
            " another folder takes a new one"
        )
    refuse_strewing("hydra.run.dir", folder, folders=False)


def refuse_strewing(key: str, folder: Path, folders: bool) -> None:
    """Raise InputError where a run's files would be mixed with others: in the current folder, or in
    one that has folders. A log that the shell has opened there may stay.

    Args:
        folders: whether there may be folders, as those of a multirun's jobs.
    """
    others = [path for path in folder.glob("*") if path.name not in (LOCK, ".hydra", ".submitit")]
    here = Path.cwd().is_relative_to(folder.resolve())
    if any(here or (path.is_dir() and not folders) for path in others):
        raise InputError(
            f"{key}={folder}: holds other files, {others[0].name} among them, between which a run's"
            " would lie; give a new or an empty folder"
        )


def refuse_other_multirun(config: DictConfig, folder: Path) -> None:
    """Raise InputError where `folder` holds a single run, or a multirun of other jobs."""
    if (folder / CONFIG).exists():
        raise InputError(f"hydra.sweep.dir={folder}: holds a single run; give another folder")
    if (file := folder / MULTIRUN).exists():
        with suppress(*NOT_A_CONFIG):
            if _swept(read_yaml(file)) == _swept(config):
                return
        raise InputError(
            f"hydra.sweep.dir={folder}: holds another multirun, see {file}; only the launcher,"
            " hydra.sweeper.trials= and hydra.sweeper.workers= may change; give another folder"
        )
    refuse_strewing("hydra.sweep.dir", folder, folders=True)


def _swept(config: Any) -> tuple[Any, ...]:
    """What a multirun runs through, of its config."""
    whole: Any = OmegaConf.to_container(config, resolve=False)
    hydra = whole["hydra"]
    return hydra["overrides"]["task"], {**hydra["sweeper"], "trials": 0, "workers": 0}
