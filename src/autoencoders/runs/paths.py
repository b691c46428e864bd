"""The paths in a run's config: none empty, and where its data are now."""

import os
from pathlib import Path

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import HYDRA
from autoencoders.runs.trust import read_yaml

# Those that are a path, or name runs or a folder.
PATHS = (
    *("resume", "run", "runs", "ckpt_path", "multirun", "tags", "folder", "input", "output"),
    *("dataset.path", "dataset.test_path", "dataset.val_path", "dataset.data_dir"),
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
)
OF_DATA = ("path", "test_path", "val_path")  # of a data set's keys, beside data_dir
DATA = "AUTOENCODERS_DATA"  # the environment variable that dataset.data_dir is by default


def refuse_empty_paths(config: DictConfig) -> None:
    """Raise InputError where a path is empty, which would mean the current folder."""
    for key in PATHS:
        value = OmegaConf.select(config, key, throw_on_resolution_failure=False)
        paths = value if OmegaConf.is_list(value) else [value]
        if any(path is not None and not str(path).strip() for path in paths):
            name = DATA if key == "dataset.data_dir" and os.environ.get(DATA) == "" else key
            raise InputError(
                f"{name}=: is empty, as where a shell's variable is not set; give a path, or leave"
                " it out"
            )


def started_from(folder: Path) -> Path:
    """The folder that a run was started from, which its relative paths were meant from."""
    return Path(OmegaConf.select(read_yaml(folder / HYDRA), "hydra.runtime.cwd"))


def find_data(config: DictConfig, folder: Path) -> None:
    """Set a config's `data_dir`, and the paths of its data if it has any, to where they are now.

    Args:
        config: read back from `folder`.

    Raises:
        InputError: there is nothing at a path.
    """
    started = started_from(folder)
    for key in OF_DATA:
        if config.dataset.get(key) is not None:
            config.dataset[key] = str(_find_path(key, started / str(config.dataset[key])))
    if "data_dir" not in config.dataset:
        return
    data_dir = started / config.dataset.data_dir
    # Where its files are not there, a download must not go where a config says.
    if not get_class(config.dataset._target_).is_in(data_dir):  # type: ignore[attr-defined]
        data_dir = Path(os.environ.get("AUTOENCODERS_DATA", "data"))
    config.dataset.data_dir = str(data_dir)


def _find_path(key: str, path: Path) -> Path:
    """A path, or what has its name where data sets are."""
    moved = Path(os.environ.get("AUTOENCODERS_DATA", "data"), path.name)
    if not path.exists() and not moved.exists():
        raise InputError(
            f"dataset.{key}={path}: no longer there; put it back, or set AUTOENCODERS_DATA to the"
            f" folder where {path.name} is now"
        )
    return path if path.exists() else moved
