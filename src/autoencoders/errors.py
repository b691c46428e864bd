"""Bad input answered in one line: which key or file, what was found, what is allowed."""

import difflib
import errno
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from pydantic import ValidationError

# What a full or protected disk, or a file where a folder should be, answers with.
FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = (
    *(*FULL, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
)

# Keys of earlier versions, and what has their place.
MOVED = {
    "model.lr": "optimizer.lr=",
    "model.betas": "optimizer.betas=",
    "model.schedule": "scheduler=",
    "model.lr_steps": "scheduler=milestones scheduler.factors=",
    "model.discriminator_lr": "model.discriminator_optimizer.lr=",
}


# What the system, Python and the loader of libraries say where memory does not suffice.
NO_MEMORY = r"[Cc]annot allocate memory|can't start new thread|failed to map segment|std::bad_alloc"

LIGHTNING = ("pytorch_lightning", "lightning_fabric")


class InputError(Exception):
    """The user's input cannot be used; the message is one line that says what to do about it."""


def how_to_install(extra: str) -> str:
    """The command that brings the packages of one of this project's extras."""
    checkout = (Path(__file__).parents[2] / "pyproject.toml").is_file()
    return f"pip install -e '.[{extra}]'" if checkout else f"pip install 'autoencoders[{extra}]'"


def describe(error: Exception, prefix: str = "") -> str | None:
    """One line for a fault of the input, None for a defect of the program.

    Args:
        prefix: the config group that a ValidationError's keys are of.
    """
    if isinstance(error, InputError):
        return _one_line(error)
    if shortage := _describe_shortage(error):
        return shortage
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and "/" in (error.missing_cfg_file or ""):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        # Of one in a list, such as logger=[csv,neptune], Hydra does not tell the others.
        allowed = ", ".join(error.options or ["what --help lists"])
        return f"{group}={choice}: no such choice; allowed: {allowed}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not an override that can be read: {_one_line(error)}"
    if isinstance(error, InstantiationException):
        return _describe_instantiation(error)
    if isinstance(error, ValidationError):
        return _describe_validation(error, prefix)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: is missing: no default suits; give {error.full_key}=..."
    if isinstance(error, OSError):
        if error.errno not in NO_ROOM:
            return None
        line = f"{error.filename or 'a file of this run'}: {error.strerror}"
        return f"{line}; make room, then run the command again" if error.errno in FULL else line
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return _describe_unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):  # what Hydra says does not tell what is allowed
        return f"{_one_line(error)}: {_one_line(cause)}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _one_line(error)
    return _describe_refusal(error)


def _describe_instantiation(error: InstantiationException) -> str | None:
    """A constructor's complaint, with the config group that it came from in front of the key."""
    cause = error.__cause__
    prefix = str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else ""
    if isinstance(cause, ValidationError):
        return _describe_validation(cause, prefix)
    if set_already := re.search(r"multiple values for (?:keyword )?argument '(\w+)'", str(cause)):
        return f"{prefix}.{set_already[1]}: cannot be set here; leave it out"
    prefix = re.sub(r"callbacks(\d+)$", r"callbacks.\1", prefix)
    # Lightning's classes and loggers answer bad arguments with exceptions of many types.
    foreign = prefix.startswith(("trainer", "logger", "callbacks"))
    if isinstance(cause, ValueError | InputError) or (cause and foreign):
        return f"{prefix}: {_one_line(cause)}"
    return None


def _describe_shortage(error: BaseException | None) -> str | None:
    """The line for memory that does not suffice, None of another error."""
    while error:
        reason = _one_line(error)
        if found := re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", reason):
            return (
                f"not enough memory: torch tried to allocate {found[1]}; lower network.hidden_dim,"
                " model.latent_dim or dataset.batch_size"
            )
        if isinstance(error, MemoryError) or re.search(NO_MEMORY, reason):
            what = f" ({reason})" if reason else ""
            return f"not enough memory{what}; end other programs, or raise the limit of ulimit -v"
        # What wraps another, such as an import's, says less.
        error = error.__cause__ or error.__context__
    return None


def _describe_refusal(error: Exception) -> str | None:
    """What Lightning or Hydra says itself about how it was asked to run, None of another error."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    raised = isinstance(error, ValueError | RuntimeError)
    own = type(error).__module__.startswith(LIGHTNING)
    reworded = str(error).startswith("It looks like your LightningModule")  # what torch said
    if (raised and package in LIGHTNING) or own or reworded:
        return f"trainer: {_one_line(error)}"
    return _one_line(error) if raised and package == "hydra" else None


def _describe_validation(error: ValidationError, prefix: str = "") -> str:
    """The first argument of a constructor that its signature's types refuse."""
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in (prefix, *first["loc"]) if part != "")
    if first["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{key}: is missing"
    allowed = re.sub(r"^(\w+ should|Value error, must)", "must", first["msg"])
    return f"{key}={first['input']}: {allowed}"


def _describe_unknown_key(error: OmegaConfBaseException) -> str:
    """An override of a key that the config lacks, and the keys that stand where it was sought."""
    parent: Any = error.parent_node
    allowed = [str(key) for key in parent if key != "_target_"] if parent is not None else []
    line = unknown_key(str(error.full_key), allowed)
    if str(error.full_key).startswith("trainer."):
        line += f"; another argument of Lightning's Trainer takes a plus: +{error.full_key}=..."
    return line


def unknown_key(key: str, allowed: Sequence[str], elsewhere: Sequence[str] = ()) -> str:
    """The line for a key that does not exist.

    Args:
        key: dotted.
        allowed: the names that its last part might have.
        elsewhere: dotted keys that might be meant, too.
    """
    if key in MOVED:
        return f"{key}: no such key since 0.2.0; {MOVED[key]} has its place"
    names = {name.rpartition(".")[2]: name for name in (*elsewhere, *allowed)}
    close = difflib.get_close_matches(key.rpartition(".")[2], names, n=1)
    hint = f"did you mean {names[close[0]]}? " if close else ""
    return f"{key}: no such key; {hint}allowed: {', '.join(allowed) or 'none'}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
