"""A run that overfits a few batches, from its command to the comparison that leaves it out."""

import pytest
from conftest import SHORT, run_here
from omegaconf import OmegaConf
from test_train import metrics_of

from autoencoders.runs.finished import newest_evaluated

RUN = "outputs/digits/ae/2026-01-01_00-00-00"
OVERFIT = (
    *SHORT,
    *("model=ae", "logger=none", "trainer.precision=32-true", f"hydra.run.dir={RUN}"),
    *("~trainer.limit_train_batches", "+trainer.overfit_batches=1"),
    *("evaluate=true", "evaluation.images=40"),
)


def test_a_batch_is_overfitted_evaluated_extended_and_left_out(tmp_path, no_figures, capsys):
    printed = run_here("train.py", *OVERFIT, cwd=tmp_path)
    assert "trainer.overfit_batches=1: trains on the same 1 of 82 batches\n" in printed
    folder = tmp_path / RUN
    assert OmegaConf.load(folder / ".hydra/config.yaml").trainer.overfit_batches == 1
    before = metrics_of(folder)
    assert before["images_per_second"] * before["train_seconds"] == pytest.approx(2 * 16)

    extension = ("trainer.max_epochs=12", f"resume={RUN}")
    assert "the same 1 of 82 batches\n" in run_here("train.py", *extension, cwd=tmp_path)
    after = metrics_of(folder)
    assert after["images_per_second"] * after["train_seconds"] == pytest.approx(12 * 16)
    assert after["train/loss"] < before["train/loss"]  # of 16 images, by heart

    assert newest_evaluated(folder.parent) is None
    assert "a part of its data alone (trainer.overfit_batches=1)" in capsys.readouterr().out
