"""A run or multirun that is cut off: what is said, and what is removed."""

import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from autoencoders.errors import InputError
from autoencoders.files import LAST, shown
from autoencoders.launch import jobs
from autoencoders.launch.job import ERROR
from autoencoders.launch.overrides import path_override
from autoencoders.launch.program import PROGRAM, Program
from autoencoders.runs.extension import LENGTH

SIGTERMED = 128 + signal.SIGTERM
# What is in the folder of a run or multirun that has begun; submitit's jobs may yet begin.
BEGUN = (f"**/{LAST}", f"**/{ERROR}", ".submitit")


@contextmanager
def handle_interruptions() -> Iterator[None]:
    """See to a run or multirun that is cut off: print the command that goes on with it, and remove
    the folder made for one that failed before it began.

    Raises:
        InputError: the process of a multirun's job was killed.
    """
    sigterm = signal.getsignal(signal.SIGTERM)
    program = Program()
    token = PROGRAM.set(program)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        if (status := _interruption(ended)) is None:
            raise
        program.made.clear()
        if program.lock:
            print(f"continue with: {how_to_continue()}")
        sys.exit(status)
    except Exception as error:
        if _has_begun(program):
            print_jobs(left=True)
        if isinstance(error, _killed()):
            line = "a job's process was killed, perhaps for want of memory; type the command again"
            raise InputError(f"{line} with hydra.sweep.dir= as printed above") from error
        raise
    finally:
        if not _has_begun(program):
            new, *parents = program.made
            shutil.rmtree(new, ignore_errors=True)
            with suppress(OSError):  # a parent where another run has begun
                for parent in parents:
                    parent.rmdir()
        PROGRAM.reset(token)
        signal.signal(signal.SIGTERM, sigterm)


def how_to_continue() -> str:
    """The command that goes on with this program's run or multirun, as a shell takes it."""
    hydra = HydraConfig.get()
    if hydra.mode is RunMode.MULTIRUN:
        given = {*hydra.overrides.hydra, *hydra.overrides.task}
        typed = [a for a in sys.argv[1:] if not re.match(r"\+*hydra\.sweep\.dir=", a)]
        arguments = sorted(typed, key=given.__contains__)  # argparse wants overrides in a row
        arguments.append(path_override("hydra.sweep.dir", shown(Path(hydra.sweep.dir))))
    else:
        arguments = [path_override("resume", shown(Path(hydra.run.dir)))]
        if any(override.startswith("resume=") for override in hydra.overrides.task):
            arguments += [o for o in hydra.overrides.task if o.startswith(LENGTH)]
    return shlex.join([*program_name(), *arguments])


def program_name() -> list[str]:
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


def _has_begun(program: Program) -> bool:
    return not program.made or any(any(program.made[0].glob(pattern)) for pattern in BEGUN)


def print_jobs(left: bool) -> None:
    """What became of this program's jobs, and if some are left, the command that goes on."""
    if known := sorted(PROGRAM.get().jobs.values()):
        jobs.print_jobs(known, how_to_continue() if left else None)
