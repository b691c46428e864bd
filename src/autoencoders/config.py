"""The composed config: checked where no constructor does so, and what is read off it."""

from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from autoencoders.comparison.columns import COLUMNS
from autoencoders.errors import InputError, describe

# What the names of an evaluation's metrics begin with.
EVALUATED = ("floor/", "reconstruction/", "prior/", "mixture/", "latent/")


class _TrainerSettings(BaseModel):
    max_epochs: PositiveInt


class _Settings(BaseModel):
    """The keys that no constructor checks."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    monitor: Annotated[str, Field(pattern="^(train|val)/")]
    ckpt_path: str | None
    evaluate: bool
    objective: str
    trainer: _TrainerSettings


def check_settings(config: DictConfig) -> None:
    """Raise InputError where a key that no constructor checks is outside what is allowed."""
    try:
        _Settings.model_validate(OmegaConf.to_container(config, resolve=False))
    except ValidationError as error:
        raise InputError(describe(error)) from error
    objective = str(config.objective)
    kinds = ("train/", "val/", "test/", *EVALUATED)
    if not objective.startswith(kinds):
        raise InputError(
            f"objective={objective}: no such metric; its name begins with {', '.join(kinds)}"
        )
    if objective.startswith(EVALUATED):  # better missed now than after hours of training
        known = [column.key for column in COLUMNS if column.key.startswith(EVALUATED)]
        if objective not in known:
            raise InputError(f"objective={objective}: no such metric; allowed: {', '.join(known)}")
        if not config.evaluate:
            raise InputError(
                f"objective={objective}: is measured after training, which evaluate=false leaves"
                " out"
            )


def objective_of(metrics: dict[str, float], cfg: DictConfig) -> float:
    """The metric that `cfg.objective` names.

    Raises:
        InputError: there is none of that name.
    """
    if cfg.objective not in metrics:
        known = ", ".join(name for name in metrics if "/" in name)
        raise InputError(f"objective={cfg.objective}: no such metric; allowed: {known}")
    return float(metrics[cfg.objective])


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """What TensorBoard's HPARAMS tab lists: the model's and the data set's keys, and the seed."""
    keys = {str(key): value for key, value in cfg.model.items() if key != "_target_"}
    kinds = {"model": cfg.model._target_, "dataset": cfg.dataset._target_}
    return {**kinds, **keys, "batch_size": cfg.dataset.batch_size, "seed": cfg.seed}
