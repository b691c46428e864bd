"""The metric that a run is judged by: whether it will be measured, and which values are better."""

import re
from collections.abc import Iterable
from typing import Literal

from omegaconf import DictConfig, OmegaConf

from autoencoders.errors import InputError

# What the names of the epochs' and the test's metrics begin with.
STAGES = ("train/", "val/", "test/")


def check_objective(config: DictConfig) -> None:
    """Better missed now than after hours of training."""
    objective = str(config.objective)
    if objective.startswith("test/") and OmegaConf.select(config, "evaluation.split") == "val":
        raise InputError(
            f"objective={objective}: is not measured with evaluation.split=val, which leaves the"
            f" test set unseen; objective=val/{objective.removeprefix('test/')} is"
        )
    direction = direction_of(objective, config.evaluation.samplers)
    if direction is None:
        follows = OmegaConf.to_container(config, resolve=False)["objective"] == "${monitor}"  # type: ignore[call-overload, index]
        key = f"monitor={objective}" if follows else f"objective={objective}"
        instead = "; objective= names another than monitor=" if follows else ""
        raise InputError(
            f"{key}: no such metric, or nothing says whether less or more of it is better{instead};"
            f" allowed: {_objectives(config)}"
        )
    if not config.evaluate and not objective.startswith(STAGES):
        raise InputError(
            f"objective={objective}: is measured after training, which evaluate=false leaves out"
        )


def direction_of(objective: str, samplers: Iterable[str]) -> Literal["lower", "higher"] | None:
    """Which values of a metric are better; None if neither is known to be.

    Args:
        samplers: the names of those that a run is evaluated with.
    """
    term = objective.partition("/")[2]
    # What every model minimises, and a model's own terms by what they are called.
    if term == "reconstruction" or re.fullmatch(r"(\w+_)?loss", term):
        return "lower"
    if re.fullmatch(r"\w+_accuracy", term) and objective.startswith(STAGES):
        return "higher"
    from autoencoders.evaluation.catalogue import columns  # torch takes seconds to import

    split, known = objective.partition("/")[0], columns(samplers)
    if split in ("train", "val"):
        known = columns(samplers, split=split)
    return next((column.better for column in known if column.key == objective), None)


def is_maximised(config: DictConfig) -> bool:
    """Whether more of a run's objective is better."""
    return direction_of(str(config.objective), config.evaluation.samplers) == "higher"


def _objectives(config: DictConfig) -> str:
    from autoencoders.evaluation.catalogue import columns

    samplers, keys = config.evaluation.samplers, ["train/loss"]
    for split in ("val", "test") if config.evaluation.split == "test" else ("val",):
        keys += [f"{split}/loss", f"{split}/reconstruction"]
        keys += [column.key for column in columns(samplers, split=split) if column.better]
    return ", ".join(dict.fromkeys(keys))


def objective_of(metrics: dict[str, float], cfg: DictConfig) -> float:
    """The metric that `cfg.objective` names.

    Raises:
        InputError: there is none of that name.
    """
    if cfg.objective not in metrics:
        known = ", ".join(name for name in metrics if "/" in name)
        raise InputError(f"objective={cfg.objective}: was not measured; allowed: {known}")
    return float(metrics[cfg.objective])
