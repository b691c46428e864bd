"""Trainings that end before their last epoch: when, what is said, and that nothing goes on."""

import math
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import SHORT, run_here
from pytorch_lightning.callbacks import Callback
from small import batches, make_trainer, small
from test_callbacks import STOPPED
from test_last_checkpoint import Memory, assert_equal, saved
from test_train import metrics_of, short_run

from autoencoders.errors import InputError
from autoencoders.models import AE, WAEGAN, AutoEncoder
from autoencoders.runs import load_run
from autoencoders.training import EarlyStopping, RunRecord, refuse_extension
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.record import why_ended

LIGHTNINGS = (
    "+trainer.callbacks=[{_target_: pytorch_lightning.callbacks.EarlyStopping, patience: 2,"
    " monitor: val/active_units}]"
)
TIMED = "+trainer.max_time=00:00:00:04"  # of which a batch takes one, see `a_second_a_batch`
EARLY = "early stopping ended training after epoch 3 of 6: val/active_units had not improved on 0"

# By what ends a run of 6 epochs of 3 batches each: what is said of it.
ENDINGS = {
    STOPPED: f"{EARLY} in the last 2 checks",
    (LIGHTNINGS,): f"{EARLY} in the last 2 checks",
    ("model=ae", "+trainer.max_steps=5"): (
        "trainer.max_steps=5 ended training within epoch 2 of 6, after 2 of its 3 batches"
    ),
    ("+trainer.max_steps=10",): (
        "trainer.max_steps=10 ended training within epoch 2 of 6, after 2 of its 3 batches: each of"
        " its 2 optimizers' steps counts"
    ),
    ("model=ae", "+trainer.max_steps=6"): "trainer.max_steps=6 ended training after epoch 2 of 6",
    (TIMED,): (
        "the time limit (trainer.max_time) ended training within epoch 2 of 6, after 1 of its 3"
        " batches"
    ),
}
RUN = "hydra.run.dir=run"


@pytest.fixture(autouse=True)
def seconds(monkeypatch):
    """A clock that only a batch moves on, by a second: its time so far."""
    clock = SimpleNamespace(time=0.0)
    for kind in (AE, WAEGAN):
        monkeypatch.setattr(kind, "training_step", _ticking(kind.training_step, clock))
    watch = SimpleNamespace(perf_counter=lambda: clock.time, monotonic=lambda: clock.time)
    monkeypatch.setattr("autoencoders.training.record.time", watch)
    monkeypatch.setattr("pytorch_lightning.callbacks.timer.time", watch)
    return clock


def _ticking(step, clock):
    def tick(self, batch, batch_idx=0):
        clock.time += 1
        return step(self, batch, batch_idx)

    return tick


