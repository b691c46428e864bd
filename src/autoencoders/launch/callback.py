"""Hydra's callback, which chooses the folder of a run or a multirun before anything is written."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from autoencoders.files import shown
from autoencoders.launch import best, jobs
from autoencoders.launch.ending import end
from autoencoders.launch.folders import choose, claim, is_explicit, refuse_other_multirun
from autoencoders.launch.interruptions import SIGTERMED, print_jobs, program_name
from autoencoders.launch.keys import check_command, check_keys
from autoencoders.launch.overrides import path_override
from autoencoders.launch.program import PROGRAM
from autoencoders.launch.settings import TrainKeys


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
    command is run again with its `hydra.sweep.dir=` goes on. What another run has left is never
    written over.
    """

    @_ending_the_program()
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # hydra.run.dir is made of the group choices
        check_command(config, TrainKeys)
        folder = choose(config)
        with read_write(config.hydra):
            config.hydra.run.dir = str(folder)
        HydraConfig.instance().set_config(config)

    @_ending_the_program()
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)
        check_keys(config, TrainKeys)
        print("checking the jobs of a multirun", flush=True)  # torch takes seconds to import
        folder = Path(config.hydra.sweep.dir)
        # For the names of the jobs' folders; jobs are composed of the multirun's overrides.
        excluded = ",".join(f'"{key}"' for key in jobs.shared_keys(config))
        overrides = [f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]"]
        if explicit := is_explicit("hydra.sweep.dir", config):
            refuse_other_multirun(config, folder)
        else:
            folder = claim(folder, new=True)
            overrides.append(path_override("hydra.sweep.dir", folder))
        with read_write(config.hydra):
            config.hydra.sweep.dir = str(folder)
            config.hydra.overrides.hydra += overrides
        jobs.admit_jobs(config, jobs.grid(config))
        if explicit:
            claim(folder, new=False)
        for result in folder.glob(".submitit/**/*_result.pkl"):
            result.unlink()  # submitit would take it for that of a job of the same number
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(SIGTERMED))

    @_ending_the_program()
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        known = [*PROGRAM.get().jobs.values()]
        statuses = {job.outcome()[0] for job in known}
        is_search = "trials" in config.hydra.sweeper
        # A search goes on past its failed trials.
        done = {"finished", "failed"} if is_search else {"finished"}
        print_jobs(left=not statuses <= done)
        if is_search and (found := best.best_of(known)):
            job, value = found
            folder = shown(best.write_config(config, job, value))
            print(f"best: trial {job.number}, {job.config.objective} {value:.4g}: {job.folder}")
            print(f"its config: {folder / best.NAME}.yaml")
            flags = (f"--config-dir={folder}", f"--config-name={best.NAME}")
            print(f"at full length: {shlex.join([*program_name(), *flags])}")
        if not statuses <= done or statuses == {"failed"}:
            sys.exit(1)
