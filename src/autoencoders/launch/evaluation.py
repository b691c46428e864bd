"""What a config asks an evaluation for."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from autoencoders.errors import InputError, describe
from autoencoders.files import CONFIG, is_finished
from autoencoders.launch.arguments import check_arguments
from autoencoders.launch.settings import Evaluation


def to_evaluate(config: DictConfig) -> tuple[Path, str]:
    """The run and the checkpoint in it that `run=` or `ckpt_path=` names.

    Raises:
        InputError: neither or both, no finished run, or no checkpoint of one.
    """
    if (config.run is None) == (config.get("ckpt_path") is None):
        raise InputError(
            "give either run=, a finished run's folder such as outputs/digits/wae/<time>, or"
            " ckpt_path=, a checkpoint in one"
        )
    if config.run is not None:
        key, folder, checkpoint = f"run={config.run}", Path(str(config.run)), "last"
    else:
        path = Path(str(config.ckpt_path)).resolve()
        key, folder, checkpoint = f"ckpt_path={config.ckpt_path}", path.parent.parent, path.stem
        if path.parent.name != "checkpoints" or not re.fullmatch(r"\w[\w.=-]*\.ckpt", path.name):
            raise InputError(
                f"{key}: not a run's checkpoint: give <run>/checkpoints/<name>.ckpt, as train.py"
                " left it"
            )
    if not (folder / CONFIG).is_file():
        raise InputError(f"{key}: {folder} is not a run's folder: it has no {CONFIG}")
    if not is_finished(folder):
        raise InputError(
            f"{key}: {folder} holds no finished run; python train.py resume={folder} finishes it"
        )
    return folder, checkpoint


def evaluation_of(run: DictConfig, composed: DictConfig, typed: Sequence[str]) -> DictConfig:
    """The `evaluation` of a run, with the overrides of the command.

    `sampler=` chooses the samplers; one that the run has too keeps the run's settings.

    Args:
        run: the run's config.
        composed: from conf/evaluate.yaml and the overrides; its evaluation is taken for a run whose
            config has none.
        typed: the command's overrides.

    Raises:
        InputError: the overrides make the evaluation no group of settings.
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
    """Set a key to its overridden value, or remove it if the override does."""
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
    from autoencoders.evaluation import Settings

    container = OmegaConf.to_container(config.evaluation, resolve=True)
    try:
        settings = Settings.model_validate(container, strict=True)
        Evaluation.model_validate(container)
    except ValidationError as error:
        raise InputError(describe(error, "evaluation")) from error
    check_arguments({"evaluation": container})
    return settings, instantiate(config.evaluation.samplers, _convert_="all")
