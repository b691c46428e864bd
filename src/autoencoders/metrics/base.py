"""What a metric is."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple


class Quantity(NamedTuple):
    """What a number is called.

    key: the last part of its name in metrics.json.
    name: its heading in tables and figures.
    better: which values are; None where neither is.
    """

    key: str
    name: str
    better: Literal["lower", "higher"] | None = None


class Metric(NamedTuple):
    """A function and the numbers that it returns by their keys.

    compute: may raise ValueError where the data are too few for it.
    floor: the set of real examples that shows what can be reached, in the place of generated ones:
        `floor`, of the training set, or `held_out`; None where the function has none.
    """

    compute: Callable[..., Mapping[str, float]]
    quantities: tuple[Quantity, ...]
    floor: Literal["floor", "held_out"] | None = None
