"""How a check reports a fault: as an AssertionError of one sentence."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOST = 3  # names in a sentence


def require(holds: bool, fault: str) -> None:
    """Raise AssertionError with the fault, unless what must hold does."""
    if not holds:
        raise AssertionError(fault)


def call(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function of that name returns; an exception that it raises is a fault."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        line = " ".join(str(error).split())
        raise AssertionError(f"{name} raises {type(error).__name__}: {line}") from error


def listed(names: Iterable[str]) -> str:
    """Names with commas, the first few of many."""
    known = list(names)
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return ", ".join(known[:MOST]) + more


def require_tensor(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise AssertionError unless a value is a finite float32 tensor of that shape."""
    require(isinstance(value, Tensor), f"{name} is a {type(value).__name__}, not a tensor")
    found = tuple(value.shape)
    require(found == shape, f"{name} has the shape {found}, not {shape}")
    require(value.dtype == torch.float32, f"{name} is {value.dtype}, not torch.float32")
    require(bool(value.isfinite().all()), f"{name} is NaN or infinite")
