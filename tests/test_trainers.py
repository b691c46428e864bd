"""Each choice of `trainer=` that needs neither a GPU nor several processes, run as written."""

import json

import pytest
import torch
from conftest import SMALL, choices, compose_train, run_here
from omegaconf import OmegaConf

SHORT = (*SMALL, "model=ae", "logger=none", "evaluate=false", "hydra.run.dir=run")
LONG = {  # what a test has no time for
    "cpu": ("trainer.max_epochs=1",),
    "default": ("trainer.max_epochs=1",),
    "debug_limit": ("trainer.max_epochs=1",),
    "debug_overfit": ("trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"),
}
HERE = [choice for choice in choices("trainer") if choice not in ("gpu", "ddp")]


def steps(folder):
    """The optimizer's steps in each epoch."""
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint["global_step"] / (checkpoint["epoch"] + 1)


@pytest.mark.parametrize("trainer", HERE)
def test_it_trains(trainer, tmp_path, no_figures, caplog):
    run_here("train.py", f"trainer={trainer}", *LONG.get(trainer, ()), *SHORT, cwd=tmp_path)
    folder = tmp_path / "run"
    assert json.loads((folder / "run.json").read_text())["finished"]
    epoch = 21  # steps in one, of the digits
    expected = {"debug": 3, "debug_overfit": 1, "debug_limit": epoch // 10}
    assert steps(folder) == expected.get(trainer, epoch)
    assert ("FIT Profiler Report" in caplog.text) == (trainer == "debug_profile")


def test_what_is_measured_after_a_debug_run():
    """Numbers of a few steps, or of one batch, are worth nothing: the evaluation is left out."""
    evaluated = {choice: compose_train(f"trainer={choice}").evaluate for choice in HERE}
    assert [choice for choice in HERE if not evaluated[choice]] == [
        "debug_overfit",
        "debug_profile",
    ]
    assert compose_train("trainer=debug_overfit", "evaluate=true").evaluate


def test_the_cpu_is_chosen_though_there_is_a_gpu():
    assert OmegaConf.to_container(compose_train("trainer=cpu").trainer)["accelerator"] == "cpu"
