"""What a terminal shows while a model trains."""

import io
import re
import sys

import pytest
import pytorch_lightning as pl
import rich
from conftest import build, choices, compose_train

from autoencoders.training import ProgressBar
from autoencoders.training.progress import fitted

CONTROL = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")


@pytest.mark.parametrize("model", choices("model"))
def test_the_bar_is_one_line_of_80_columns(model, monkeypatch):
    cfg = compose_train(f"model={model}", "network.hidden_dim=2", "dataset.batch_size=16")
    data, model = build(cfg)
    screen = io.StringIO()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # or there are plain lines instead
    bar = ProgressBar({"file": screen, "force_terminal": True, "width": 80})
    monkeypatch.setattr("autoencoders.training.progress.PAUSE", 0)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        limit_train_batches=2,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[bar],
    )
    bar._get_train_description = lambda epoch: "Epoch 100/300"  # a long run's
    try:
        trainer.fit(model, data)
    finally:
        rich.reconfigure()
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", CONTROL.sub("", screen.getvalue()))]
    drawn = [line for line in lines if line]
    assert {line.split()[0] for line in drawn} <= {"Sanity", "Validation", "Epoch"}
    assert max(map(len, drawn)) <= 80
    *_, last = (line for line in drawn if line.startswith("Epoch"))
    assert re.search(r" loss \S+ val/mse \S+ recon\S* \d\S*", last)
    assert "…" not in last


def test_what_fits_into_a_line():
    terms = {"loss": 512.34, "reconstruction": 505.4, "discriminator_loss": 1.2, "val/mse": 0.0185}
    first = "loss 512.3 val/mse 0.0185 "
    assert fitted(terms, 80) == first + "reconstruction 505.4 discriminator_loss 1.2"
    assert fitted(terms, 60) == first + "recon 505.4 discr_loss 1.2"
    assert fitted(terms, 40) == first + "recon 505.4"
    assert fitted(terms, 5) == ""
