"""Which folder a run or multirun writes into: a new one, or that which it goes on in."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import CONFIG, HYDRA, LAST, LOCK, MULTIRUN, is_finished, make_new
from autoencoders.launch.program import PROGRAM
from autoencoders.launch.ranks import number, rank
from autoencoders.launch.record import is_recorded, without_hydra
from autoencoders.runs.extension import LENGTH
from autoencoders.runs.folder import NOT_A_CONFIG, load_config, lock
from autoencoders.runs.paths import find_data
from autoencoders.runs.trust import read_yaml


def choose(config: DictConfig) -> Path:
    """The folder of a run, made and locked by the first of its processes."""
    folder, explicit = Path(config.hydra.run.dir), is_explicit("hydra.run.dir", config)
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
    elif number("WORLD_SIZE", 1) > 1:
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
    program = PROGRAM.get()
    program.lock, program.made = lock(folder), missing
    return folder


def is_explicit(key: str, config: DictConfig) -> bool:
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
    allowed = ("resume=", LENGTH, "allow_changed_data=")
    others = [o for o in typed if not o.startswith(allowed)]
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
    config.allow_changed_data = typed.allow_changed_data
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
