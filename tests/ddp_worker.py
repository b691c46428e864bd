"""What test_ddp.py has each process do: `python ddp_worker.py <what> <folder> [model]`.

step    one model's first steps, without batch normalization and with every draw a function of the
        images, so that two processes with half a batch each should do what one does with all
whole   a whole run of train.py's `train`
"""

import os
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from conftest import SHORT, SMALL, build, compose_train
from torch import nn

from autoencoders.data import Examples, to_floats
from autoencoders.data.batches import Batches
from autoencoders.distributions import NormalPosterior
from train import train

BATCH = 16  # of all processes together
WORLD, RANK = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))


class Keep(pl.Callback):
    """Saves the first gradients of every optimizer, and the parameters after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gradients: list = []

    def on_before_optimizer_step(self, trainer, model, optimizer):
        if len(self.gradients) < len(trainer.optimizers):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.gradients.append([p.grad.clone() for p in parameters])

    def on_train_epoch_end(self, trainer, model):
        content = {"parameters": dict(model.named_parameters()), "gradients": self.gradients}
        torch.save(content, self.folder / f"epoch{trainer.current_epoch}-rank{RANK}.pt")


def without_norm(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        without_norm(child)


def step(folder, name):
    torch.manual_seed(0)
    _, model = build(compose_train(f"model={name}", *SMALL, "scheduler=constant"))
    without_norm(model)
    prior = torch.randn(BATCH, 3, dtype=torch.float64)
    model.prior.draw = lambda n, generator=None, device=None: prior[RANK::WORLD][:n]
    NormalPosterior.draw = lambda self: (
        self.mean + (self.log_var / 2).exp() * torch.sin(37 * self.mean.detach())
    )
    images = Examples(torch.randint(256, (3 * BATCH, *model.shape), dtype=torch.uint8))
    batches = Batches(images, BATCH // WORLD, shuffle=False, rank=RANK, world_size=WORLD)

    def collate(batch):
        return to_floats(batch[0]), batch[1]

    loader = torch.utils.data.DataLoader(images, None, sampler=batches, collate_fn=collate)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=WORLD,
        precision="64-true",  # so that rounding hides nothing
        strategy="ddp_find_unused_parameters_true" if WORLD > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Keep(folder)],
    )
    trainer.fit(model, loader)


def whole(folder, name):
    overrides = ("trainer.precision=32-true", "trainer.accelerator=cpu", f"model={name}")
    ddp = (f"trainer.devices={WORLD}", "trainer=ddp") if WORLD > 1 else ()
    train(compose_train(*SHORT, *ddp, *overrides), folder, extra_callbacks=[Keep(folder)])
    assert not torch.distributed.is_initialized()  # or a process may abort at its exit


if __name__ == "__main__":
    what, folder, name = sys.argv[1:]
    {"step": step, "whole": whole}[what](Path(folder), name)
