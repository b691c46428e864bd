"""Models on data sets, and colour images in the real commands.

`AUTOENCODERS_PAIRS=1 pytest tests/test_models_on_data.py` trains every model on every data set.
"""

import json
import os

import pytest
import torch
from conftest import JOB_NUMBER, build, choices, compose_train, run_script, small_data, write_data
from small import make_trainer

from autoencoders.runs import load_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


ALL_PAIRS = os.environ.get("AUTOENCODERS_PAIRS") == "1"


def models_on(dataset):
    """Two models for each data set, in turn, so that each model has its turn; or all."""
    models = choices("model")
    first = 2 * choices("dataset").index(dataset)
    return models if ALL_PAIRS else [models[(first + i) % len(models)] for i in range(2)]


def test_every_model_has_its_turn():
    assert {name for dataset in choices("dataset") for name in models_on(dataset)} == {
        *choices("model")
    }


@pytest.mark.parametrize("dataset", choices("dataset"))
def test_every_model_trains(dataset, folder):
    overrides = ("network.hidden_dim=2", "model.latent_dim=3", "dataset.batch_size=8")
    data = None
    for name in models_on(dataset):
        cfg = compose_train(*small_data(dataset, folder), f"model={name}", *overrides)
        cfg.dataset.val_size = 8
        torch.manual_seed(0)
        built, model = build(cfg)
        data = data or built
        before = [parameter.clone() for parameter in model.parameters()]
        trainer = make_trainer(limit_train_batches=2, limit_val_batches=1)
        trainer.fit(model, data)
        assert trainer.callback_metrics["val/mse"].isfinite(), name
        pairs = zip(before, model.parameters(), strict=True)
        assert any((a != b).any() for a, b in pairs), name
        x = model.sample(2)
        assert x.shape == (2, *data.shape), name
        assert x.isfinite().all(), name
        assert model.latent_dim == 3, name


@pytest.mark.slow  # four commands
@pytest.mark.parametrize("dataset", ["avatars", "folder"])
def test_the_commands_on_colour_images(dataset, folder, tmp_path):
    short = (*small_data(dataset, folder), "network.hidden_dim=2", "dataset.val_size=8")
    short = (*short, "evaluation.images=20", "evaluation.neighbours=2", "trainer.max_epochs=1")
    if dataset == "avatars":
        short = (*short, "dataset.images=300")
    done = run_script(
        "train.py", "-m", "model=ae,vae", *short, "hydra.sweep.dir=sweep", JOB_NUMBER, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "sweep/0/metrics.json").read_text())
    assert {"prior/fd_pca", "floor/fd_pca", "mixture/recall", "held_out/nearest_train"} <= {
        *metrics
    }
    assert ("latent/probe_accuracy_hair" in metrics) == (dataset == "avatars")
    figures = {file.stem for file in (tmp_path / "sweep/0/figures").iterdir()}
    assert {"reconstructions", "samples_prior", "nearest_training_images"} <= figures
    assert list((tmp_path / "sweep/0").glob("*/*/sprite.png"))  # the projector's thumbnails

    done = run_script(*("compare.py", "multirun=sweep", "points=20", "folder=table"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "table/index.html").read_text()
    for part in ("FD-PCA", "interpolations", "embeddings"):
        assert part in page
    assert ("linear probe, hair" in page) == (dataset == "avatars")

    again = run_script(
        *("evaluate.py", "run=sweep/1", "evaluation.images=20", "evaluation.neighbours=2"),
        cwd=tmp_path,
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "sweep/1/evaluation.json").read_text())["images"] == 20

    run = load_run(tmp_path / "sweep/1")
    x = run.data.test.x(3)
    assert x.shape == (3, 3, 64, 64)
    assert run.model.reconstruct(x).shape == run.model.sample(3).shape == x.shape
