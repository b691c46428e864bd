"""The composed config of train.py, checked where no constructor does so."""

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from autoencoders.errors import InputError, describe
from autoencoders.launch.arguments import check_arguments
from autoencoders.launch.objective import check_objective
from autoencoders.launch.settings import TrainKeys
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
    check_objective(config)
    refuse_foreign(config)
    trust_own(config)
    check_arguments(OmegaConf.to_container(config, resolve=True))
