"""What a checkpoint is of and what it holds, in plain values: it carries both, and whoever reads it
compares."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_jsonable_python
from torch import Tensor

from autoencoders.models.recipes import PARTIAL, TARGET

DESCRIPTION = "description"  # a checkpoint's key

# Beside the weights; averaged weights are the last two.
PARTS = ("optimizer_states", "lr_schedulers", "current_model_state", "averaging_state")


def describe(model: Any, data: Any = None) -> dict[str, Any]:
    """A model's class, hyper-parameters, network and example shape, by the keys that set them.

    Args:
        model: an `AutoEncoder`.
        data: the data module, whose label belongs to it; None leaves it out.
    """
    settings = dict(model.hparams)
    objects = {key: settings.pop(key) for key in ("network", "optimizer", "scheduler")}
    shape, bounded = list(settings.pop("shape")), settings.pop("bounded")
    described = {
        "model": type(model).__name__,
        **_comparable("model", settings),
        **{key: _name(made) for key, made in objects.items()},
        **{k: v for key, made in objects.items() for k, v in _comparable(key, made or {}).items()},
        "shape": shape,
        "bounded": bounded,
    }
    if label := getattr(data, "label", None):
        described["dataset"] = label
    return described


def _name(made: dict[str, Any] | None) -> str | None:
    return made[TARGET].rpartition(".")[2] if made else None


def _comparable(group: str, settings: Any) -> dict[str, Any]:
    """A group's settings by dotted key, lists for tuples; those that are no plain values are left
    out."""
    known = {}
    for name, value in settings.items():
        if name in (TARGET, PARTIAL):
            continue
        try:
            known[f"{group}.{name}"] = to_jsonable_python(value)
        except ValueError:  # a tensor, an array, an object
            continue
    return known


def plain(value: Any) -> Any:
    """An Enum, a Path, a date and the like as pydantic reads it back, also within containers; what
    has no such form stays as it is."""
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    try:
        return to_jsonable_python(value)
    except ValueError:
        return value


def parts(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds beside the weights, by dotted key: a tensor's shape, None of all
    else, of callbacks their names alone."""
    held = {key: checkpoint[key] for key in PARTS if key in checkpoint}
    held["callbacks"] = dict.fromkeys(checkpoint.get("callbacks", {}))
    return {k: list(v.shape) if isinstance(v, Tensor) else None for k, v in leaves(held)}


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested containers, by its dotted key; keys that are no text or number, too."""
    items: Any = None
    if type(value) in (dict, OrderedDict):
        yield from ((key, name) for name in value if type(name) not in (str, int))
        items = value.items()
    elif type(value) in (list, tuple):
        items = enumerate(value)
    if items is None:
        yield key, value
    else:
        for name, item in items:
            yield from leaves(item, f"{key}.{name}" if key else str(name))
