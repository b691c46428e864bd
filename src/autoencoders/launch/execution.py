"""A job of a multirun is run."""

import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from autoencoders.errors import InputError, describe
from autoencoders.files import LAST, is_finished, write_whole
from autoencoders.launch.config import check_settings
from autoencoders.launch.job import ERROR, reached
from autoencoders.launch.jobs import refuse_foreign_folder
from autoencoders.launch.overrides import path_override
from autoencoders.launch.record import record_config
from autoencoders.runs.folder import lock

Train = Callable[[DictConfig, Path, bool], float]


def is_job() -> bool:
    """Whether this program is, or is at, a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def run_job(train: Train, cfg: DictConfig, folder: Path) -> float:
    """Run a job, go on with it where it was interrupted, skip it where it has finished.

    A job that fails leaves its error in its folder, and the others go on.

    Args:
        train: of train.py.
        cfg: the job's.
        folder: the job's.

    Returns:
        The objective; NaN of a job that has failed.

    Raises:
        InputError: the folder holds anything but this job.
    """
    refuse_foreign_folder(cfg, folder)
    try:
        if not is_finished(folder):
            _train_job(train, cfg, folder)
        value = reached(folder, cfg)
        print(f"job {folder.name} finished: {cfg.objective} {value:.4g}")
        return value
    except Exception as error:  # whatever it is, the other jobs go on
        line = describe(error) or f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        write_whole(folder / ERROR, f"{line}\n\n{traceback.format_exc()}")
        print(f"job {folder.name} failed: {line}", file=sys.stderr)
        return float("nan")


def _train_job(train: Train, cfg: DictConfig, folder: Path) -> None:
    check_settings(cfg)
    resume = (folder / LAST).exists()
    with lock(folder):
        (folder / ERROR).unlink(missing_ok=True)
        if not resume:
            record_config(cfg, folder)
        if cfg.trainer.devices == 1:
            train(cfg, folder, resume)
            return
    _in_own_process(train, folder)


def _in_own_process(train: Train, folder: Path) -> None:
    """Run a job that trains in several processes by a command of its own: Lightning kills the
    program whose further processes fail, and with it the jobs that are to follow.

    Raises:
        InputError: the job has failed.
    """
    script = train.__code__.co_filename  # not sys.argv[0], which launchers change
    hydra = HydraConfig.get()
    overrides = [o for o in hydra.overrides.hydra if not o.startswith("hydra.mode=")]
    command = [sys.executable, script, f"--config-name={hydra.job.config_name}"]
    sources = hydra.runtime.config_sources
    command += [f"--config-dir={s.path}" for s in sources if s.provider == "command-line"]
    command += [*overrides, *hydra.overrides.task]
    command.append(path_override("hydra.run.dir", folder))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
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
