"""A job's config as .hydra/ in its folder has it."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from autoencoders.files import CONFIG, HYDRA, OVERRIDES, write_whole
from autoencoders.runs.state import begin


def without_hydra(config: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part, as a run gets it."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def record_config(cfg: DictConfig, folder: Path) -> None:
    """Write the running job's config to .hydra/, as Hydra does; Hydra itself would write there
    before anybody can look whose folder it is.

    config.yaml comes last: where it is, the others are.
    """
    hydra = HydraConfig.instance().cfg
    (folder / HYDRA).parent.mkdir(exist_ok=True)
    write_whole(folder / HYDRA, OmegaConf.to_yaml(hydra))
    write_whole(folder / OVERRIDES, OmegaConf.to_yaml(HydraConfig.get().overrides.task))
    begin(folder)
    write_whole(folder / CONFIG, OmegaConf.to_yaml(cfg))


def is_recorded(cfg: DictConfig, folder: Path) -> bool:
    """Whether the run in `folder` was begun with exactly this config."""
    file = folder / CONFIG
    recorded = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    return recorded == OmegaConf.to_yaml(cfg)
