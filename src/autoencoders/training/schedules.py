"""Learning-rate schedules of a run that is made longer."""

import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim.lr_scheduler import ReduceLROnPlateau

# What a schedule sets of an optimizer, beside the learning rate.
SET = ("lr", "betas", "momentum")


class Schedules(Callback):
    """Has the learning rates of a run that goes on follow the schedule as it is now.

    A checkpoint keeps the schedule as it was: of a run that is made longer, one that was to end
    earlier.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.say_what_is_not_reached(trainer)
        if trainer.current_epoch == 0:
            return
        for config, fresh in zip(trainer.lr_scheduler_configs, _fresh(pl_module), strict=False):
            scheduler: Any = config.scheduler
            if type(fresh) is not type(scheduler) or isinstance(scheduler, ReduceLROnPlateau):
                continue
            _replay(fresh, scheduler.last_epoch)
            saved, now = (s.optimizer.param_groups[0]["lr"] for s in (scheduler, fresh))
            if abs(float(saved) - float(now)) > 1e-9 * abs(float(saved)) + 1e-12:
                pl_module.print(
                    f"{type(scheduler).__name__} depends on the last epoch: the learning rate goes"
                    f" on at {now:.3g}, not {saved:.3g}"
                )
            scheduler.load_state_dict(fresh.state_dict())
            groups = zip(
                scheduler.optimizer.param_groups, fresh.optimizer.param_groups, strict=True
            )
            for group, theirs in groups:
                group.update({key: theirs[key] for key in SET if key in theirs})

    @staticmethod
    def say_what_is_not_reached(trainer: pl.Trainer) -> None:
        """Name the epochs of a schedule that come after the last."""
        epochs = trainer.max_epochs or 0
        for config in trainer.lr_scheduler_configs[:1]:
            milestones = getattr(config.scheduler, "milestones", {})
            late = [epoch for epoch in milestones if epoch >= epochs > 0]
            if late and config.interval == "epoch" and trainer.is_global_zero:
                print(f"scheduler: epochs {late} not reached within trainer.max_epochs={epochs}")


def _fresh(model: Any) -> list[Any]:
    """A model's schedules as they are at the start of a training like this one."""
    made = model.configure_optimizers()
    configs = made if isinstance(made, list | tuple) else [made]
    schedules = [c.get("lr_scheduler") for c in configs if isinstance(c, dict)]
    return [s["scheduler"] for s in schedules if isinstance(s, dict)]


def _replay(scheduler: Any, steps: int) -> None:
    """Move a schedule by so many steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its optimizer makes none
        for _ in range(steps):
            scheduler.step()
