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
    r"model": r"autoencoders\.models(\.[a-z]\w*)?\.[A-Z]\w*",
    r"dataset": r"autoencoders\.data\.[A-Z]\w*",
    r"trainer": r"pytorch_lightning\.Trainer",
    # Those that write no files of their own.
    r"trainer\.callbacks\.\d+": r"pytorch_lightning\.callbacks\.(EarlyStopping|LearningRateMonitor"
    r"|DeviceStatsMonitor|GradientAccumulationScheduler|StochasticWeightAveraging"
    r"|EMAWeightAveraging|Timer|ModelSummary|RichModelSummary|RichProgressBar|TQDMProgressBar)",
}
PACKAGES = ("autoencoders.", "pytorch_lightning.")
# A reference to another key, or what the data sets' files say: no resolver that makes something.
INTERPOLATIONS = r"\$\{[\w.]+\}|\$\{oc\.env:AUTOENCODERS_DATA,data\}"
PATHS = ("path", "dir", "file", "filename")  # how keys end that say where to write
READ = ("dataset.data_dir", "ckpt_path")  # these say where to read


def refuse_foreign(config: Any, file: Path) -> None:
    """Raise InputError where a config read back would make anything but this project's models and
    data sets and Lightning's Trainer and callbacks, or write outside of its run.

    Args:
        config: read from `file`.
    """
    for key in ("model", "dataset", "trainer"):
        if "_target_" not in config[key]:
            raise InputError(f"{file}: {key}._target_ is missing: not a run's config")
    for key, value in _leaves(OmegaConf.to_container(config, resolve=False)):
        parent, _, name = key.rpartition(".")
        if re.search(r"(^|\.)_(?!target_$)", key):  # _args_ and the like
            raise InputError(f"{file}: {key}={value}: not a key that train.py writes; leave it out")
        if name == "_target_":
            _refuse_target(parent, str(value), file)
        elif name.endswith(PATHS) and key not in READ:
            raise InputError(
                f"{file}: {key}={value}: a config read back writes into its run's folder alone;"
                " leave it out"
            )
        elif isinstance(value, str) and "${" in value and not re.fullmatch(INTERPOLATIONS, value):
            raise InputError(
                f"{file}: {key}={value}: a config read back may refer to other keys and do nothing"
                " else; write the value itself"
            )


def refuse_links(folder: Path) -> None:
    """Raise InputError where a link in `folder`, which may have come from anywhere, leads out of
    it: what is written through it would lie elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: a link that leads out of {folder}; remove it")


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
    known = any(
        re.fullmatch(where, key) and re.fullmatch(what, target) for where, what in TARGETS.items()
    )
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