@pytest.mark.parametrize(("overrides", "line"), ENDINGS.items(), ids=str)
def test_one_line_says_what_ended_a_run(overrides, line, tmp_path, capsys, seconds, monkeypatch):
    """And again where it is resumed, since the power failed after its last batch: it is tested, and
    trained no further."""
    arguments = (*overrides, "trainer.max_epochs=6")
    with monkeypatch.context() as patch:
        patch.setattr(AutoEncoder, "test_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            short_run(tmp_path, *arguments)
    assert said(capsys) == [line]
    last, before = tmp_path / "checkpoints/last.ckpt", saved(tmp_path)
    assert why_ended(before) == line
    with pytest.raises(InputError, match=rf"max_epochs=9: {re.escape(line)}; a longer"):
        refuse_extension(read_checkpoint(last), 9)

    trained, memory = seconds.time, Memory()
    short_run(tmp_path, *arguments, resume=True, extra_callbacks=[memory])
    assert said(capsys) == [line]
    assert memory.after == []
    assert_equal(memory.tested, before["state_dict"])
    metrics = metrics_of(tmp_path)
    assert metrics["train_seconds"] == trained  # with the epoch that was cut short
    assert metrics["images_per_second"] == 16
    run = load_run(tmp_path)
    x = run.data.val.x()
    error = ((run.model.reconstruct(x) - x) ** 2).mean().item()
    assert metrics["val/mse"] == pytest.approx(error, rel=1e-4)  # of the last weights


def said(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "ended training" in line]


def test_more_epochs_do_not_lengthen_such_a_run(tmp_path, no_figures):
    arguments = (*SHORT, "trainer.precision=32-true", "logger=none", *STOPPED, "objective=val/mse")
    printed = run_here("train.py", *arguments, "trainer.max_epochs=6", RUN, cwd=tmp_path)
    (line,) = (line for line in printed.splitlines() if "ended training" in line)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for epochs in (5, 6, 9):
        with pytest.raises(SystemExit) as ended:
            run_here("train.py", "resume=run", f"trainer.max_epochs={epochs}", cwd=tmp_path)
        assert ended.value.code == (
            f"error: trainer.max_epochs={epochs}: {line}; a longer max_epochs does not lengthen it;"
            " ckpt_path=run/checkpoints/last.ckpt starts a new run from its weights"
        )
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_of_all_its_epochs_says_nothing(tmp_path, capsys):
    """Though its steps were up with the last; a longer one would have ended there."""
    short_run(tmp_path, "model=ae", "+trainer.max_steps=6")
    assert said(capsys) == []
    with pytest.raises(
        InputError, match=r"max_steps=6 ended training after epoch 2 of 2; a longer"
    ):
        short_run(tmp_path, "model=ae", "+trainer.max_steps=6", "trainer.max_epochs=3", resume=True)


@pytest.mark.parametrize("epochs", [1, 2])
def test_steps_that_are_up_within_the_first_epoch(epochs, tmp_path, capsys):
    """Which may be the only one."""
    arguments = ("model=ae", "+trainer.max_steps=2", f"trainer.max_epochs={epochs}")
    returned = short_run(tmp_path, *arguments)
    where = f"within epoch 1 of {epochs}, after 2 of its 3 batches"
    assert said(capsys) == [f"trainer.max_steps=2 ended training {where}"]
    metrics = metrics_of(tmp_path)
    assert returned == metrics["val/mse"]
    assert (metrics["epochs"], metrics["train_seconds"]) == (1, 2)
    assert_equal(saved(tmp_path, "best")["state_dict"], saved(tmp_path)["state_dict"])


def test_time_that_is_up_before_the_first_batch(tmp_path):
    with pytest.raises(InputError, match=r"max_time\) ended training before its first batch"):
        short_run(tmp_path, "+trainer.max_time=00:00:00:00")
    assert not (tmp_path / "metrics.json").exists()


class Script(Callback):
    """Gives `val/script` a value in each epoch."""

    def __init__(self, values):
        self.values = values

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/script", self.values[trainer.current_epoch])


def train_on(values, ckpt_path=None, **options):
    """Train for as many epochs as there are values, three batches each, with a patience of 2."""
    stopping = EarlyStopping("val/script", patience=2)
    callbacks = [Script(values), stopping, RunRecord()]
    trainer = make_trainer(len(values), num_sanity_val_steps=0, callbacks=callbacks, **options)
    model = small(AE)
    trainer.fit(model, batches(n=3), batches(n=1), ckpt_path=ckpt_path, weights_only=True)
    return trainer


RECOVERS = [1, 2, 2, 2, 0.5, 0.4, 0.3, 0.2]


@pytest.mark.parametrize(
    ("values", "options", "epochs"),
    [
        (RECOVERS, {}, 3),
        (RECOVERS, {"min_epochs": 5}, 8),  # the fifth is the best
        (RECOVERS, {"min_epochs": 4}, 4),
        (RECOVERS, {"min_steps": 13}, 8),  # of the fifth epoch
        (RECOVERS, {"min_steps": 12}, 4),
        ([1, 2, 3, 4, 5, 6, 7], {"min_epochs": 6}, 6),
        ([1, 2, 3, 4, 5, 6, 7], {"min_epochs": 2, "min_steps": 16}, 6),
        ([3, 2, 1], {}, 3),
        ([1, 2, 0.5, 2, 2, 2], {}, 5),
    ],
)
def test_a_metric_that_recovers_in_time_trains_on(values, options, epochs):
    assert train_on(values, **options).current_epoch == epochs


@pytest.mark.parametrize("values", [[math.nan, 1, 1], [1, 2, 2, 2], [1, 2, 2]])
def test_a_stop_is_remembered_on_resume(values, tmp_path):
    """In the first epoch, in the third of four, and in the last."""
    trainer = train_on(values)
    ended = trainer.current_epoch
    assert ended == (1 if math.isnan(values[0]) else 3)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["callbacks"].pop("RunRecord")  # its own memory, and that of no other callback
    torch.save(content, tmp_path / "a.ckpt")
    resumed = train_on([*values, 0.1, 0.1], ckpt_path=tmp_path / "a.ckpt")
    assert resumed.current_epoch == ended


def test_a_first_epoch_that_is_no_number_is_the_reason():
    record = next(c for c in train_on([math.nan, 1, 1]).callbacks if isinstance(c, RunRecord))
    assert record.ended == "early stopping ended training after epoch 1 of 3: val/script is nan"


def test_a_metric_of_an_earlier_epoch_is_not_looked_at_again():
    """With validation after every second epoch, patience counts validations."""
    values = [9, 1, 9, 2, 9, 2, 9, 2]
    assert train_on(values, check_val_every_n_epoch=2).current_epoch == 6


def test_who_stops_without_a_reason_is_said_so():
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = True

    record = RunRecord()
    trainer = make_trainer(2, callbacks=[Stop(), record])
    trainer.fit(small(AE), batches(n=3))
    line = "the model or a callback ended training within epoch 1 of 2, after 1 of its 3 batches"
    assert record.ended == line


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("callbacks=early_stopping", "callbacks.early_stopping.monitor=val/mze"),
            r"callbacks\.early_stopping\.monitor=val/mze: no such metric; allowed: .*val/mse",
        ),
        (
            (LIGHTNINGS.replace("active_units", "mze"),),
            r"trainer\.callbacks: EarlyStopping\.monitor=val/mze: no such metric; .*val/mse",
        ),
        (
            (
                *("callbacks=early_stopping", "callbacks.early_stopping.monitor=val/mse"),
                *("dataset.val_size=0", "monitor=train/loss"),
            ),
            r"callbacks\.early_stopping\.monitor=val/mse: there is no validation with",
        ),
    ],
)
def test_a_mistyped_metric_costs_no_epoch(overrides, line, tmp_path, seconds):
    with pytest.raises(InputError, match=line):
        short_run(tmp_path, *overrides)
    assert seconds.time == 0


def test_timers_of_ones_own_are_time_limits(tmp_path, capsys):
    timer = "{_target_: pytorch_lightning.callbacks.Timer, duration: {seconds: 4}, interval: epoch}"
    short_run(tmp_path, f"+trainer.callbacks=[{timer}]", "trainer.max_epochs=6")
    assert said(capsys) == ["the time limit (trainer.max_time) ended training after epoch 2 of 6"]
