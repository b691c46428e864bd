"""What a run's config makes: its data, its model, its loggers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import DataModule
    from autoencoders.data.manifest import Manifest
    from autoencoders.models import AutoEncoder
    from autoencoders.training import EpochLogger
from typing import cast


def build(
    cfg: DictConfig, recorded: "Manifest | None" = None
) -> tuple["DataModule", "AutoEncoder"]:
    """The data module and the model that a composed config describes.

    Args:
        recorded: of the run that goes on.

    Raises:
        InstantiationException: a key outside what its constructor allows.
    """
    data = build_data(cfg, recorded, cfg.get("allow_changed_data", False))
    return data, build_model(cfg, data.spec)


def build_data(cfg: DictConfig, recorded: "Manifest | None", take_new: bool) -> "DataModule":
    """The data module that a config describes.

    Args:
        recorded, take_new: see `DataModule`.
    """
    data: DataModule = instantiate(cfg.dataset, _convert_="all")
    data.recorded, data.take_new = recorded, take_new
    return data


def build_model(cfg: DictConfig, spec: dict[str, Any]) -> "AutoEncoder":
    """The model that a composed config describes.

    Args:
        spec: what it is told of its data, see `DataModule.spec`.
    """
    network = instantiate(cfg.network, _convert_="all")
    made = {key: _optional(cfg.get(key)) for key in ("optimizer", "scheduler")}
    model: AutoEncoder = instantiate(cfg.model, network=network, **made, **spec, _convert_="all")
    return model


def _optional(config: DictConfig | None) -> Any:
    """What a group makes; None where its choice is to make nothing."""
    return instantiate(config, _convert_="all") if config else None


def make_loggers(config: DictConfig | None, folder: Path, run: DictConfig) -> list["EpochLogger"]:
    """The loggers of a config's `logger`, for the run in `folder` that `run` describes.

    Raises:
        InstantiationException: a package is missing, a service refuses, or a key is outside what is
            allowed.
    """
    settings = hyperparameters(run)
    return [instantiate(choice, folder, settings) for choice in (config or {}).values()]


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


def _plain(group: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(group, resolve=True))
