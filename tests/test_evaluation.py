"""What an evaluation finds, leaves and repeats."""

import json
import math

import pytest
import torch
from conftest import SHORT, compose_train, run_script
from pydantic import ValidationError

from autoencoders.data import Digits
from autoencoders.errors import InputError
from autoencoders.evaluation import (
    Settings,
    decode,
    encode,
    evaluate,
    first_of_each_class,
    judge_images,
)
from autoencoders.metrics.features import load_extractor
from autoencoders.models import VAE, WAEGAN
from autoencoders.models.base import inference
from autoencoders.runs import load_run
from train import train


@pytest.fixture(scope="module")
def digits():
    data = Digits(val_size=200)
    data.setup()
    return data


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A finished run of `python train.py`, evaluated at its end."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    done = run_script(
        "train.py", *SHORT, "evaluate=true", f"hydra.run.dir={folder}", cwd=folder.parent
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_an_evaluation_repeats_for_a_seed(digits):
    torch.manual_seed(0)
    model = VAE(latent_dim=3, hidden_dim=4).eval()
    first, again, other = (
        evaluate(model, digits, Settings(images=60, seed=seed)).metrics for seed in (1, 1, 2)
    )
    for metrics in (first, again, other):
        del metrics["evaluation_seconds"]
    assert first == again
    assert first != other


def test_everything_is_measured(digits):
    model = WAEGAN(latent_dim=3, hidden_dim=4).eval()
    found = evaluate(model, digits, Settings(images=100))
    for kind in ("floor", "reconstruction", "prior", "mixture"):
        for measure in (
            *("fd_cnn", "kernel_distance", "precision", "recall", "density", "coverage"),
            *("class_entropy", "rarest_class"),
        ):
            assert math.isfinite(found.metrics[f"{kind}/{measure}"])
    for name in ("mmd", "sliced_wasserstein", "frechet"):
        assert {f"latent/{name}", f"latent/{name}_floor"} < found.metrics.keys()
    assert {"latent/knn_accuracy", "latent/probe_accuracy"} < found.metrics.keys()
    assert set(found.class_shares) == {"real images", "prior", "mixture"}
    for share in found.class_shares.values():
        assert share.sum().item() == pytest.approx(1)
    assert found.metrics["floor/fd_cnn"] < found.metrics["prior/fd_cnn"]
    samples, neighbours = found.closest
    assert samples.shape == neighbours.shape == (10, 1, 28, 28)


def test_the_floor_is_training_images(digits):
    """The whole training set against the test set, done by hand."""
    settings = Settings(images=297)
    found = evaluate(WAEGAN(latent_dim=3, hidden_dim=4).eval(), digits, settings).metrics
    chosen = torch.randperm(1300, generator=torch.Generator().manual_seed(0))[:297]
    images = {"floor": digits.train.images[chosen]}
    expected, _ = judge_images(images, digits.test.images, load_extractor("digits"), 5)
    assert expected.items() <= found.items()


def test_codes_and_images_do_not_depend_on_the_batch(digits, monkeypatch):
    torch.manual_seed(0)
    model = WAEGAN(latent_dim=3, hidden_dim=4).eval()
    images = digits.test.images[:50]
    whole = encode(model, images)
    monkeypatch.setattr("autoencoders.evaluation.BATCH", 7)
    torch.testing.assert_close(encode(model, images).mean, whole.mean)
    decoded = decode(model, whole.mean)
    assert decoded.dtype == torch.uint8
    with inference(model):
        reference = 255 * model.reconstruct(images / 255)
    assert (decoded.float() - reference).abs().max() <= 0.51


def test_a_vaes_draws_are_not_its_means(digits):
    torch.manual_seed(0)
    codes = encode(VAE(latent_dim=3, hidden_dim=4).eval(), digits.test.images[:20])
    assert not torch.allclose(codes.mean, codes.z)


def test_what_training_leaves(evaluated):
    folder, printed = evaluated
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["prior/fd_cnn"] > metrics["floor/fd_cnn"] > 0
    assert all(isinstance(value, int | float) for value in metrics.values())
    for name in ("samples_mixture", "nearest_training_images", "class_shares"):
        assert (folder / f"figures/{name}.png").stat().st_size > 5000
    conditions = json.loads((folder / "evaluation.json").read_text())
    assert (conditions["dataset"], conditions["images"]) == ("digits", 297)
    assert "FD-CNN" in printed


def test_evaluate_py_finds_the_same_again_and_mends_a_damaged_file(evaluated):
    folder, _ = evaluated
    before = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text('{"test/mse": NaN')
    done = run_script("evaluate.py", f"run={folder}", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    after = json.loads((folder / "metrics.json").read_text())
    assert after.keys() == before.keys()
    for name in before.keys() - {"evaluation_seconds"}:
        assert after[name] == pytest.approx(before[name], rel=1e-5, abs=1e-7), name
    assert sorted(path.name for path in folder.parent.iterdir()) == ["run"]  # no litter


def test_another_checkpoint_gets_a_folder_of_its_own(evaluated):
    folder, _ = evaluated
    before = (folder / "metrics.json").read_text()
    best = folder / "checkpoints/best.ckpt"
    done = run_script("evaluate.py", f"ckpt_path={best}", "evaluation.images=50", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert (folder / "metrics.json").read_text() == before
    metrics = json.loads((folder / "best/metrics.json").read_text())
    assert metrics["epochs"] == load_run(folder, "best").epochs
    assert json.loads((folder / "best/evaluation.json").read_text())["images"] == 50


def test_a_missing_extractor_is_noticed_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "extractor", "")
    with pytest.raises(InputError, match="no extractor ships"):
        train(compose_train(*SHORT, "evaluate=true"), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError):
        Settings(pictures=3)


def test_one_latent_dimension_is_enough(digits):
    found = evaluate(VAE(latent_dim=1, hidden_dim=2).eval(), digits, Settings(images=40))
    assert math.isfinite(found.metrics["latent/frechet"])
    assert math.isfinite(found.metrics["mixture/fd_cnn"])


def test_the_first_of_each_class_by_brute_force():
    torch.manual_seed(0)
    order, labels = torch.randperm(60), torch.randint(4, (60,))
    expected, before = [], {}
    for index in order.tolist():
        label = labels[index].item()
        expected.append((before.setdefault(label, 0), len(expected), index))
        before[label] += 1
    ten = [index for _, _, index in sorted(expected)[:10]]
    found = first_of_each_class(order, labels, 10)
    assert sorted(found.tolist()) == sorted(ten)
    assert labels[found].tolist() == sorted(labels[found].tolist())
    assert {labels[index].item() for index in ten} == {0, 1, 2, 3}
