"""What a terminal shows while a model trains."""

import io
import itertools
import re
import sys

import pytest
import pytorch_lightning as pl
import torch
from conftest import build, choices, compose_train
from rich.console import Console
from torch.utils.data import DataLoader, IterableDataset

from autoencoders.training import ProgressBar

CONTROL = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")


@pytest.fixture
def terminal(monkeypatch):
    """Trains a model in a terminal of that width; returns the lines that it drew."""

    def draw(model, data, width=80, stage="fit", callbacks=(), **options):
        screen = io.StringIO()
        bar = ProgressBar(Console(file=screen, force_terminal=True, width=width))
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            limit_val_batches=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[bar, *callbacks],
            **{"limit_train_batches": 2, **options},
        )
        getattr(trainer, stage)(model, data)
        assert bar.screen is None
        text = CONTROL.sub("", screen.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # or there are plain lines instead
    monkeypatch.setattr("autoencoders.training.progress.PAUSE", 0)
    return draw


def small(model="wae"):
    return build(compose_train(f"model={model}", "network.hidden_dim=2", "dataset.batch_size=16"))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("model", choices("model"))
def test_all_terms_are_shown_by_their_whole_names(model, width, terminal):
    data, model = small(model)
    lines = terminal(model, data, width)
    assert max(map(len, lines)) <= width
    *_, last = (i for i, line in enumerate(lines) if line.startswith("Epoch 2/2"))
    assert re.search(r" 2/2 +[\d.,]+ it/s 0:00:00 left$", lines[last])
    below = " ".join(lines[last + 1 :])
    shown = re.findall(r"(\S+) (-?\d\S*)", below)
    assert [name for name, _ in shown] == [*model.train_losses.names, "val/mse"]
    assert len(lines[last + 1 :]) <= (1 if len(shown) < 5 else 3)


def test_the_time_left_is_the_whole_trainings(terminal):
    class Look(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            if screen := trainer.progress_bar_callback.screen:
                (task,) = screen.tasks
                states.append((task.completed, task.total, task.time_remaining))

    states = []
    data, model = small()
    terminal(model, data, callbacks=[Look()])
    assert [state[:2] for state in states] == [(2, 4), (4, 4)]
    assert states[0][2] > 0
    assert states[1][2] == 0


def test_the_lines_stay_where_they_are_when_an_epoch_begins(terminal):
    data, model = small("ae")
    lines = terminal(model, data)
    below = [after.split()[0] for line, after in itertools.pairwise(lines) if "Epoch 2/2" in line]
    assert set(below) == {"loss"}


def test_what_a_model_prints_stands_above(terminal):
    """Lightning asks the bar whether it is on."""

    class Talk(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.print("the model says")

    data, model = small("ae")
    lines = terminal(model, data, callbacks=[Talk()])
    assert sum(line.startswith("the model says") for line in lines) == 2


def test_a_test_is_counted_too(terminal):
    data, model = small()
    lines = terminal(model, data, stage="test", limit_test_batches=3)
    assert re.match(r"Test .* 3/3 ", lines[-1])


def test_a_stream_has_no_end_that_is_known(terminal):
    class Stream(IterableDataset):
        def __iter__(self):
            yield from ((torch.rand(1, 28, 28), 0) for _ in range(8))

    _, model = small("ae")
    lines = terminal(model, DataLoader(Stream(), 4), limit_train_batches=None)
    line = next(line for line in reversed(lines) if line.startswith("Epoch 2/2"))
    assert " 2 " in line
    assert "left" not in line


def test_a_log_has_a_line_for_each_epoch(capsys):
    data, model = small("ae")
    options = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, accelerator="cpu", callbacks=[ProgressBar()], **options
    )
    trainer.fit(model, data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch")]
    number = r"\d+\.?\d*"
    expected = rf"Epoch \d/2: loss {number}, reconstruction {number}, val/mse {number}"
    assert len(lines) == 2
    assert all(re.fullmatch(expected, line) for line in lines)


def test_nothing_private_of_lightnings_is_overridden():
    own = vars(ProgressBar)
    assert [name for name in own if name.startswith("_") and not name.endswith("__")] == []
