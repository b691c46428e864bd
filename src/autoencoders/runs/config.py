"""The composed config: checked where no constructor does so, and what is read off it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from autoencoders.errors import InputError, describe
from autoencoders.runs.arguments import check_arguments
from autoencoders.runs.settings import Evaluation, TrainKeys
from autoencoders.runs.trust import refuse_foreign, trust_own

# Keys that cannot be set, and what there is instead.
INSTEAD = {
    "model.network": "network= chooses it",
    "model.shape": "the data set tells it",
    "model.bounded": "the data set tells it",
    "model.kind": "the data set tells it",
    "model.classes": "the data set tells it",
    "model.optimizer": "optimizer= chooses it",
    "model.scheduler": "scheduler= chooses it",
    "trainer.logger": "logger= chooses where a run is logged",
    "trainer.default_root_dir": "hydra.run.dir= says where a run is written",
    "trainer.enable_checkpointing": "every run writes checkpoints/last.ckpt and best.ckpt",
    "trainer.plugins": "train.py sets the one that writes checkpoints whole",
    "trainer.barebones": "every run writes its metrics and checkpoints",
    "trainer.fast_dev_run": "trainer=debug is the short run",
    "trainer.val_check_interval": "a run is validated after each epoch, or with"
    " +trainer.check_val_every_n_epoch=2 after every second",
}

STAGES = (
    "train/",
    "val/",
    "test/",
)  # what the names of the epochs' and the test's metrics begin with


def check_settings(config: DictConfig) -> None:
    """Raise InputError where train.py could not use a composed config, or a later command would
    not read it back, as far as no constructor tells."""
    try:
        TrainKeys.model_validate(OmegaConf.to_container(config, resolve=False))
    except ValidationError as error:
        raise InputError(describe(error)) from error
    for key, instead in INSTEAD.items():
        group, name = key.split(".")
        if name in config[group]:
            raise InputError(f"{key}={config[group][name]}: cannot be set: {instead}")
    _check_objective(config)
    refuse_foreign(config)
    trust_own(config)
    check_arguments(OmegaConf.to_container(config, resolve=True))


def _check_objective(config: DictConfig) -> None:
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


def _plain(group: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(group, resolve=True))


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """What loggers list of a run's settings: the keys of model, network, optimizer and schedule,
    the batch size, the seed, the tags and the names of callbacks."""
    groups = ("model", "network", "dataset", "optimizer", "scheduler")
    given = [group for group in groups if cfg[group]]
    kinds = {group: str(cfg[group]._target_).rpartition(".")[2] for group in given}
    keys = {
        key if group == "model" else f"{group}.{key}": value
        for group in given
        if group != "dataset"
        for key, value in _plain(cfg[group]).items()
        if not key.startswith("_")
    }
    words = {key: " ".join(cfg.get(key) or []) for key in ("callbacks", "tags")}
    return {**kinds, **keys, **words, "batch_size": cfg.dataset.batch_size, "seed": cfg.seed}


def evaluation_of(run: DictConfig, composed: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The `evaluation` of a run, with what is typed in its place.

    `sampler=` chooses the samplers; one that the run has too keeps the run's settings.

    Args:
        run: the run's config.
        composed: from conf/evaluate.yaml and what is typed; its evaluation is taken for a run whose
            config has none.
        typed: the command's overrides.

    Raises:
        InputError: what is typed makes an evaluation no group of settings.
    """
    if not OmegaConf.is_dict(OmegaConf.select(composed, "evaluation.samplers")):
        raise InputError("evaluation=: must hold settings; type evaluation.images=100 and the like")
    if not OmegaConf.is_dict(OmegaConf.select(run, "evaluation.samplers")):
        return composed.evaluation
    evaluation: Any = OmegaConf.create(OmegaConf.to_container(run.evaluation, resolve=True))
    own = evaluation.samplers
    overrides = OverridesParser.create().parse_overrides(list(typed))
    if any(override.key_or_group == "sampler" for override in overrides):
        chosen = composed.evaluation.samplers
        evaluation.samplers = {name: own.get(name, chosen[name]) for name in chosen}
    for override in overrides:
        group, _, key = override.key_or_group.partition(".")
        if group != "evaluation":
            continue
        parts: Any = [key] if key else override.value()  # evaluation={split:val,images:100}
        for part in parts:
            _take_over(evaluation, composed.evaluation, part)
    return evaluation


def _take_over(evaluation: Any, typed: Any, key: str) -> None:
    """Set a key as it is typed: to its value there, or to nothing where it was deleted."""
    sampler = re.match(r"samplers\.\w+", key)
    if sampler and OmegaConf.select(evaluation, sampler[0]) is None:
        key = sampler[0]  # all of it: the run has no settings of this one
    parent, _, name = key.rpartition(".")
    there, here = ((OmegaConf.select(c, parent) if parent else c) for c in (typed, evaluation))
    if there is not None and name in there:
        OmegaConf.update(evaluation, key, there[name], merge=False)
    elif here is not None:
        here.pop(name, None)


def asked_of(config: DictConfig) -> dict[str, Any]:
    """What a run's config asks an evaluation for, as its record has it."""
    if config.evaluate:
        return dict(evaluation_settings(config)[0].model_dump())
    return {"split": str(config.evaluation.split)}


def evaluation_settings(config: DictConfig) -> Any:
    """The `Settings` and the samplers of a composed config.

    Raises:
        InputError: a key outside what is allowed.
    """
    from hydra.utils import instantiate

    from autoencoders.evaluation import Settings

    container = OmegaConf.to_container(config.evaluation, resolve=True)
    try:
        settings = Settings.model_validate(container, strict=True)
        Evaluation.model_validate(container)
    except ValidationError as error:
        raise InputError(describe(error, "evaluation")) from error
    check_arguments({"evaluation": container})
    return settings, instantiate(config.evaluation.samplers, _convert_="all")
