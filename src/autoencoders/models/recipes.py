"""Objects as plain values, which a checkpoint carries and whoever reads it can make again."""

import functools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator

from autoencoders.trusted import trusted_class

TARGET, PARTIAL = "_target_", "_partial_"  # Hydra's keys


def recipe(value: Any) -> Any:
    """An object's class and what it was made with, as a Hydra config has them; plain values as they
    are."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, functools.partial):
        return {TARGET: _name(value.func), PARTIAL: True, **value.keywords}
    made_with = value.model_dump() if isinstance(value, BaseModel) else _attributes(value)
    return {TARGET: _name(type(value)), **made_with}


def make(value: Any) -> Any:
    """What a recipe makes; anything else as it is.

    Raises:
        InputError: it names a class that files may not name, see docs/security.md.
    """
    if not isinstance(value, Mapping) or TARGET not in value:
        return value
    known = {key: item for key, item in value.items() if key not in (TARGET, PARTIAL)}
    cls = trusted_class(str(value[TARGET]))
    return functools.partial(cls, **known) if value.get(PARTIAL) else cls(**known)


def _partial(value: Any) -> Any:
    if value is not None and not isinstance(value, functools.partial):
        raise ValueError(f"must be a functools.partial of a class, not {value!r}")
    # Hydra's own kind of partial does not merge with what changes it.
    return value and functools.partial(value.func, *value.args, **value.keywords)


def _changes(value: Any) -> Any:
    if value is not None and not isinstance(value, functools.partial | Mapping):
        raise ValueError(f"must be settings by name, or a functools.partial, not {value!r}")
    return value


# Arguments that may also come as a recipe: an object, a class with some of its arguments,
# and what changes some of those.
Made = BeforeValidator(make)
MadePartial = Annotated[Any, Made, AfterValidator(_partial)]
Changes = Annotated[Any, Made, AfterValidator(_changes)]


def _name(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _attributes(value: Any) -> dict[str, Any]:
    known = getattr(value, "__dict__", {})
    return {name: item for name, item in known.items() if not name.startswith("_")}
