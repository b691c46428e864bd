"""A finished run that goes on: as one run of the whole length, and with nothing lost on the way."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SHORT, without_figures
from hydra.core.global_hydra import GlobalHydra
from pytorch_lightning.callbacks import Callback
from test_train import short_run

from autoencoders.models import WAEGAN
from autoencoders.runs import load_run
from autoencoders.runs.finished import read_finished

RUN = ("model=wae", "scheduler=constant", *SHORT, "trainer.precision=32-true")
EVALUATED = ("evaluate=true", "evaluation.images=40")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `python train.py <arguments>` in this process, from an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        GlobalHydra.instance().clear()
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")

    return run


def saved(path):
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_an_extended_run_is_one_of_the_whole_length(command, monkeypatch):
    """Though the power fails half way through the extension."""
    command(*RUN, *EVALUATED, "hydra.run.dir=run")
    kept = {file: file.read_bytes() for file in Path("run").rglob("*") if file.is_file()}
    finished = json.loads(Path("run/metrics.json").read_text())
    step = WAEGAN.training_step

    def crash(self, batch, batch_idx=0):
        if self.current_epoch == 3 and batch_idx == 1:
            raise RuntimeError("the power fails")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(WAEGAN, "training_step", crash)
        with pytest.raises(RuntimeError, match="the power fails"):
            command("resume=run", "trainer.max_epochs=4")
    for name in ("last", "best"):
        old = Path(f"run/checkpoints/{name}.ckpt")
        assert old.with_stem(f"{name}-2").read_bytes() == kept[old]
    assert Path("run/last-2/metrics.json").read_bytes() == kept[Path("run/metrics.json")]
    for file in Path("run/last-2/figures").iterdir():
        assert file.read_bytes() == kept[Path("run/figures", file.name)]
    assert not Path("run/metrics.json").exists()

    command("resume=run")
    with without_figures():
        command(*RUN, *EVALUATED, "hydra.run.dir=at-once", "trainer.max_epochs=4")
    ours, theirs = (saved(Path(run, "checkpoints/last.ckpt")) for run in ("run", "at-once"))
    assert ours["epoch"] == 3
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    assert json.loads(Path("run/last-2/metrics.json").read_text()) == finished
    metrics, expected = (read_finished(Path(run)).metrics for run in ("run", "at-once"))
    assert {k: v for k, v in metrics.items() if "/" in k} == {
        k: v for k, v in expected.items() if "/" in k
    }
    run = load_run("run")
    assert (run.epochs, run.cfg.trainer.max_epochs, run.metrics["epochs"]) == (4, 4, 4)
    assert load_run("run", "last-2").epochs == 2
    for file in Path("run/figures").iterdir():
        assert file.read_bytes() != kept[file], file

    with pytest.raises(SystemExit, match=r"trainer.max_epochs=4: the run in run has 4 epochs"):
        command("resume=run", "trainer.max_epochs=4")
    assert Path("run/metrics.json").exists()


class Rates(Callback):
    """Keeps both optimizers' learning rates in each epoch."""

    def __init__(self):
        self.rates = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append([o.param_groups[0]["lr"] for o in trainer.optimizers])


def test_a_schedule_that_depends_on_the_end(tmp_path, capsys):
    """Cosine had come to 0 in epoch 2 of 2, and is half-way down in epoch 2 of 4."""
    arguments = ("model=wae", "optimizer.lr=0.002", "model.discriminator_optimizer.lr=0.004")
    short_run(tmp_path, *arguments)
    assert "depends on the last epoch" not in capsys.readouterr().out
    rates = Rates()
    longer = (*arguments, "trainer.max_epochs=4")
    short_run(tmp_path, *longer, resume=True, extra_callbacks=[rates])
    cosine = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in (2, 3)]
    for epoch, factor in zip(rates.rates, cosine, strict=True):
        assert epoch == pytest.approx([0.002 * factor, 0.004 * factor])
    assert "the learning rate goes on at 0.001, not 0" in capsys.readouterr().out
