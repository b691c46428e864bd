"""The contract of a metric."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from autoencoders.metrics.base import Metric, Quantity
from autoencoders.metrics.samples import ExampleSets, Sample
from autoencoders.testing.faults import call, require

EXAMPLES, FEATURES, CLASSES = 300, 4, 3
SHIFT = 5.0  # of a worse set's features, in standard deviations
NEAR = 0.25  # of the way from the floor to the worse set's value


def check_metric(
    metric: Metric, good: Sequence[Sequence[Any]] = (), bad: Sequence[Any] = ()
) -> None:
    """Check a metric: by default one that takes `ExampleSets`, as those of generated examples do.

    It returns a finite number for each of its quantities, the same at each call, and changes
    nothing in place. A set that is further from the real one is worse where a direction is named;
    another set of the real examples' distribution is near the floor. Of a set too small it raises
    nothing but ValueError.

    Args:
        metric: the metric.
        good: arguments of its function, once or more, whose numbers are to be about the same, where
            it takes others.
        bad: arguments that are worse.

    Raises:
        AssertionError: a sentence that names the fault.
    """
    name = ", ".join(quantity.key for quantity in metric.quantities)
    require(bool(name), "a metric names no quantity")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if not good:
            check_sets(name, metric)
        good = good or [(compared(sample(seed)),) for seed in (1, 2)]
        bad = bad or (compared(sample(3, SHIFT)),)
        values = [measure(name, metric, arguments) for arguments in good]
        worse = measure(name, metric, bad)
    for quantity in metric.quantities:
        check_direction(quantity, [value[quantity.key] for value in values], worse[quantity.key])


def sample(seed: int, shift: float = 0.0, n: int = EXAMPLES) -> Sample:
    """Normal features, classes that follow from them, and the features as images of 2x2 pixels."""
    features = torch.randn(n, FEATURES, generator=torch.Generator().manual_seed(seed)).double()
    features[:, 0] += shift
    classes = (9 * features[:, :CLASSES]).softmax(1)
    return Sample(features.float().reshape(n, 1, 2, 2), features, classes)


def compared(generated: Sample) -> ExampleSets:
    return ExampleSets(generated, sample(11), sample(12).values)


def measure(name: str, metric: Metric, arguments: Sequence[Any]) -> dict[str, float]:
    """The numbers of a metric, which must be there, finite, and the same at a second call."""
    first, again = (dict(call(name, metric.compute, *arguments)) for _ in range(2))
    keys = [quantity.key for quantity in metric.quantities]
    require(first.keys() == set(keys), f"a metric names {keys}, and gives {list(first)}")
    for key, value in first.items():
        require(isinstance(value, float), f"{key} is a {type(value).__name__}, not a float")
        require(math.isfinite(value), f"{key} is {value}")
        require(value == again[key], f"{key} is {value:g}, and {again[key]:g} at a second call")
    return first


def check_sets(name: str, metric: Metric) -> None:
    """Check sets in another order, without classes, and of one example."""
    whole = sample(1)
    order = torch.arange(EXAMPLES).flip(0)
    classes = None if whole.classes is None else whole.classes[order]
    flipped = Sample(whole.values[order], whole.features[order], classes)
    here, there = (measure(name, metric, (compared(part),)) for part in (whole, flipped))
    for key, value in here.items():
        same = math.isclose(value, there[key], rel_tol=1e-5, abs_tol=1e-6)
        require(same, f"{key} depends on the order of the examples")
    for few in (Sample(whole.values, whole.features), sample(1, n=1)):
        try:
            metric.compute(compared(few))
        except ValueError:
            continue
        except Exception as error:
            fault = f"{name} raises {type(error).__name__} where the data are too few"
            raise AssertionError(fault) from error


def check_direction(quantity: Quantity, good: list[float], worse: float) -> None:
    """Check that a worse set has a worse number, and that good ones are about the same."""
    key, better = quantity.key, quantity.better
    if better is None:
        return
    lost = [worse - value if better == "lower" else value - worse for value in good]
    said = f"{worse:g} for a worse set and {good[0]:g} for real examples"
    require(min(lost) > 0, f"{key} is said to be better the {better} it is, and is {said}")
    spread = max(good) - min(good)
    near = spread <= NEAR * min(lost)
    require(
        near,
        f"{key} is {min(good):g} to {max(good):g} for real examples, and {worse:g} for a worse set",
    )
