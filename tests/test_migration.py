"""Runs of an earlier version are read by rules that say what they did."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import run_here
from omegaconf import OmegaConf

from autoencoders.data import Digits
from autoencoders.runs import load_model, load_run, load_sampler
from autoencoders.runs.migration import migrated

OLD = Path(__file__).parent / "runs/0.1.0"  # WAE-GAN on digits, two epochs, as 0.1.0 left it


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "run"))


MODEL = {"_target_": "autoencoders.models.AE", "lr": 0.1, "betas": [0.5, 0.9]}
SCHEDULES = {
    "cosine": ([], "torch.optim.lr_scheduler.CosineAnnealingLR"),
    "constant": ([], None),
    "step": ([[3, 0.5]], "autoencoders.models.optimizers.MilestonesLR"),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_models_rates_become_an_optimizer_and_a_scheduler(schedule):
    steps, target = SCHEDULES[schedule]
    before = OmegaConf.create({"model": {**MODEL, "schedule": schedule, "lr_steps": steps}})
    after, lines = migrated(before)
    assert after.model == {"_target_": "autoencoders.models.AE"}
    assert after.optimizer.lr == 0.1
    assert after.optimizer.betas == [0.5, 0.9]
    assert after.scheduler.get("_target_") == target
    assert after.scheduler.get("factors", []) == steps
    assert [line.partition(":")[0] for line in lines] == ["optimizer_of_its_own"]
    assert migrated(after) == (after, [])


def test_an_earlier_run_is_read(old, capsys):
    run = load_run(old)
    assert "read by the rule optimizer_of_its_own" in capsys.readouterr().out
    assert run.cfg.model.discriminator_optimizer.lr == 0.004
    data = Digits(val_size=200)
    data.setup()
    weights = torch.load(old / "checkpoints/last.ckpt", weights_only=True)["state_dict"]

    def perceptron(x, part):
        names = ("weight", "bias", "running_mean", "running_var")
        first = [weights[f"{part}.layers.0.{name}"] for name in names[:2]]
        norm = {name: weights[f"{part}.layers.1.{name}"] for name in names}
        last = [weights[f"{part}.layers.4.{name}"] for name in names[:2]]
        return F.linear(F.batch_norm(F.linear(x, *first), **norm).relu(), *last)

    x = data.test.x()
    x_hat = perceptron(perceptron(x.flatten(1), "encoder"), "decoder").sigmoid()
    mse = F.mse_loss(x_hat.view_as(x), x).item()
    assert run.metrics["test/mse"] == pytest.approx(mse, rel=1e-5)
    torch.testing.assert_close(run.model.reconstruct(x), x_hat.view_as(x))
    assert load_sampler(old, "mixture").draw(2).shape == (2, 2)
    assert torch.equal(load_model(old).encode(x), run.model.encode(x))


def test_an_earlier_run_goes_on(old):
    before = json.loads((old / "metrics.json").read_text())
    run_here("train.py", f"resume={old}", "trainer.max_epochs=3", cwd=old.parent)
    last = torch.load(old / "checkpoints/last.ckpt", weights_only=True)
    assert last["epoch"] == 2
    rates = [state["param_groups"][0]["lr"] for state in last["optimizer_states"]]
    assert rates == pytest.approx([0.002 * 0.5, 0.004 * 0.5])  # by the step of its schedule
    assert json.loads((old / "metrics.json").read_text())["epochs"] == before["epochs"] + 1
