"""Which of the processes that train one model together this one is."""

import os

from autoencoders.errors import InputError


def rank() -> int:
    """This process's number among those that train one model together."""
    # torchrun's, Lightning's, SLURM's: the last is set of a whole allocation too.
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return next((number(name) for name in names if name in os.environ), 0)


def number(variable: str, default: int = 0) -> int:
    """An environment variable's value.

    Raises:
        InputError: it is no whole number.
    """
    value = os.environ.get(variable, str(default))
    if not value.isdecimal():
        raise InputError(
            f"{variable}={value}: must be a whole number, as torchrun or SLURM sets it; unset it to"
            " train in one process"
        )
    return int(value)
