"""What a config may ask for, just composed or read back from a folder, which may have come from
anywhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any, NamedTuple

import yaml
from omegaconf import OmegaConf

from autoencoders.errors import InputError

# Those of Lightning's callbacks that write no files of their own.
CALLBACKS = (
    *(
        "EarlyStopping",
        "LearningRateMonitor",
        "DeviceStatsMonitor",
        "GradientAccumulationScheduler",
    ),
    *("StochasticWeightAveraging", "EMAWeightAveraging", "Timer", "ModelSummary"),
    *("RichModelSummary", "RichProgressBar", "TQDMProgressBar"),
)


OWN_CALLBACKS = ("EMA", "EarlyStopping", "LearningRates")


class Kind(NamedTuple):
    """What a config may make in one place.

    target: the form of the class's name.
    base: what it is a subclass of.
    allowed: the same in words.
    """

    target: str
    base: str
    allowed: str


# By the form of the key.
KINDS = {
    r"model": Kind(
        r"autoencoders\.models(\.[a-z]\w*)?\.[A-Z]\w*",
        "autoencoders.models.AutoEncoder",
        "a subclass of AutoEncoder in autoencoders.models; one of your own is a file in"
        " src/autoencoders/models and a YAML in conf/model",
    ),
    r"dataset": Kind(
        r"autoencoders\.data(\.[a-z]\w*)?\.[A-Z]\w*",
        "autoencoders.data.DataModule",
        "a subclass of DataModule in autoencoders.data; one of your own is a file in"
        " src/autoencoders/data and a YAML in conf/dataset",
    ),
    r"network": Kind(
        r"autoencoders\.networks(\.[a-z]\w*)?\.[A-Z]\w*",
        "autoencoders.networks.Network",
        "a family in autoencoders.networks; one of your own is a file in"
        " src/autoencoders/networks and a YAML in conf/network",
    ),
    r"evaluation\.samplers\.\w+": Kind(
        r"autoencoders\.samplers(\.[a-z]\w*)?\.[A-Z]\w*",
        "autoencoders.samplers.Sampler",
        "a sampler in autoencoders.samplers; one of your own is a file in"
        " src/autoencoders/samplers",
    ),
    r"logger\.\w+": Kind(
        r"autoencoders\.training\.loggers\.[A-Z]\w*",
        "autoencoders.training.loggers.EpochLogger",
        "a logger in autoencoders.training.loggers; logger= chooses one",
    ),
    r"callbacks\.\w+": Kind(
        rf"autoencoders\.training\.({'|'.join(OWN_CALLBACKS)})",
        "pytorch_lightning.Callback",
        f"in autoencoders.training {', '.join(OWN_CALLBACKS)}; +trainer.callbacks=[...] takes some"
        " of Lightning's",
    ),
    r"trainer": Kind(
        r"pytorch_lightning\.Trainer", "pytorch_lightning.Trainer", "pytorch_lightning.Trainer"
    ),
    r"trainer\.callbacks\.\d+": Kind(
        rf"pytorch_lightning\.callbacks\.({'|'.join(CALLBACKS)})",
        "pytorch_lightning.Callback",
        f"in pytorch_lightning.callbacks {', '.join(CALLBACKS)}",
    ),
}
# A reference to another key, or what the data sets' files say: no resolver that makes something.
INTERPOLATIONS = r"\$\{[\w.]+\}|\$\{oc\.env:AUTOENCODERS_DATA,data\}"
PATHS = ("path", "dir", "file", "filename")  # how keys end that say where to write
DEEPEST = 50  # levels in a file of ours, and references in a value
READ = ("dataset.data_dir", "dataset.path", "ckpt_path")  # these say where to read


def refuse_foreign(config: Any, file: Path | None = None) -> None:
    """Raise InputError where a config would make anything but this project's models and data sets
    and Lightning's Trainer and callbacks, or write outside of its run.

    Args:
        config: a run's.
        file: what it was read from; None where it has just been composed. What is refused when it
            is read back is refused before training.
    """
    where = f"{file}: " if file else ""
    for key in ("model", "network", "dataset", "trainer"):
        if "_target_" not in config[key]:
            raise InputError(f"{where}{key}._target_ is missing: not a run's config")
    for key, value in leaves(OmegaConf.to_container(config, resolve=False)):
        parent, _, name = key.rpartition(".")
        found = f"{where}{key}={value}"
        if re.search(r"(^|\.)_(?!target_$)", key):  # _args_ and the like
            raise InputError(f"{found}: not a key that a run's config may have; leave it out")
        if name == "_target_":
            refuse_target(parent, str(value), found)
        elif name.endswith(PATHS) and key not in READ:
            raise InputError(f"{found}: a run writes into its own folder alone; leave it out")
        elif isinstance(value, str) and "${" in value and not re.fullmatch(INTERPOLATIONS, value):
            raise InputError(
                f"{found}: a value may refer to other keys and do nothing else; write the value"
                " itself"
            )


def refuse_links(folder: Path) -> None:
    """Raise InputError where a link in `folder`, which may have come from anywhere, leads out of
    it: what is written through it would lie elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: a link that leads out of {folder}; remove it")


def read_json(file: Path, what_to_do: str) -> dict[str, Any]:
    """The object in a JSON file of a run's folder.

    Args:
        what_to_do: if it is damaged.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged: {error}; {what_to_do}") from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise InputError(f"{file}: expected a JSON object, found {found}; {what_to_do}")
    return content


def read_yaml(file: Path) -> Any:
    """The config in a YAML file of a run's folder.

    Raises:
        InputError: it has what no run writes and what a short file can be endless by: aliases, or
            more levels or references to other keys than DEEPEST.
        YAMLError, OmegaConfBaseException: it is no config.
    """
    depth = 0
    with file.open(encoding="utf-8") as stream:
        for event in yaml.parse(stream, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            inner = event.value.count("${") if isinstance(event, yaml.ScalarEvent) else 0
            deep = max(depth, inner) > DEEPEST
            if deep or isinstance(event, yaml.AliasEvent):
                what = f"nested more than {DEEPEST} deep" if deep else "has an alias"
                line = f"{file}: {what} in line {event.start_mark.line + 1}, as no run writes it"
                raise InputError(f"{line}; put back what train.py has written")
    return OmegaConf.load(file)


def refuse_target(key: str, target: str, found: str) -> None:
    """Raise InputError where the class named `target` must not be made at a config's `key`; `found`
    begins the message."""
    kind = next((kind for where, kind in KINDS.items() if re.fullmatch(where, key)), None)
    if kind is None:
        raise InputError(f"{found}: no class is made here; leave it out")
    # By its form first: to look a name up is to run its module.
    made = locate(target) if re.fullmatch(kind.target, target) else None
    base: Any = locate(kind.base)
    abstract = made is base and key != "trainer"
    if not isinstance(made, type) or not issubclass(made, base) or abstract:
        raise InputError(f"{found}: allowed: {kind.allowed}")


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts and lists, by its dotted key."""
    if isinstance(config, dict | list):
        items = config.items() if isinstance(config, dict) else enumerate(config)
        for name, value in items:
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, config
