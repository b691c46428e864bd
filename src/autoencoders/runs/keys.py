"""The keys of a command: none that nothing reads, none whose path is empty."""

import os
import re
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ValidationError

from autoencoders.errors import InputError, describe, unknown_key
from autoencoders.runs.trust import leaves

# Those that are a path, or name runs or a folder.
PATHS = (
    *("resume", "run", "runs", "ckpt_path", "multirun", "tags", "folder"),
    *("dataset.path", "dataset.data_dir"),
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
)
DATA = "AUTOENCODERS_DATA"  # the environment variable that dataset.data_dir is by default


def check_keys(config: DictConfig, kind: type[BaseModel]) -> None:
    """Raise InputError where the running command has a key that its script does not know, or a path
    that is empty.

    Args:
        config: as composed, with Hydra's own part or without.
        kind: the script's settings.
    """
    hydra: Any = HydraConfig.instance().cfg
    refuse_empty_paths(hydra)
    refuse_empty_paths(config)
    plain: Any = OmegaConf.to_container(config, resolve=False)
    values = str([plain, OmegaConf.to_container(hydra, resolve=False)])
    known = [*kind.model_fields]
    for key in {*plain} - {*known, "hydra"}:
        if not re.search(rf"\$\{{\.*{re.escape(key)}[.}}]", values):  # by another key
            others = [dotted for dotted, _ in leaves(plain) if dotted.startswith((*known,))]
            raise InputError(unknown_key(key, known, others))


def check_command(config: DictConfig, kind: type[BaseModel]) -> None:
    """The same, and raise InputError where a key of the script's own has a value that it does not
    allow, as far as can be told before torch is imported."""
    check_keys(config, kind)
    try:
        kind.model_validate(OmegaConf.to_container(config, resolve=False))
    except ValidationError as error:
        raise InputError(describe(error)) from error


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
