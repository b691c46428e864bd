"""What models share that make their optimizers' steps themselves."""

from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from autoencoders.models.base import AutoEncoder
from autoencoders.models.optimization import trainer_of
from autoencoders.models.optimizers import monitor_of


class ManualSteps(AutoEncoder):
    """A model of several players: its `training_step` has each `descend`.

    Lightning refuses to accumulate and to clip such a model's gradients, and leaves its learning
    rates alone. All three are done here, as Lightning does them for other models.
    """

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self.automatic_optimization = False
        self.accumulate_grad_batches = 1
        self.gradient_clip_val: int | float | None = None

    def configure_callbacks(self) -> list[Any]:
        """Take over from the Trainer what it would refuse: no hook of a fit comes earlier."""
        trainer = self.trainer
        self.accumulate_grad_batches = trainer.accumulate_grad_batches
        self.gradient_clip_val = trainer.gradient_clip_val
        trainer.accumulate_grad_batches, trainer.gradient_clip_val = 1, None
        return []

    def descend(self, optimizer: Any, loss: Tensor) -> None:
        """A player's part in a batch: its gradient, and a step where enough batches have come.

        Without a Trainer every batch is a step.
        """
        if trainer_of(self) is None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return
        batches, batch = self.accumulate_grad_batches, self.trainer.fit_loop.batch_idx
        if batch % batches == 0:
            optimizer.zero_grad()
        self.manual_backward(loss / batches)
        if (batch + 1) % batches == 0 or self.trainer.is_last_batch:
            optimizer.step()
            self.step_schedules("step", getattr(optimizer, "optimizer", optimizer))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here and not in `descend`: 16-bit gradients have been scaled back now.
        if self.gradient_clip_val:
            self.clip_gradients(optimizer, self.gradient_clip_val)

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.step_schedules("epoch")

    def step_schedules(self, interval: str, optimizer: Any = None) -> None:
        """Move the learning rates that move each `interval`: all, or those of one optimizer."""
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            if config.interval != interval or optimizer not in (None, scheduler.optimizer):
                continue
            if isinstance(scheduler, ReduceLROnPlateau) and self.scheduler:
                scheduler.step(self.trainer.callback_metrics[monitor_of(self.scheduler)])
            else:
                scheduler.step()
