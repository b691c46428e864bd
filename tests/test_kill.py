"""A run killed again and again, at random moments, and resumed each time.

`AUTOENCODERS_KILLS=30 pytest -n 0 -s tests/test_kill.py` kills it 30 times and prints the counts.
"""

import json
import os
import random
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, SHORT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from autoencoders.files import is_finished
from autoencoders.runs.state import mark
from autoencoders.training.checkpoint_files import read_checkpoint

KILLS = int(os.environ.get("AUTOENCODERS_KILLS", 3))
EPOCHS = 8 * KILLS
RUN = (
    *SHORT,
    f"trainer.max_epochs={EPOCHS}",
    "trainer.precision=32-true",
    "hydra.run.dir=run",
)


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_epochs(run):
    """How many epochs TensorBoard has the training loss of, which is written after each."""
    events = EventAccumulator(str(run))
    events.Reload()
    known = "train/loss" in events.Tags()["scalars"]
    return events.Scalars("train/loss")[-1].step + 1 if known else 0


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    starts = time.monotonic()
    process = start(undisturbed, *RUN)
    while process.poll() is None and not (undisturbed / "run/checkpoints/last.ckpt").exists():
        time.sleep(0.01)
    trains = time.monotonic()
    assert process.wait(600) == 0
    # A kill comes at any moment of a start and of three of the run's KILLS parts: while it imports,
    # trains or writes.
    longest = trains - starts + 3 * (time.monotonic() - trains) / KILLS

    chance = random.Random(0)
    run = tmp_path / "run"
    counts = {"starting": 0, "training": 0, "ending": 0}
    kills = epochs = 0
    while True:
        begun = (run / ".hydra/config.yaml").exists()  # the last that is written there
        if not begun and run.exists():  # nothing to resume: begin again, elsewhere
            run.rename(tmp_path / f"nothing-{kills}")
        process = start(tmp_path, *(["resume=run"] if begun else RUN))
        deadline = time.monotonic() + chance.uniform(0, longest)
        while process.poll() is None and (kills >= KILLS or time.monotonic() < deadline):
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            if kills >= KILLS:
                break
            mark(run, finished=False)  # finished before its time: let it resume its end
            continue
        process.kill()
        process.wait(60)
        kills += 1
        # Readable where there is one, and never behind what was saved.
        now = (
            read_checkpoint(last).epochs if (last := run / "checkpoints/last.ckpt").exists() else 0
        )
        assert now >= max(epochs, finished_epochs(run))
        moment = "ending" if now == EPOCHS else "training" if now > epochs else "starting"
        counts[moment] += 1
        epochs = now
        if (run / "metrics.json").exists():
            json.loads((run / "metrics.json").read_text())
        if is_finished(run):
            mark(run, finished=False)

    print(f"{kills} kills: {counts}")
    ours, theirs = (
        read_checkpoint(folder / "checkpoints/last.ckpt") for folder in (run, undisturbed / "run")
    )
    assert ours["epoch"] + 1 == EPOCHS
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    metrics, expected = (
        json.loads((folder / "metrics.json").read_text()) for folder in (run, undisturbed / "run")
    )
    for name in expected:
        if name.startswith(("test/", "val/", "train/")):
            assert metrics[name] == expected[name], name
