"""What a config gives its classes, held against what their constructors take."""

import inspect
import json
from collections.abc import Iterator
from pydoc import locate
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from autoencoders.errors import InputError, describe, unknown_key

# Arguments that train.py gives and no config may.
GIVEN = (
    *("network", "shape", "kind", "bounded", "classes", "optimizer", "scheduler"),
    *("folder", "settings"),
)
OUTSIDE = ("pytorch_lightning.", "torch.")  # whose constructors have other rules
HYDRAS = ("_target_", "_partial_")
EXTRA = ("interval", "monitor")  # of a schedule, beside its class's arguments
# What pydantic calls a boolean or 1.0 where a whole number is asked for, and their like.
WRONG_KIND = ("int_type", "int_from_float", "float_type", "bool_type")


def check_arguments(config: Any) -> None:
    """Raise InputError where a class that a config makes takes no argument of a key's name, or
    asks for a whole number, a number or a boolean and would take another of these for it.

    Args:
        config: nested dicts, whose classes `refuse_foreign` has let in. Of Lightning's classes the
            names alone are checked.
    """
    for key, group in _groups(config):
        made: Any = locate(group["_target_"])
        extra = EXTRA if key == "scheduler" else ()
        arguments = {k: value for k, value in group.items() if k not in (*HYDRAS, *extra)}
        known = _parameters(made)
        for name in arguments:
            if name not in known:
                raise InputError(unknown_key(f"{key}.{name}", sorted({*known} - {*GIVEN})))
        if not group["_target_"].startswith(OUTSIDE) and "_partial_" not in group:
            _check_kinds(key, arguments, known)


def _groups(config: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dict that has a class, by its dotted key."""
    if isinstance(config, dict) and "_target_" in config:
        yield key, config
    items = config.items() if isinstance(config, dict) else enumerate(config)
    for name, value in items:
        if isinstance(value, dict | list):
            yield from _groups(value, f"{key}.{name}" if key else str(name))


def _parameters(made: type) -> dict[str, Any]:
    """The types of a constructor's parameters by their names, with those of its base classes as
    far as it hands `**keywords` on to them."""
    known: dict[str, Any] = {}
    for base in made.__mro__:
        parameters = inspect.signature(base, eval_str=True).parameters.values()
        known = {p.name: p.annotation for p in parameters if p.kind != p.VAR_KEYWORD} | known
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return known


def _check_kinds(key: str, arguments: dict[str, Any], known: dict[str, Any]) -> None:
    """All other faults are the constructor's to name: it knows the limits."""
    types: Any = {name: known[name] for name in arguments}
    made: Any = with_config(ConfigDict(arbitrary_types_allowed=True))(TypedDict("made", types))  # type: ignore[operator]
    try:
        # As JSON, since strictly a list in Python is no tuple; a path need not be UTF-8.
        content = json.dumps(arguments, ensure_ascii=False).encode(errors="replace")
        TypeAdapter(made).validate_json(content, strict=True)
    except ValidationError as error:
        if any(fault["type"] in WRONG_KIND for fault in error.errors()):
            raise InputError(describe(error, key)) from error
