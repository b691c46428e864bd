"""The keys of a command: none that nothing reads, none whose path is empty."""

import re
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ValidationError

from autoencoders.errors import InputError, describe, unknown_key
from autoencoders.runs.paths import refuse_empty_paths
from autoencoders.runs.trust import leaves


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
