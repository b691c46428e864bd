"""What a tested model leaves: numbers first, whatever fails after them."""

import json

import pytest
import torch
from matplotlib.colors import to_rgb
from test_train import short_run

import autoencoders.data
import autoencoders.models
from autoencoders.data import DataModule, Digits, Examples
from autoencoders.distributions import NormalPrior
from autoencoders.errors import InputError
from autoencoders.evaluation.choosing import stream
from autoencoders.features.pca import PCA
from autoencoders.figures.style import PALETTE
from autoencoders.files import is_finished
from autoencoders.metrics import distances
from autoencoders.models import AE
from autoencoders.runs import finish, load_run
from autoencoders.runs.finish import thumbnails


def test_grey_thumbnails_are_drawn_in_their_class_s_colour():
    values = torch.zeros(3, 1, 2, 2)
    values[:, :, 0, 0] = 1
    images = thumbnails(values, torch.tensor([0, 8, 11]), classes=True)
    for image, colour in zip(images, (PALETTE[0], PALETTE[8], PALETTE[1]), strict=True):
        assert image[:, 0, 0].tolist() == pytest.approx(to_rgb(colour))
        assert torch.equal(image[:, 1, 1], torch.ones(3))  # white
    labels = torch.zeros(3, dtype=torch.long)
    coloured = torch.rand(3, 3, 2, 2)
    assert torch.equal(thumbnails(coloured, labels, classes=True), coloured)
    assert torch.equal(thumbnails(values, labels, classes=False), values)


class Strict(AE):
    """A decoder that wants what nobody gives it."""

    label = "Strict"

    def decode(self, z, labels=None, *, mood):
        return super().decode(z)


class FloatDigits(Digits):
    """Images that no pixels hold."""

    bounded = False

    def load(self):
        parts = super().load()
        return tuple(Examples(8 * part.x() - 4, part.labels) for part in parts)


class Shifted:
    """A prior of one's own: N(3, I)."""

    latent_dim = 3
    scale = 1.0

    def draw(self, n, generator=None, device=None):
        return 3 + NormalPrior(3).draw(n, generator, device)

    def log_prob(self, z):
        return NormalPrior(3).log_prob(z - 3)

    def frozen(self):
        return self


class OwnPrior(AE):
    label = "Own prior"

    def __init__(self, **common):
        super().__init__(**common)
        self.prior = Shifted()


EVALUATED = ("model=ae", "evaluate=true", "evaluation.images=40")


@pytest.fixture
def own_run(tmp_path, monkeypatch):
    """Trains a class of the test's own in the place of AE; returns the run's folder."""

    def run(model_class, *overrides, figures=True):
        monkeypatch.setattr(autoencoders.models, "Own", model_class, raising=False)
        target = "model._target_=autoencoders.models.Own"
        short_run(tmp_path / "run", *EVALUATED, target, *overrides, figures=figures)
        return tmp_path / "run"

    return run


def statuses(folder):
    return json.loads((folder / "evaluation.json").read_text())["figures"]


def test_a_figure_that_fails_is_a_line(own_run, capsys, monkeypatch):
    def fail(*_):
        raise RuntimeError("no paper")

    monkeypatch.setattr("autoencoders.evaluation.exhibits.network_diagram", fail)
    folder = own_run(AE)
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if line.startswith("not drawn: ")]) == 1
    figures = statuses(folder)
    assert figures.pop("networks").startswith("RuntimeError: ")
    assert set(figures.values()) == {"drawn"}
    assert {path.stem for path in (folder / "figures").iterdir()} == figures.keys()
    assert is_finished(folder)
    assert {"test/mse", "prior/fd_cnn"} < load_run_metrics(folder).keys()
    (trace,) = folder.glob("evaluations/*/errors.txt")
    assert "Traceback" in trace.read_text()


def load_run_metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_what_cannot_be_decoded_is_left_out(own_run, capsys):
    folder = own_run(Strict)
    metrics = load_run_metrics(folder)
    assert {"test/mse", "latent/knn_accuracy", "latent/mmd", "floor/fd_cnn"} < metrics.keys()
    assert not any(name.startswith(("prior/", "reconstruction/")) for name in metrics)
    record = json.loads((folder / "evaluation.json").read_text())
    (line,) = record["left_out"]
    assert line.startswith("prior, mixture, reconstruction: all: TypeError: ")
    printed = capsys.readouterr().out
    assert f"not measured: {line}" in printed
    assert printed.count("no images are shown while it trains: TypeError: ") == 1
    assert is_finished(folder)
    assert statuses(folder)["latent_space"] == "drawn"


