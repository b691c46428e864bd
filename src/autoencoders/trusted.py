"""Which classes a file may name that has perhaps come from somebody else."""

import importlib
import os
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from autoencoders.errors import InputError

VARIABLE = "AUTOENCODERS_TRUST"
GROUP = "autoencoders"  # of the entry points that an installed package announces itself by


def trusted_packages() -> tuple[str, ...]:
    """This package, those with an entry point in the group `autoencoders`, and those that the
    variable AUTOENCODERS_TRUST names, separated by commas."""
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    return ("autoencoders", *_announced(), *filter(None, named))


@cache
def _announced() -> tuple[str, ...]:
    return tuple(point.value.partition(":")[0] for point in entry_points(group=GROUP))


def is_trusted(target: str) -> bool:
    """Whether a file may name the class `target`, `package.module.Class`.

    A trusted package is trusted with all of its modules; of torch, its optimizers and schedules.
    """
    module = target.rpartition(".")[0]
    roots = (*trusted_packages(), "torch.optim")
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def how_to_trust(target: str) -> str:
    """What makes commands read a run back that names this class."""
    return f"if you trust that code, set {VARIABLE}={target.partition('.')[0]}"


def trusted_class(target: str) -> Any:
    """The class that a file names.

    Raises:
        InputError: files may not name it, or it is not there.
    """
    module, _, name = target.rpartition(".")
    if not is_trusted(target):
        known = ", ".join(trusted_packages())
        raise InputError(
            f"{target}: files may name classes of {known} alone; {how_to_trust(target)}"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{target}: cannot be imported: {error}") from error
    if not isinstance(found, type):
        raise InputError(f"{target}: is no class")
    return found
