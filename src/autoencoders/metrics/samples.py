"""The metrics of generated examples: what each is called, and what it is computed from."""

from typing import NamedTuple

from torch import Tensor

from autoencoders.data.examples import Indexed
from autoencoders.metrics.base import Metric, Quantity
from autoencoders.metrics.distances import (
    class_shares,
    entropy,
    frechet_distance,
    kernel_distance,
    nearest,
    overlap,
    radii,
    similarity,
)

SEARCHED = 2000  # examples of a set whose nearest training example is looked for


class Sample:
    """A set of examples, what an extractor sees in it, and what several metrics need of it, which
    is computed once.

    Args:
        values: (N, *shape), as `Examples.values` holds them.
        features: (N, d), float64.
        classes: (N, classes), probabilities; None where the extractor knows no classes.
    """

    def __init__(self, values: Tensor, features: Tensor, classes: Tensor | None = None) -> None:
        self.values = values
        self.features = features
        self.classes = classes
        self._radii: dict[int, Tensor] = {}
        self._similarity: float | None = None
        self._nearest: tuple[Tensor, Tensor] | None = None

    def radii(self, neighbours: int) -> Tensor:
        """Of the features."""
        if neighbours not in self._radii:
            self._radii[neighbours] = radii(self.features, neighbours)
        return self._radii[neighbours]

    def similarity(self) -> float:
        """Of the features."""
        if self._similarity is None:
            self._similarity = similarity(self.features)
        return self._similarity

    def nearest(self, train: Tensor | Indexed) -> tuple[Tensor, Tensor]:
        """Of the first SEARCHED examples, among all training values (N, *shape), always the same
        ones."""
        if self._nearest is None:
            self._nearest = nearest(self.values[:SEARCHED], train)
        return self._nearest


class ExampleSets(NamedTuple):
    """What a metric of generated examples may look at: them, held-out real ones, all training
    values (N, *shape), and k of the neighbourhoods."""

    generated: Sample
    real: Sample
    train: Tensor | Indexed
    neighbours: int = 5


def frechet(distance: Quantity) -> Metric:
    """The Frechet distance on the features of the extractor that has this name for it."""

    def compute(sets: ExampleSets) -> dict[str, float]:
        return {distance.key: frechet_distance(sets.real.features, sets.generated.features)}

    return Metric(compute, (distance,), floor="floor")


def _kernel_distance(sets: ExampleSets) -> dict[str, float]:
    real, generated = sets.real, sets.generated
    distance = kernel_distance(real.features, generated.features, real.similarity())
    return {"kernel_distance": distance}


def _overlap(sets: ExampleSets) -> dict[str, float]:
    real, generated, k = sets.real, sets.generated, sets.neighbours
    if min(len(real.features), len(generated.features)) <= k:
        raise ValueError(f"evaluation.neighbours={k} needs more than {k} examples")
    return overlap(real.features, generated.features, k, real.radii(k))._asdict()


def _classes(sets: ExampleSets) -> dict[str, float]:
    if sets.generated.classes is None:
        return {}
    shares = class_shares(sets.generated.classes)
    return {"class_entropy": entropy(shares), "rarest_class": shares.min().item()}


def _nearest_train(sets: ExampleSets) -> dict[str, float]:
    distances, _ = sets.generated.nearest(sets.train)
    return {"nearest_train": distances.mean().item()}


# Each takes `ExampleSets`; `frechet` beside them is made for the extractor.
METRICS = (
    Metric(
        _kernel_distance, (Quantity("kernel_distance", "kernel distance", "lower"),), floor="floor"
    ),
    Metric(
        _overlap,
        (
            Quantity("precision", "precision", "higher"),
            Quantity("recall", "recall", "higher"),
            Quantity("density", "density", "higher"),
            Quantity("coverage", "coverage", "higher"),
        ),
        floor="floor",
    ),
    Metric(
        _classes,
        (
            Quantity("class_entropy", "class entropy", "higher"),
            Quantity("rarest_class", "rarest class", "higher"),
        ),
        floor="floor",
    ),
    Metric(
        _nearest_train, (Quantity("nearest_train", "nearest training example"),), floor="held_out"
    ),
)
