"""Configs that are read back from a folder, which may have come from anywhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import OmegaConf

from autoencoders.errors import InputError

# What a config read back may make, by where it stands.
TARGETS = {
    "model": r"autoencoders\.models(\.[a-z]\w*)?\.[A-Z]\w*",
    "dataset": r"autoencoders\.data\.[A-Z]\w*",
    "trainer": r"pytorch_lightning\.Trainer",
}
NESTED = r"pytorch_lightning\.callbacks\.[A-Z]\w*"
PACKAGES = ("autoencoders.", "pytorch_lightning.")
# A reference to another key, or what the data sets' files say: no resolver that makes something.
INTERPOLATIONS = r"\$\{[\w.]+\}|\$\{oc\.env:AUTOENCODERS_DATA,data\}"
PATHS = ("path", "dir", "file", "filename")  # how keys end that say where to write
# Of Hydra's own settings, how many jobs run where: nothing that names a program.
HYDRA = (
    r"hydra/launcher=\w+",
    r"hydra\.launcher\.(n_jobs|nodes|timeout_min|cpus_per_task|gpus_per_node|mem_gb)=\d+",
    r"hydra\.launcher\.partition=[\w-]+",
    r"hydra\.sweeper\.(trials|workers|seed)=\d+",
    r"hydra\.sweeper\.params\.[\w.]+=.*",
)


def refuse_foreign(config: Any, file: Path) -> None:
    """Raise InputError where a config read back would make anything but this project's models and
    data sets and Lightning's Trainer and callbacks, or write outside of its run.

    Args:
        config: read from `file`.
    """
    for key in TARGETS:
        if "_target_" not in config[key]:
            raise InputError(f"{file}: {key}._target_ is missing: not a run's config")
    for key, value in _leaves(OmegaConf.to_container(config, resolve=False)):
        parent, _, name = key.rpartition(".")
        if name == "_target_":
            _refuse_target(parent, str(value), file)
        elif name.endswith(PATHS) and parent.startswith("trainer"):
            raise InputError(
                f"{file}: {key}={value}: a config read back writes into its run's folder alone;"
                " leave it out"
            )
        elif isinstance(value, str) and "${" in value and not re.fullmatch(INTERPOLATIONS, value):
            raise InputError(
                f"{file}: {key}={value}: a config read back may refer to other keys and do nothing"
                " else; write the value itself"
            )


def refuse_foreign_settings(overrides: list[str], file: Path) -> None:
    """Raise InputError where a multirun that is continued would set more of Hydra than how many
    jobs run where."""
    for override in overrides:
        if not any(re.fullmatch(allowed, override) for allowed in HYDRA):
            raise InputError(
                f"{file}: {override}: a multirun that is continued sets of Hydra only its launcher"
                " and how many jobs it runs; start a new multirun with it"
            )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: damaged: {error}; run python evaluate.py again") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content


def _refuse_target(key: str, target: str, file: Path) -> None:
    # By its form first: to look a name up is to run its module.
    known = re.fullmatch(TARGETS.get(key, NESTED), target)
    if not known or not get_class(target).__module__.startswith(PACKAGES):
        raise InputError(
            f"{file}: {key}._target_={target}: a config read back makes only what this project"
            " and Lightning offer"
        )


def _leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts and lists, by its dotted key."""
    if isinstance(config, dict | list):
        items = config.items() if isinstance(config, dict) else enumerate(config)
        for name, value in items:
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, config
