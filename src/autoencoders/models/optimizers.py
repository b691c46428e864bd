"""Optimizers and learning-rate schedules, made for a model's parameters.

Any of torch's will do, as a `functools.partial` of its class: Hydra makes one of a config with
`_partial_: true`. What a schedule must be told and was not, it is told here: its length, the
optimizer's learning rate, and whether it moves each epoch or each step.
"""

import functools
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from autoencoders.errors import InputError

Partial = functools.partial[Any]

ADAM = functools.partial(Adam, lr=1e-3, betas=(0.9, 0.999))
COSINE = functools.partial(CosineAnnealingLR)
STEPWISE = (OneCycleLR, CyclicLR)  # made to move each step


class MilestonesLR(LRScheduler):
    """A learning rate that is multiplied by a factor from certain epochs on.

    torch's MultiStepLR has one factor for all of its milestones.

    Args:
        factors: pairs of an epoch, counted from 0, and the factor on the rate from then on.
    """

    def __init__(
        self, optimizer: Optimizer, factors: Sequence[Sequence[float]], last_epoch: int = -1
    ) -> None:
        self.milestones = {int(epoch): float(factor) for epoch, factor in factors}
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        reached = [factor for start, factor in self.milestones.items() if start <= self.last_epoch]
        return [rate * math.prod(reached) for rate in self.base_lrs]


@contextmanager
def named(key: str, made: Partial) -> Iterator[None]:
    """Raise InputError, with the config's key, where torch does not make what is asked for."""
    try:
        yield
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        line = f"{type(error).__name__}: {error}"
        raise InputError(f"{key}={made.func.__name__}: {line}") from error


def overridden(optimizer: Partial, changes: "Mapping[str, Any] | Partial") -> Partial:
    """An optimizer with other settings; another optimizer, where `changes` is one."""
    if isinstance(changes, functools.partial):
        return changes
    return functools.partial(optimizer.func, *optimizer.args, **{**optimizer.keywords, **changes})


def make_optimizer(
    optimizer: Partial, parameters: Iterable[nn.Parameter | dict[str, Any]], on_gpu: bool
) -> Optimizer:
    """The optimizer of these parameters, or groups of them."""
    known = inspect.signature(optimizer.func).parameters
    fast = {name: True for name in ("fused", "capturable") if name in known}
    if on_gpu and "fused" in fast:  # one kernel for all parameters, fit for a CUDA graph
        optimizer = functools.partial(optimizer.func, *optimizer.args, **fast | optimizer.keywords)
    made: Optimizer = optimizer(parameters)
    return made


def interval_of(scheduler: Partial) -> str:
    """How often a schedule moves: each `epoch` or each `step`."""
    stepwise = issubclass(scheduler.func, STEPWISE)  # type: ignore[arg-type]
    return str(scheduler.keywords.get("interval", "step" if stepwise else "epoch"))


def make_scheduler(
    scheduler: Partial, optimizer: Optimizer, epochs: int, steps: int, name: str
) -> dict[str, Any]:
    """A schedule, as Lightning takes it from `configure_optimizers`.

    Args:
        scheduler: may name, beside the class's own arguments, the `interval` and, of
            ReduceLROnPlateau, the metric to `monitor`.
        epochs, steps: how long training lasts.
        name: of the learning rate, where it is logged.
    """
    interval = interval_of(scheduler)
    own = {k: v for k, v in scheduler.keywords.items() if k not in ("interval", "monitor")}
    length = steps if interval == "step" else epochs
    untold = {"T_max": length, "total_steps": length, "max_lr": optimizer.param_groups[0]["lr"]}
    known = inspect.signature(scheduler.func).parameters
    told = own.keys() | ({"total_steps"} if "steps_per_epoch" in own else set())
    untold = {key: value for key, value in untold.items() if key in known and key not in told}
    config = {
        "scheduler": scheduler.func(optimizer, **untold, **own),
        "interval": interval,
        "name": name,
    }
    if issubclass(scheduler.func, ReduceLROnPlateau):  # type: ignore[arg-type]
        config["monitor"] = monitor_of(scheduler)
    return config


def monitor_of(scheduler: Partial) -> str:
    """The metric that a ReduceLROnPlateau watches."""
    return str(scheduler.keywords.get("monitor", "val/loss"))


def why_eager(optimizers: Iterable[Partial], scheduler: Partial | None) -> str:
    """Why a CUDA graph, which repeats an epoch's kernels and numbers, cannot train so; empty where
    it can."""
    if scheduler is not None and interval_of(scheduler) == "step":
        return f"{scheduler.func.__name__} moves the learning rate at each step"
    for optimizer in optimizers:
        known = inspect.signature(optimizer.func).parameters
        if "capturable" not in known and optimizer.func is not torch.optim.SGD:
            return f"{optimizer.func.__name__} looks at its numbers on the host"
    return ""
