"""Optimizers and schedules of torch's, as models and commands take them."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from conftest import build, compose_train
from small import adam, batches, fit, small
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from autoencoders.models import AE, WAEGAN
from autoencoders.models.optimizers import MilestonesLR, make_scheduler, overridden, why_eager


class Rates(pl.Callback):
    """Keeps each batch's learning rates, (steps, players)."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *_):
        self.seen.append([o.param_groups[0]["lr"] for o in trainer.optimizers])


def rates_of(schedule_class, lr, steps, **arguments):
    """What torch's own class does with one weight."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = schedule_class(optimizer, **arguments)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("model_class", [AE, WAEGAN])
def test_a_schedule_that_moves_at_each_step(model_class):
    """Nobody types how many steps there are; the last comes to the end of the cycle."""
    model = small(model_class, optimizer=adam(0.01), scheduler=partial(OneCycleLR, pct_start=0.5))
    rates = Rates()
    fit(model, batches(n=3), epochs=2, callbacks=[rates])
    players = zip(*rates.seen, strict=True)
    for player, lr in zip(players, (0.01, 1e-3), strict=False):
        expected = rates_of(OneCycleLR, lr, 6, max_lr=lr, total_steps=6, pct_start=0.5)
        assert player == pytest.approx(expected)


def test_a_schedule_may_be_told_to_move_at_each_step():
    scheduler = partial(StepLR, step_size=2, gamma=0.1, interval="step")
    rates = Rates()
    model = small(AE, optimizer=adam(1.0), scheduler=scheduler)
    fit(model, batches(n=4), callbacks=[rates])
    assert [rate for (rate,) in rates.seen] == pytest.approx([1, 1, 0.1, 0.1])


@pytest.mark.parametrize("model_class", [AE, WAEGAN])
def test_a_plateau_lowers_every_players_rate(model_class):
    """The error does not halve in an epoch."""
    scheduler = partial(ReduceLROnPlateau, monitor="val/mse", patience=0, threshold=0.5)
    rates = Rates()
    model = small(model_class, optimizer=adam(1e-3), scheduler=scheduler)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[rates],
    )
    trainer.fit(model, batches(n=1), batches(n=1))
    first, second, third = rates.seen
    assert second == first
    assert third == pytest.approx([rate / 10 for rate in first])


def test_milestones_have_a_factor_each():
    rates = rates_of(MilestonesLR, 2.0, 5, factors=[(1, 0.5), (3, 0.2)])
    assert rates == pytest.approx([2, 1, 1, 0.2, 0.2])
    alike = rates_of(MilestonesLR, 2.0, 5, factors=[(1, 0.5), (3, 0.5)])
    assert alike == pytest.approx(rates_of(MultiStepLR, 2.0, 5, milestones=[1, 3], gamma=0.5))


def test_what_a_schedule_is_told():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.3)
    cosine = make_scheduler(partial(CosineAnnealingLR), optimizer, 7, 0, "lr")
    assert cosine["scheduler"].T_max == 7
    assert cosine["interval"] == "epoch"
    typed = make_scheduler(partial(CosineAnnealingLR, T_max=3), optimizer, 7, 0, "lr")
    assert typed["scheduler"].T_max == 3


def test_what_a_player_changes_of_the_optimizer():
    of_model = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9))
    changed = overridden(of_model, {"lr": 5e-4})
    assert changed.func is torch.optim.Adam
    assert changed.keywords == {"lr": 5e-4, "betas": (0.5, 0.9)}
    own = partial(torch.optim.SGD, lr=1.0)
    assert overridden(of_model, own) is own


def test_what_a_cuda_graph_cannot_repeat():
    assert why_eager([adam(1e-3)], partial(CosineAnnealingLR)) == ""
    assert "OneCycleLR" in why_eager([adam(1e-3)], partial(OneCycleLR))
    assert "LBFGS" in why_eager([adam(1e-3), partial(torch.optim.LBFGS)], None)


@pytest.mark.parametrize(
    ("choice", "optimizer_class"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_every_player_is_given_the_optimizer_that_is_chosen(choice, optimizer_class):
    _, model = build(compose_train("model=wae", f"optimizer={choice}", "optimizer.lr=0.02"))
    own, theirs = (player["optimizer"] for player in model.configure_optimizers())
    assert type(own) is type(theirs) is optimizer_class
    assert (own.defaults["lr"], theirs.defaults["lr"]) == (0.02, 1e-3)


def test_weights_decay_by_group():
    """As a model of one's own has it: all but biases."""

    class Grouped(AE):
        def autoencoder_parameters(self):
            weights = [p for p in self.parameters() if p.ndim > 1]
            others = [p for p in self.parameters() if p.ndim <= 1]
            return [{"params": weights}, {"params": others, "weight_decay": 0.0}]

    optimizer = partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)
    made = small(Grouped, optimizer=optimizer, scheduler=None).configure_optimizers()["optimizer"]
    assert [group["weight_decay"] for group in made.param_groups] == [0.1, 0.0]
    assert sum(len(group["params"]) for group in made.param_groups) == len(
        list(small(Grouped).parameters())
    )
