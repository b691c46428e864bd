"""Configs of runs that an earlier version trained, as this one has them.

Each rule has a name and says what it did.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf

Plain = dict[str, Any]
CONSTANT: Plain = {}
COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "_partial_": True}


def migrated(config: DictConfig) -> tuple[DictConfig, list[str]]:
    """A run's config as this version writes it, and a line for each rule that changed it."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    lines = [rule(plain) for rule in (optimizer_of_its_own, discriminators_optimizer)]
    done = [line for line in lines if line]
    return (OmegaConf.create(plain), done) if done else (config, [])


def optimizer_of_its_own(config: Plain) -> str:
    """0.2.0: Adam and its schedule were arguments of the model."""
    model = config.get("model")
    if not isinstance(model, dict) or "optimizer" in config or "lr" not in model:
        return ""
    config["optimizer"] = {"_target_": "torch.optim.Adam", "_partial_": True}
    config["optimizer"] |= {key: model.pop(key) for key in ("lr", "betas") if key in model}
    config["scheduler"] = _scheduler(model.pop("schedule", None), model.pop("lr_steps", []))
    return "optimizer_of_its_own: model.lr, betas, schedule, lr_steps -> optimizer, scheduler"


def _scheduler(schedule: Any, steps: Any) -> Plain:
    if schedule == "step":
        target = "autoencoders.models.optimizers.MilestonesLR"
        return {"_target_": target, "_partial_": True, "factors": steps}
    return CONSTANT if schedule == "constant" else COSINE


def discriminators_optimizer(config: Plain) -> str:
    """0.2.0: WAE-GAN's discriminator had a learning rate alone."""
    model = config.get("model")
    if not isinstance(model, dict) or "discriminator_lr" not in model:
        return ""
    model["discriminator_optimizer"] = {"lr": model.pop("discriminator_lr")}
    return "discriminators_optimizer: model.discriminator_lr -> model.discriminator_optimizer.lr"
