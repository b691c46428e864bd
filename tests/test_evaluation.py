"""What an evaluation finds, leaves and repeats."""

import itertools
import json
import math

import pytest
import torch
from conftest import SHORT, compose_train, run_script
from pydantic import ValidationError
from test_train import short_run

from autoencoders.data import Digits
from autoencoders.errors import InputError
from autoencoders.evaluation import (
    USES,
    Codes,
    Settings,
    decode,
    encode,
    evaluate,
    first_of_each_class,
    judge_images,
    judged_on,
    stream,
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
    """And of nearest_train, test images. Done by hand."""
    settings = Settings(images=297)
    found = evaluate(WAEGAN(latent_dim=3, hidden_dim=4).eval(), digits, settings).metrics
    chosen = torch.randperm(1300, generator=stream(0, "floor"))[:297]
    images = {"floor": digits.train.images[chosen]}
    expected, _ = judge_images(images, digits.test.images, load_extractor("digits"), 5)
    assert expected.items() <= found.items()
    assert "floor/nearest_train" not in found
    test, train = (part.images.flatten(1).double() / 255 for part in (digits.test, digits.train))
    distances = torch.cdist(test, train).min(1).values / 28
    assert found["held_out/nearest_train"] == pytest.approx(distances.mean().item(), rel=1e-4)


def test_no_two_uses_share_random_numbers(digits, monkeypatch):
    numbers = {}

    def keep(name, draw):
        def kept(*arguments):
            numbers[f"{name} {len(numbers)}"] = found = draw(*arguments)
            return found

        return kept

    model = VAE(latent_dim=3, hidden_dim=2).eval()
    # A posterior that is N(0, I) whatever the image: its draws are the numbers themselves.
    torch.nn.init.zeros_(model.encoder.head.weight)
    torch.nn.init.zeros_(model.encoder.head.bias)
    posterior = keep("posterior", lambda images: encode(model, images).z)
    monkeypatch.setattr(
        "autoencoders.evaluation.encode", lambda _, images: Codes(images, posterior(images))
    )
    monkeypatch.setattr(model, "sample_prior", keep("prior", model.sample_prior))
    monkeypatch.setattr("autoencoders.evaluation.latents.readability", lambda *_: {})
    monkeypatch.setattr(
        "autoencoders.evaluation.decode", lambda _, codes: digits.test.images[: len(codes)]
    )
    evaluate(model, digits, Settings(images=200))
    assert len(numbers) == 6  # training and test codes, samples, three draws for the distances
    numbers |= {f"stream {use}": torch.randn(200, 3, generator=stream(0, use)) for use in USES[:4]}
    for (name, some), (other, others) in itertools.combinations(numbers.items(), 2):
        if f"{name}{other}".count("stream") == 1:
            continue
        shared = len(set(some.flatten().tolist()) & set(others.flatten().tolist()))
        assert shared <= 3, (name, other)  # of 24 bits, some meet by chance


def test_some_images_are_drawn_by_the_seed(digits):
    first, again, other, everything = (
        judged_on(digits, Settings(images=n, seed=seed)).images
        for n, seed in ((100, 0), (100, 0), (100, 1), (10_000, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, digits.test.images[:100])
    assert torch.equal(everything, digits.test.images)
    bytes_of = [image.numpy().tobytes() for image in digits.test.images]
    places = [bytes_of.index(image.numpy().tobytes()) for image in first]
    assert places == sorted(places)
    assert len(set(places)) == 100
    assert max(places) > 250


OVERLAP = {"precision", "recall", "density", "coverage"}
DISTANCES = {"fd_cnn", "kernel_distance", "mmd", "sliced_wasserstein", "frechet"}


@pytest.mark.parametrize(
    ("train_classes", "test_images", "missing", "lines"),
    [
        (10, 5, OVERLAP, ["precision, recall, density, coverage: evaluation.neighbours=5"]),
        (
            10,
            1,
            OVERLAP | DISTANCES,
            ["precision, recall", "distances of images and of codes: there is one image alone"],
        ),
        (1, 8, {"probe_accuracy"}, ["latent/probe_accuracy: the training images are of one class"]),
        (2, 8, set(), []),
    ],
)
def test_what_few_images_or_classes_allow_is_measured(
    train_classes, test_images, missing, lines, tmp_path, monkeypatch, capsys
):
    """Test images of one class, in a whole run."""
    everything, test = Digits().load()
    some = everything.subset(everything.labels.lt(train_classes).nonzero()[:, 0][:150])
    test = test.subset(test.labels.eq(0).nonzero()[:, 0][:test_images])
    monkeypatch.setattr(Digits, "load", lambda self: (some, test))
    short_run(tmp_path, "model=vae", "evaluate=true", "dataset.val_size=20")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    printed = [line for line in capsys.readouterr().out.splitlines() if "not measured: " in line]
    assert len(printed) == len(lines)
    for line, words in zip(printed, lines, strict=True):
        assert line.startswith(f"not measured: {words}")
    found = {name.rpartition("/")[2] for name in metrics}
    possible = OVERLAP | DISTANCES | {"probe_accuracy", "knn_accuracy", "nearest_train"}
    assert possible - found == missing
    assert json.loads((tmp_path / "evaluation.json").read_text())["images"] == test_images


def test_metrics_that_are_infinite_are_left_out(tmp_path, capsys):
    short_run(tmp_path, "model=ae", "model.prior_std=1e30", "evaluate=true")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert all(map(math.isfinite, metrics.values()))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "NaN or infinite" in line]
    assert "latent/mmd" in line
    assert "latent/mmd" not in metrics
    assert metrics["test/mse"] > 0


def test_codes_that_are_infinite_end_an_evaluation_with_one_line(digits):
    model = WAEGAN(latent_dim=3, hidden_dim=4).eval()
    torch.nn.init.constant_(model.encoder.head.bias, math.inf)
    with pytest.raises(InputError, match="codes are NaN or infinite: training has diverged"):
        evaluate(model, digits, Settings(images=40))


def test_the_components_that_were_fitted_are_recorded(tmp_path, monkeypatch):
    everything, test = Digits().load()
    some = everything.subset(torch.arange(30))
    monkeypatch.setattr(Digits, "load", lambda self: (some, test))
    asked = ("evaluate=true", "evaluation.components=20", "dataset.val_size=18")
    short_run(tmp_path, "model=ae", *asked)
    conditions = json.loads((tmp_path / "evaluation.json").read_text())
    assert conditions["components"] == 12  # as many as there are training images
    modes = {(tmp_path / name).stat().st_mode for name in ("metrics.json", "mixture.safetensors")}
    assert len(modes) == 1


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