def test_class_names_that_are_no_text(own_run, monkeypatch, capsys):
    names = ("\udcff", *map(str, range(1, 10)))
    monkeypatch.setattr(Digits, "class_names", names)
    folder = own_run(AE, "logger=tensorboard")
    assert is_finished(folder)
    failed = {name for name, status in statuses(folder).items() if status != "drawn"}
    assert failed
    assert "reconstructions" not in failed
    printed = capsys.readouterr().out
    for name in (*failed, "TensorBoard's projector"):
        assert f"not drawn: {name}: " in printed


def test_an_evaluation_that_fails_costs_no_number(own_run, monkeypatch, tmp_path):
    def fail(*_):
        raise ZeroDivisionError("by hand")

    with monkeypatch.context() as patch:
        patch.setattr(finish, "evaluate", fail)
        with pytest.raises(InputError, match=r"not evaluated: ZeroDivisionError: by hand; .* has"):
            own_run(AE, figures=False)
    assert is_finished(tmp_path / "run")
    metrics = load_run_metrics(tmp_path / "run")
    assert "test/mse" in metrics
    assert "prior/fd_cnn" not in metrics
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["samplers"] is None


def test_a_prior_of_ones_own_is_asked_for_its_density(own_run, capsys):
    folder = own_run(OwnPrior, "sampler=[prior,mixture]", figures=False)
    metrics, run = load_run_metrics(folder), load_run(folder)
    with torch.no_grad():
        z = run.model.encode(run.data.test.x()[chosen_for(40, run.data)])
    normal = torch.distributions.Normal(3.0, 1.0)
    expected = normal.log_prob(z.double()).sum(1).mean().item()
    assert metrics["prior/log_likelihood"] == pytest.approx(expected, rel=1e-5)
    bound = metrics["mixture/log_likelihood"] - expected
    assert metrics["latent/kl"] == pytest.approx(max(bound, 0), rel=1e-4)
    assert "samplers/prior.safetensors: a prior of the class Shifted" in capsys.readouterr().out
    assert [path.stem for path in (folder / "samplers").iterdir()] == ["mixture"]


def chosen_for(n, data):
    """Which test examples an evaluation of n takes."""
    return torch.randperm(len(data.test), generator=stream(0, "real"))[:n].sort().values


def test_images_that_no_pixels_hold_are_compared_as_they_are(own_run, monkeypatch):
    """Nothing is rounded to bytes, which would wrap what is above 1 or below 0."""
    monkeypatch.setattr(autoencoders.data, "Digits", FloatDigits)
    folder = own_run(AE, "model.cost=mse", "evaluation.features=pca")
    metrics, run = load_run_metrics(folder), load_run(folder)
    real = run.data.test.x()[chosen_for(40, run.data)]
    assert real.min() < -1
    pca = PCA().fit(run.data.reference.values)
    features = [pca.extract(x).values for x in (real, run.model.reconstruct(real))]
    expected = distances.frechet_distance(*features)
    assert metrics["reconstruction/fd_pca"] == pytest.approx(expected, rel=1e-4)
    assert set(statuses(folder).values()) == {"drawn"}


def test_the_test_set_stays_unseen(own_run, monkeypatch):
    """With evaluation.split=val nothing looks at it: neither a metric nor a figure."""
    monkeypatch.setattr(DataModule, "test_dataloader", None)
    load = Digits.load

    def without_test(self):
        everything, test = load(self)
        return everything, Examples(test.values[:0], test.labels[:0])

    monkeypatch.setattr(Digits, "load", without_test)
    folder = own_run(AE, "evaluation.split=val", "objective=val/mse")
    assert set(statuses(folder).values()) == {"drawn"}
    metrics = load_run_metrics(folder)
    assert not any(name.startswith("test/") for name in metrics)
    assert {"val/mse", "val/z_std", "prior/fd_cnn"} < metrics.keys()
