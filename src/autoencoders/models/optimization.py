"""Who trains what: the optimizers and schedules of a model and its opponents."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from torch import nn

from autoencoders.models import optimizers
from autoencoders.models.optimizers import Partial


class Optimized(pl.LightningModule):
    """A model with an optimizer, perhaps a schedule, and perhaps opponents that have their own.

    Attributes:
        optimizer: of all players.
        scheduler: of the learning rates; None keeps them constant.
    """

    optimizer: Partial
    scheduler: Partial | None

    def opponents(self) -> dict[str, nn.Module]:
        """Networks that an optimizer of their own trains, by name, such as a discriminator; all
        else is the auto-encoder's."""
        return {}

    def optimizer_of(self, opponent: str) -> Partial:
        """An opponent's optimizer: the model's, with what the argument `<opponent>_optimizer`
        changes of it."""
        changes = getattr(self, f"{opponent}_optimizer", {})
        return optimizers.overridden(self.optimizer, changes)

    def autoencoder_parameters(self) -> Iterable[nn.Parameter | dict[str, Any]]:
        """All that no opponent has; also groups of them, as torch's optimizers take them."""
        theirs = {id(p) for network in self.opponents().values() for p in network.parameters()}
        return [p for p in self.parameters() if id(p) not in theirs]

    def configure_optimizers(self) -> Any:
        own = self.optimization(self.optimizer, self.autoencoder_parameters(), "lr")
        theirs = [
            self.optimization(self.optimizer_of(name), network.parameters(), f"{name}_lr")
            for name, network in self.opponents().items()
        ]
        return [own, *theirs] if theirs else own

    def optimization(
        self,
        optimizer: Partial,
        parameters: Iterable[nn.Parameter | dict[str, Any]],
        name: str,
    ) -> dict[str, Any]:
        """An optimizer and its schedule, as Lightning takes them.

        Args:
            name: of the learning rate, where it is logged.
        """
        with optimizers.named("optimizer", optimizer):
            made = optimizers.make_optimizer(optimizer, parameters, self.device.type == "cuda")
        if self.scheduler is None:
            return {"optimizer": made}
        stepwise = optimizers.interval_of(self.scheduler) == "step"
        steps = int(self.trainer.estimated_stepping_batches) if stepwise else 0
        trainer = trainer_of(self)
        epochs = max((trainer.max_epochs if trainer else 1) or 1, 1)
        with optimizers.named("scheduler", self.scheduler):
            schedule = optimizers.make_scheduler(self.scheduler, made, epochs, steps, name)
        if not self.automatic_optimization:  # Lightning would warn that it leaves it to the model
            schedule.pop("monitor", None)
        return {"optimizer": made, "lr_scheduler": schedule}

    def why_eager(self) -> str:
        """Why a CUDA graph cannot train this model; empty where it can."""
        of_all = [self.optimizer, *map(self.optimizer_of, self.opponents())]
        return optimizers.why_eager(of_all, self.scheduler)


def trainer_of(model: pl.LightningModule) -> pl.Trainer | None:
    """What trains a model; None while nothing does."""
    try:
        return model.trainer
    except RuntimeError:
        return None
