"""Bad input answered in one line: which key or file, what was found, what is allowed."""

import difflib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from pydantic import ValidationError

# What a full or protected disk, or a file where a folder should be, answers with.
NO_ROOM = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
)

# Tells further processes of this run that HYDRA_FULL_ERROR is not the user's wish.
OURS = "AUTOENCODERS_ONE_LINE_ERRORS"


class InputError(Exception):
    """The user's input cannot be used; the message is one line that says what to do about it."""


# Exceptions that may be the input's fault; `describe` tells.
FAULTS = (InputError, HydraException, OmegaConfBaseException, ValidationError, OSError)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with `error: <one line>` and exit status 1 where the input is at fault.

    Anything else is a defect of the program and keeps its stack trace. With HYDRA_FULL_ERROR=1 in
    the environment everything does.
    """
    if os.environ.get("HYDRA_FULL_ERROR") == "1" and OURS not in os.environ:
        yield
        return
    # Hydra would print its own several lines and exit.
    os.environ |= {"HYDRA_FULL_ERROR": "1", OURS: "1"}
    try:
        yield
    except FAULTS as error:
        line = describe(error)
        if line is None:
            raise
        sys.exit(f"error: {line}")
    except ValueError as error:
        if traceback.extract_tb(error.__traceback__)[-1].name != "_run_hydra":
            raise
        sys.exit(f"error: {_one_line(error)}")  # flags of Hydra's that do not go together
    finally:
        del os.environ["HYDRA_FULL_ERROR"], os.environ[OURS]


def end(error: Exception) -> NoReturn:
    """End the program with `error: <one line>` and exit status 1."""
    sys.exit(f"error: {describe(error) or error}")


def describe(error: Exception, prefix: str = "") -> str | None:
    """One line for a fault of the input, None for a defect of the program.

    Args:
        prefix: the config group that a ValidationError's keys are of.
    """
    if isinstance(error, InputError):
        return _one_line(error)
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        allowed = ", ".join(option for option in error.options)
        return f"{group}={choice}: no such choice; allowed: {allowed}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not an override that can be read: {_one_line(error)}"
    if isinstance(error, InstantiationException):
        return _describe_instantiation(error)
    if isinstance(error, ValidationError):
        return _describe_validation(error, prefix)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.errno in NO_ROOM else None
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return _describe_unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):  # what Hydra says does not tell what is allowed
        return f"{_one_line(error)}: {_one_line(cause)}"
    return _one_line(error)


def _describe_instantiation(error: InstantiationException) -> str | None:
    """A constructor's complaint, with the config group that it came from in front of the key."""
    cause = error.__cause__
    prefix = str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else ""
    if isinstance(cause, ValidationError):
        return _describe_validation(cause, prefix)
    # Lightning's Trainer answers bad arguments with exceptions of many types.
    if isinstance(cause, ValueError | InputError) or (cause and prefix == "trainer"):
        return f"{prefix}: {_one_line(cause)}"
    return None


def _describe_validation(error: ValidationError, prefix: str = "") -> str:
    """The first argument of a constructor that its signature's types refuse."""
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in (prefix, *first["loc"]) if part != "")
    allowed = re.sub(r"^\w+ should", "must", first["msg"])
    return f"{key}={first['input']}: {allowed}"


def _describe_unknown_key(error: OmegaConfBaseException) -> str:
    """An override of a key that the config lacks, and the keys that stand where it was sought."""
    parent: Any = error.parent_node
    allowed = [str(key) for key in parent if key != "_target_"] if parent is not None else []
    close = difflib.get_close_matches(str(error.key), allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    line = f"{error.full_key}: no such key; {hint}allowed: {', '.join(allowed) or 'none'}"
    if str(error.full_key).startswith("trainer."):
        line += f"; another argument of Lightning's Trainer takes a plus: +{error.full_key}=..."
    return line


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
