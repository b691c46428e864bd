"""What a config may ask for, just composed or read back from a folder, which may have come from
anywhere."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any, NamedTuple, cast

import yaml
from omegaconf import OmegaConf
from typing_extensions import get_protocol_members, is_protocol

from autoencoders.errors import InputError
from autoencoders.trusted import VARIABLE, how_to_trust, is_trusted

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


class Kind(NamedTuple):
    """What a config may make in one place.

    base: what it is a subclass of.
    allowed: where such classes are, in words.
    names: the only ones, where not all will do.
    """

    base: str
    allowed: str
    names: tuple[str, ...] = ()


# By the form of the key.
KINDS = {
    r"model": Kind("autoencoders.models.AutoEncoder", "a subclass of autoencoders.AutoEncoder"),
    r"dataset": Kind("autoencoders.data.DataModule", "a subclass of autoencoders.DataModule"),
    r"network": Kind("autoencoders.networks.Network", "a family as in autoencoders.networks"),
    r"optimizer": Kind("torch.optim.Optimizer", "an optimizer such as torch.optim.Adam"),
    r"scheduler": Kind(
        "torch.optim.lr_scheduler.LRScheduler",
        "a schedule such as torch.optim.lr_scheduler.StepLR",
    ),
    r"model\.cost": Kind("autoencoders.losses.Cost", "a cost as in autoencoders.losses"),
    r"model\.\w+_optimizer": Kind("torch.optim.Optimizer", "an optimizer such as torch.optim.Adam"),
    r"evaluation\.samplers\.\w+": Kind(
        "autoencoders.samplers.Sampler", "a sampler as in autoencoders.samplers"
    ),
    r"logger\.\w+": Kind(
        "autoencoders.training.epoch_logger.EpochLogger",
        "a logger as in autoencoders.training.loggers; logger= chooses one",
    ),
    r"callbacks\.\w+": Kind(
        "pytorch_lightning.Callback",
        "a callback as in autoencoders.training; +trainer.callbacks=[...] takes some of"
        " Lightning's",
    ),
    r"trainer": Kind(
        "pytorch_lightning.Trainer", "pytorch_lightning.Trainer", ("pytorch_lightning.Trainer",)
    ),
    r"trainer\.callbacks\.\d+": Kind(
        "pytorch_lightning.Callback",
        f"in pytorch_lightning.callbacks {', '.join(CALLBACKS)}",
        tuple(f"pytorch_lightning.callbacks.{name}" for name in CALLBACKS),
    ),
}
# A reference to another key, or what the data sets' files say: no resolver that makes something.
INTERPOLATIONS = r"\$\{[\w.]+\}|\$\{oc\.env:AUTOENCODERS_DATA,data\}"
PARTIALS = r"(optimizer|scheduler|model\.\w+_optimizer)\._partial_"
PATHS = ("path", "dir", "file", "filename", "folder")  # how keys end that say where to write
DEEPEST = 50  # levels in a file of ours, and references in a value
# These say where to read.
READ = (
    *("dataset.data_dir", "dataset.path", "dataset.test_path", "dataset.val_path"),
    "ckpt_path",
)


def refuse_foreign(config: Any, file: Path | None = None) -> None:
    """Raise InputError where a config would make anything but models, data sets and the like and
    Lightning's Trainer and callbacks, or write outside of its run.

    Args:
        config: a run's.
        file: what it was read from, which may name classes of trusted packages alone; None where
            it has just been composed, by the user, whose own classes it may name.
    """
    where = f"{file}: " if file else ""
    for key in ("model", "network", "dataset", "trainer"):
        if "_target_" not in config[key]:
            raise InputError(f"{where}{key}._target_ is missing: not a run's config")
    for key, value in leaves(OmegaConf.to_container(config, resolve=False)):
        parent, _, name = key.rpartition(".")
        found = f"{where}{key}={value}"
        if re.fullmatch(PARTIALS, key) and value is True:
            continue
        if re.search(r"(^|\.)_(?!target_$)", key):  # _args_ and the like
            raise InputError(f"{found}: not a key that a run's config may have; leave it out")
        if name == "_target_":
            refuse_target(parent, str(value), found, read_back=file is not None)
        elif name.endswith(PATHS) and key not in READ:
            raise InputError(f"{found}: a run writes into its own folder alone; leave it out")
        elif isinstance(value, str) and "${" in value and not re.fullmatch(INTERPOLATIONS, value):
            raise InputError(
                f"{found}: a value may refer to other keys and do nothing else; write the value"
                " itself"
            )


def trust_own(config: Any) -> None:
    """Name in a line the user's own classes in a composed config, if there are any, and trust them
    in this process and those that it starts: who typed them does."""
    if own := foreign_targets(config):
        listed = ", ".join(f"{key}={target}" for key, target in own.items())
        packages = ",".join(sorted({target.partition(".")[0] for target in own.values()}))
        print(f"{listed}: to read the run back, commands need {VARIABLE}={packages}")
        os.environ[VARIABLE] = ",".join(filter(None, [os.environ.get(VARIABLE), packages]))


def refuse_links(folder: Path) -> None:
    """Raise InputError where a link in `folder`, which may have come from anywhere, leads out of
    it: what is written through it would lie elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: a link that leads out of {folder}; remove it")


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


def refuse_target(key: str, target: str, found: str, read_back: bool = True) -> None:
    """Raise InputError where the class named `target` must not be made at a config's `key`; `found`
    begins the message.

    Args:
        read_back: whether the config is from a folder, which may have come from anywhere; what is
            composed may name the user's own classes.
    """
    kind = next((kind for where, kind in KINDS.items() if re.fullmatch(where, key)), None)
    if kind is None:
        raise InputError(f"{found}: no class is made here; leave it out")
    if kind.names and target not in kind.names:
        raise InputError(f"{found}: allowed: {kind.allowed}")
    # Before it is looked up, which runs its module.
    if not kind.names and read_back and not is_trusted(target):
        raise InputError(f"{found}: allowed: {kind.allowed}; {how_to_trust(target)}")
    try:
        made, base = locate(target), cast(Any, locate(kind.base))
    except ErrorDuringImport as error:
        raise InputError(f"{found}: cannot be imported: {error.value}") from error
    if made is None:
        raise InputError(f"{found}: there is no such class; allowed: {kind.allowed}")
    abstract = made is base and key != "trainer"
    if not isinstance(made, type) or not _is_a(made, base) or abstract:
        raise InputError(f"{found}: allowed: {kind.allowed}")


def _is_a(made: type, base: Any) -> bool:
    if is_protocol(base):  # some have members that are no methods, which issubclass refuses
        return all(hasattr(made, name) for name in get_protocol_members(base))
    return issubclass(made, base)


def foreign_targets(config: Any) -> dict[str, str]:
    """The classes of a composed config that no later command will make without being told to, by
    key."""
    values = leaves(OmegaConf.to_container(config, resolve=False))
    named = {k.rpartition(".")[0]: str(v) for k, v in values if k.endswith("_target_")}
    # Where only certain names will do, all commands make them.
    fixed = [where for where, kind in KINDS.items() if kind.names]
    return {
        key: target
        for key, target in named.items()
        if not is_trusted(target) and not any(re.fullmatch(where, key) for where in fixed)
    }


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts and lists, by its dotted key."""
    if isinstance(config, dict | list):
        items = config.items() if isinstance(config, dict) else enumerate(config)
        for name, value in items:
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, config
