"""`last.ckpt` holds the weights after the last finished epoch, however a run ends.

Held against the model in memory, with a monitor that stops improving after the first epoch.
"""

import json
import signal

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from test_train import short_run

NO_BETTER = "monitor=val/active_units"  # all of them are active from the first epoch on


class Memory(Callback):
    """Keeps the weights after each epoch, and those that are tested."""

    def __init__(self, interrupt_in=None):
        self.interrupt_in = interrupt_in
        self.after = []
        self.tested = None

    def on_train_epoch_end(self, trainer, pl_module):
        self.after.append(copy(pl_module))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == self.interrupt_in:
            raise KeyboardInterrupt

    def on_test_start(self, trainer, pl_module):
        self.tested = copy(pl_module)


def copy(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def saved(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def assert_equal(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


AVERAGING = "_target_: pytorch_lightning.callbacks"


@pytest.mark.parametrize(
    ("model", "overrides", "epochs"),
    [
        ("vae", [], 4),
        ("wae", [], 4),
        ("wae_mmd", ["+trainer.max_steps=5"], 2),
        ("wae", ["+trainer.max_steps=10"], 2),  # two optimizers' steps a batch
        ("vae", ["+trainer.check_val_every_n_epoch=3"], 4),
        ("wae", ["+trainer.check_val_every_n_epoch=3"], 4),
        ("wae", ["dataset.val_size=0", "monitor=train/loss", "optimizer.lr=1e-12"], 4),
        ("ae", [f"+trainer.callbacks=[{{{AVERAGING}.EMAWeightAveraging}}]"], 4),
        (
            "ae",
            [
                f"+trainer.callbacks=[{{{AVERAGING}.StochasticWeightAveraging, swa_lrs: 0.01,"
                " swa_epoch_start: 1}]"
            ],
            4,
        ),
    ],
    ids=str,
)
def test_of_a_finished_run(model, overrides, epochs, tmp_path):
    memory = Memory()
    arguments = (f"model={model}", NO_BETTER, "trainer.max_epochs=4", *overrides)
    short_run(tmp_path, *arguments, extra_callbacks=[memory])
    # A fifth of stochastic weight averaging's gathers the average's statistics, and trains nothing.
    assert len(memory.after) == epochs + ("StochasticWeightAveraging" in str(overrides))
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == epochs
    assert_equal(saved(tmp_path)["state_dict"], memory.tested)
    if not overrides:
        # Or it would not be seen that a last checkpoint is written with the best alone.
        best = saved(tmp_path, "best")["state_dict"]
        same = [all(torch.equal(best[name], w[name]) for name in best) for w in memory.after]
        assert same.index(True) < 3


@pytest.mark.parametrize("model", ["ae", "wae"])
def test_of_an_interrupted_and_a_resumed_run(model, tmp_path, capsys):
    memory = Memory(interrupt_in=3)
    arguments = (f"model={model}", NO_BETTER, "trainer.max_epochs=5")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        short_run(tmp_path, *arguments, extra_callbacks=[memory])
    signal.signal(signal.SIGINT, handler)  # Lightning has set it to be ignored
    assert len(memory.after) == 3
    assert_equal(saved(tmp_path)["state_dict"], memory.after[-1])
    assert "3 epochs are saved" in capsys.readouterr().out
    memory = Memory()
    short_run(tmp_path, *arguments, resume=True, extra_callbacks=[memory])
    assert len(memory.after) == 2
    assert_equal(saved(tmp_path)["state_dict"], memory.after[-1])
    assert_equal(saved(tmp_path)["state_dict"], memory.tested)


class Spoil(Callback):
    """Makes the weights worse than they have ever been."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        with torch.no_grad():
            for parameter in pl_module.decoder.parameters():
                parameter.fill_(3.0)


def test_the_best_checkpoint_of_before_a_resume_stays_until_an_epoch_is_better(tmp_path):
    arguments = ("model=ae", "network=mlp", "monitor=val/mse", "trainer.max_epochs=4")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        short_run(tmp_path, *arguments, extra_callbacks=[Memory(interrupt_in=2)])
    signal.signal(signal.SIGINT, handler)
    best = (tmp_path / "checkpoints/best.ckpt").read_bytes()
    short_run(tmp_path, *arguments, resume=True, extra_callbacks=[Spoil()])
    history = saved(tmp_path)["callbacks"]["RunRecord"]["history"]["val/mse"]
    assert min(history[3], history[4]) > max(history[1], history[2])
    assert (tmp_path / "checkpoints/best.ckpt").read_bytes() == best
