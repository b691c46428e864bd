"""What an evaluation finds, leaves and repeats."""

import importlib
import itertools
import json
import math

import independent
import numpy as np
import pytest
import torch
from conftest import SHORT, compose_evaluate, compose_train, run_here
from independent import assert_numbers
from pydantic import ValidationError
from scipy.spatial.distance import cdist
from scipy.stats import norm
from small import small
from test_train import short_run

from autoencoders.comparison import Comparison, FinishedRun, exhibits
from autoencoders.data import DataModule, Digits, Examples
from autoencoders.errors import InputError
from autoencoders.evaluation import (
    Settings,
    check,
    coding,
    evaluate,
    measurements,
    of_evaluation,
    of_model,
    vectors,
)
from autoencoders.evaluation.catalogue import columns
from autoencoders.evaluation.choosing import choose, first_of_each_class, stream
from autoencoders.evaluation.coding import decode, encode
from autoencoders.evaluation.evaluate import TRAIN_PER_TEST
from autoencoders.evaluation.exhibits import EXHIBITS, between, pairs
from autoencoders.evaluation.settings import FLOOR, HELD_OUT, RECONSTRUCTION
from autoencoders.features import EXTRACTORS, PCA, FeatureCNN
from autoencoders.launch.evaluation import evaluation_of, evaluation_settings
from autoencoders.metrics import latents
from autoencoders.models import AE, VAE, WAEGAN
from autoencoders.models.inference import inference
from autoencoders.networks import MLP
from autoencoders.runs import load_run
from autoencoders.samplers import ClassMixture, Mixture, Prior
from train import train

KINDS = (AE, VAE, WAEGAN)  # those that differ for an evaluation: codes, posteriors, a third network
# The package's `evaluate` is the function in this module.
module = importlib.import_module("autoencoders.evaluation.evaluate")


def samplers():
    """Those of the config, by name."""
    return evaluation_settings(compose_evaluate())[1]


def measured(names, extractor, labelled=True):
    """The keys, and those of their floors, that an evaluation with these samplers may give."""
    others = {kind.distance.key for kind in EXTRACTORS} - {extractor.distance.key}
    found = [c for c in columns(names) if c.section != "Training" and c.key[:5] != "test/"]
    found = [c for c in found if c.key.rpartition("/")[2] not in others]
    if not labelled:
        labels = {q.key for metric in latents.LABEL_METRICS for q in metric.quantities}
        found = [c for c in found if c.key.removeprefix("latent/") not in labels]
    return {c.key for c in found} | {c.floor for c in found if c.floor} | {"evaluation_seconds"}


class Vectors(DataModule):
    """Unbounded vectors of two clusters, with or without labels."""

    label = "vectors"
    shape = (6,)
    kind = "vector"
    bounded = False

    def load(self):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(260) % 2
        values = torch.randn(260, 6, generator=generator) + 5 * labels[:, None]
        everything = Examples(values, labels if self.class_names else None)
        return everything.subset(torch.arange(200)), everything.subset(torch.arange(200, 260))


class LabelledVectors(Vectors):
    class_names = ("left", "right")


class VectorsOfTwoFactors(Vectors):
    """The cluster is one factor, chance the other."""

    factor_names = ("cluster", "chance")

    def load(self):
        chance = torch.randint(3, (260,), generator=torch.Generator().manual_seed(1))
        parts, rows = super().load(), (slice(200), slice(200, 260))
        factors = [torch.stack([torch.arange(260) % 2, chance], 1)[part] for part in rows]
        return tuple(Examples(p.values, p.labels, f) for p, f in zip(parts, factors, strict=True))


def prepared(data):
    data.setup()
    return data


@pytest.fixture(scope="module")
def digits():
    return prepared(Digits(val_size=200))


@pytest.mark.parametrize("kind", KINDS)
def test_everything_in_the_catalogue_is_measured(kind, digits):
    torch.manual_seed(0)
    model = small(kind).eval()
    found = evaluate(model, digits, Settings(images=100), samplers())
    assert found.metrics.keys() == measured(samplers(), FeatureCNN)
    assert found.left_out == []
    assert all(map(math.isfinite, found.metrics.values()))
    assert list(found.generated) == list(found.samplers) == list(samplers())
    assert set(found.class_shares) == {"real images", *samplers()}
    for share in found.class_shares.values():
        assert share.sum().item() == pytest.approx(1)
    for name in samplers():
        assert found.metrics["floor/fd_cnn"] < found.metrics[f"{name}/fd_cnn"]
    for values in found.closest[:2]:
        assert values.shape == (10, 1, 28, 28)


def test_codes_are_probed_for_every_factor():
    data = prepared(VectorsOfTwoFactors(val_size=20))
    model = AE(network=MLP(hidden_dim=8), shape=(6,), bounded=False, latent_dim=6, cost="mse")
    found = evaluate(model.eval(), data, Settings(), samplers())
    factors = [key for key in found.metrics if key.startswith("latent/probe")]
    assert factors == ["latent/probe_accuracy_cluster", "latent/probe_accuracy_chance"]
    assert found.metrics["latent/probe_accuracy_cluster"] > 0.95
    expected = independent.probe_accuracy(
        *(model.encode(data.train.values).numpy(), data.train.factors[:, 1].numpy()),
        *(model.encode(data.test.values).numpy(), data.test.factors[:, 1].numpy()),
    )
    assert found.metrics["latent/probe_accuracy_chance"] == pytest.approx(expected, abs=0.05)
    headings = {c.key: c.name for c in columns(samplers(), found.metrics)}
    assert headings["latent/probe_accuracy_cluster"] == "linear probe, cluster"


def test_an_evaluation_repeats_for_a_seed(digits):
    torch.manual_seed(0)
    model = small(VAE).eval()
    first, again, other = (
        evaluate(model, digits, Settings(images=60, seed=seed), samplers()) for seed in (1, 1, 2)
    )
    for found in (first, again, other):
        del found.metrics["evaluation_seconds"]
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics
    assert first.conditions == again.conditions
    for name in samplers():
        assert torch.equal(first.generated[name], again.generated[name])
        assert not torch.equal(first.generated[name], other.generated[name])


def test_the_floor_is_training_images(digits):
    """And of nearest_train, test images: the numbers by the independent code."""
    found = evaluate(small(WAEGAN).eval(), digits, Settings(images=297), {}).metrics
    chosen = torch.randperm(1300, generator=stream(0, FLOOR))[:297]
    real, _ = independent.features("digits", digits.test.values)
    floor, classes = independent.features("digits", digits.train.values[chosen])
    expected = {
        "fd_cnn": independent.frechet(real, floor),
        "kernel_distance": independent.kernel_distance(real, floor),
        **independent.overlap(real, floor),
        **independent.class_shares(classes),
    }
    assert_numbers(found, {f"{FLOOR}/{k}": independent.Number(v) for k, v in expected.items()})
    assert f"{FLOOR}/nearest_train" not in found
    test, train = (part.values.flatten(1).double() / 255 for part in (digits.test, digits.train))
    distances = torch.cdist(test, train).min(1).values / 28
    assert found[f"{HELD_OUT}/nearest_train"] == pytest.approx(distances.mean().item(), rel=1e-4)


def test_no_two_uses_share_random_numbers(digits, monkeypatch):
    uses, numbers = [], {}

    def recorded_stream(seed, use):
        uses.append(use)
        return stream(seed, use)

    def recorded_encode(*arguments):
        codes = encode(*arguments)
        numbers[f"codes {len(numbers)}"] = codes.z
        return codes

    for user in (module, measurements):
        monkeypatch.setattr(user, "stream", recorded_stream)
    monkeypatch.setattr(module, "encode", recorded_encode)
    model = small(VAE).eval()
    # A posterior that is N(0, I) whatever the image: its draws are the numbers themselves.
    torch.nn.init.zeros_(model.encoder.head.weight)
    torch.nn.init.zeros_(model.encoder.head.bias)
    evaluate(model, digits, Settings(images=100), samplers())
    assert len(set(uses)) == len(uses)
    assert {*samplers(), FLOOR} < set(uses)
    assert len(numbers) == 2  # training codes, and those judged on
    numbers |= {use: torch.randn(200, 3, generator=stream(0, use)) for use in uses}
    del numbers["posterior"]  # the codes are what it draws
    for (name, some), (other, others) in itertools.combinations(numbers.items(), 2):
        shared = len(set(some.flatten().tolist()) & set(others.flatten().tolist()))
        assert shared <= 3, (name, other)  # of 24 bits, some meet by chance


def test_some_examples_are_drawn_by_the_seed(digits):
    first, again, other, everything = (
        choose(digits.test, n, stream(seed, "real")).values
        for n, seed in ((100, 0), (100, 0), (100, 1), (10_000, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, digits.test.values[:100])
    assert torch.equal(everything, digits.test.values)
    bytes_of = [image.numpy().tobytes() for image in digits.test.values]
    places = [bytes_of.index(image.numpy().tobytes()) for image in first]
    assert places == sorted(places)
    assert len(set(places)) == 100
    assert max(places) > 250
    found = evaluate(small(AE).eval(), digits, Settings(images=100), {})
    assert torch.equal(found.real.values, first)
    assert found.conditions["images"] == 100


def test_the_validation_set_is_judged_on_where_it_is_asked_for(digits):
    found = evaluate(small(AE).eval(), digits, Settings(split="val"), {})
    assert torch.equal(found.real.values, digits.val.values)
    digits.judge_on("test")  # as the other tests expect
    with pytest.raises(InputError, match=r"evaluation\.split=val: .*dataset\.val_size=0"):
        Digits().judge_on("val")


def test_inception_takes_images_alone():
    line = r"evaluation\.features=inception: .* of the shape \(6,\); set evaluation\.features=pca"
    with pytest.raises(InputError, match=line):
        check(small(AE), prepared(Vectors()), Settings(features="inception"))


def test_training_codes_are_as_many_as_are_asked_for(digits, monkeypatch):
    lengths = []

    def recorded(model, values):
        lengths.append(len(values))
        return encode(model, values)

    monkeypatch.setattr(module, "encode", recorded)
    evaluate(small(AE).eval(), digits, Settings(images=20), {})
    assert lengths == [20 * TRAIN_PER_TEST, 20]


@pytest.mark.parametrize(
    ("train_classes", "test_images", "missing", "found"),
    [
        (10, 5, ["prior/precision", "floor/coverage"], ["prior/fd_cnn", "latent/mmd"]),
        (
            10,
            1,
            ["prior/precision", "floor/fd_cnn", "prior/kernel_distance", "latent/mmd_floor"],
            ["prior/class_entropy", "latent/knn_accuracy", "held_out/nearest_train"],
        ),
        (1, 8, ["latent/probe_accuracy"], ["latent/knn_accuracy", "prior/coverage"]),
        (2, 8, [], ["latent/probe_accuracy"]),
    ],
)
def test_what_few_images_or_classes_allow_is_measured(
    train_classes, test_images, missing, found, tmp_path, monkeypatch, capsys
):
    """Test images of one class, in a whole run: a number is there, or a line names it."""
    everything, test = Digits().load()
    some = everything.subset(everything.labels.lt(train_classes).nonzero()[:, 0][:150])
    test = test.subset(test.labels.eq(0).nonzero()[:, 0][:test_images])
    monkeypatch.setattr(Digits, "load", lambda self: (some, test))
    drawn = 1 in (train_classes, test_images)  # the fewest
    short_run(tmp_path, "model=vae", "evaluate=true", "dataset.val_size=20", figures=drawn)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    conditions = json.loads((tmp_path / "evaluation.json").read_text())
    assert conditions["images"] == test_images
    printed = [line for line in capsys.readouterr().out.splitlines() if "not measured: " in line]
    named = set()
    for line in printed:
        _, sets, keys, reason = line.split(": ")
        assert reason
        named |= {f"{of}/{key}" for of in sets.split(", ") for key in keys.split(", ")}
    assert measured(conditions["samplers"], FeatureCNN) - metrics.keys() == named
    assert set(missing) <= named
    assert bool(missing) == bool(named)
    assert set(found) <= metrics.keys()


def test_metrics_that_are_infinite_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(latents, "mmd", lambda x, y: torch.tensor(torch.inf))
    short_run(tmp_path, "model=ae", "evaluate=true")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert all(map(math.isfinite, metrics.values()))
    printed = capsys.readouterr().out
    assert "not measured: latent: mmd: NaN or infinite" in printed
    assert "latent/mmd" not in metrics
    assert metrics["test/mse"] > 0


def test_decoded_examples_that_are_infinite_are_left_out():
    """Vectors have no bounds that would keep them finite."""
    model = small(AE, network=MLP(), shape=(6,), bounded=False, cost="mse").eval()
    torch.nn.init.constant_(list(model.decoder.parameters())[-1], math.inf)
    found = evaluate(model, prepared(Vectors()), Settings(images=40), samplers())
    assert all(map(math.isfinite, found.metrics.values()))
    left_out = " ".join(found.left_out)
    assert "fd_pca: points are NaN or infinite" in left_out
    assert "precision, recall, density, coverage: points are NaN or infinite" in left_out
    assert "floor/fd_pca" in found.metrics


def test_codes_that_are_infinite_end_an_evaluation_with_one_line(digits):
    model = small(WAEGAN).eval()
    torch.nn.init.constant_(model.encoder.head.bias, math.inf)
    with pytest.raises(InputError, match="codes are NaN or infinite: training has diverged"):
        evaluate(model, digits, Settings(images=40), samplers())


def test_codes_and_images_do_not_depend_on_the_batch(digits, monkeypatch):
    torch.manual_seed(0)
    model = small(WAEGAN).eval()
    images = digits.test.subset(slice(50))
    whole = encode(model, images)
    monkeypatch.setattr(coding, "BATCH", 7)
    torch.testing.assert_close(encode(model, images).mean, whole.mean)
    decoded = decode(model, whole.mean, images)
    assert decoded.dtype == torch.uint8
    with inference(model):
        reference = 255 * model.reconstruct(images.values / 255)
    assert (decoded.float() - reference).abs().max() <= 0.51


def test_a_vaes_draws_are_not_its_means(digits):
    torch.manual_seed(0)
    codes = encode(small(VAE).eval(), digits.test.subset(slice(20)))
    assert not torch.allclose(codes.mean, codes.z)


@pytest.mark.parametrize("data_set", [Vectors, LabelledVectors])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_evaluated_and_shown_as_images_are(kind, data_set, tmp_path):
    """A data set that has neither images nor a classifier of its own."""
    data, names = prepared(data_set()), list(samplers())
    torch.manual_seed(0)
    model = small(kind, network=MLP(), shape=(6,), bounded=False, cost="mse").eval()
    found = evaluate(model, data, Settings(images=40), samplers())
    assert found.metrics.keys() == measured(names, PCA, labelled=bool(data.class_names)) - {
        f"{of}/{key}"  # PCA knows no classes
        for of in (FLOOR, RECONSTRUCTION, *names)
        for key in ("class_entropy", "rarest_class")
    }
    assert found.left_out == []
    assert found.class_shares == {}
    for values in found.generated.values():
        assert values.dtype == torch.float32
        assert values.shape == (40, 6)
    # A mean over all dimensions, of the values as they are.
    expected = cdist(found.generated[names[0]].double(), data.train.values.double()).min(1)
    nearest = found.metrics[f"{names[0]}/nearest_train"]
    assert nearest == pytest.approx(expected.mean() / np.sqrt(6), rel=1e-4)

    of_vectors = [exhibit.__name__ for exhibit in (*vectors.EXHIBITS, *EXHIBITS)]
    assert list(of_model(model, data, 1)) == of_vectors
    of_classes = {"marker_features"} if data.class_names else set()
    assert set(of_evaluation(model, data, 1, found)) == {"feature_moments", *of_classes}
    drawn = exhibits.of_models({"a model": model, "another": model}, data, points=30)
    assert list(drawn) == ["feature_errors", "feature_moments", "embeddings"]
    config = {"dataset": {}, "model": {}, "objective": "val/mse"}
    conditions = {**found.conditions, "samplers": {name: {} for name in names}}
    metrics = {**found.metrics, "test/mse": 0.5, "epochs": 1}
    run = FinishedRun(tmp_path, "vectors", kind.label, config, metrics, conditions)
    comparison = Comparison([run])
    assert comparison.distance == PCA.distance
    own = {key for key in metrics if not key.startswith("floor/") and not key.endswith("_floor")}
    assert comparison.rows[0].cells.keys() == own - {"held_out/nearest_train"}
    assert f"{names[0]}/fd_pca" in comparison.rows[0].cells
    assert set(exhibits.of_comparison(comparison, comparison.rows, "")) >= {"sample_quality"}


def test_each_class_is_shown_in_its_row(digits):
    torch.manual_seed(0)
    model = small(AE).eval()
    sampler = {"by_class": ClassMixture(components=1)}
    found = evaluate(model, digits, Settings(images=100), sampler)
    figures = of_evaluation(model, digits, 1, found)
    axes = figures["samples_by_class_by_class"]().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(digits.class_names)
    # The first image of the last row is a draw from the last class, after those of the others.
    generator = torch.Generator().manual_seed(0)
    for label in range(10):
        x = model.decode(found.samplers["by_class"].of_class(label).draw(10, generator))
    shown = torch.as_tensor(np.array(axes.images[0].get_array()))[-28:, :28]
    torch.testing.assert_close(shown.float(), x[0, 0])
    prior = evaluate(model, digits, Settings(images=40), {"prior": Prior()})
    assert "samples_prior_by_class" not in of_evaluation(model, digits, 1, prior)


def test_a_sampler_without_a_density_has_no_likelihood(digits):
    class Drawing:
        def fit(self, codes, prior, seed, labels):
            self.prior = prior
            return self

        def draw(self, n, generator=None):
            return self.prior.draw(n, generator)

    found = evaluate(small(AE).eval(), digits, Settings(images=40), {"drawing": Drawing()})
    assert "drawing/fd_cnn" in found.metrics
    assert "drawing/log_likelihood" not in found.metrics
    assert found.left_out == []


def test_a_features_error_and_a_classes_markers_by_hand():
    torch.manual_seed(0)
    model = small(VAE, network=MLP(), shape=(6,), bounded=False, cost="mse").eval()
    x = torch.randn(1100, 6)
    found = vectors.error_by_feature(model, Examples(x))
    torch.testing.assert_close(found, ((model.reconstruct(x) - x) ** 2).mean(0))
    values, labels = torch.randn(90, 12), torch.arange(90) % 3
    for label, features in enumerate(((7, 2, 9), (4, 11, 0), (1, 3, 5))):
        for rank, feature in enumerate(features):
            values[labels == label, feature] += 9 - 2 * rank
    assert vectors.markers(values, labels).tolist() == [7, 2, 9, 4, 11, 0, 1, 3, 5]
    assert vectors.markers(values[:, :2], labels).tolist().count(0) == 1


def test_what_training_leaves(finished):
    folder, printed = finished, finished.with_name("printed").read_text()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in metrics.values())
    conditions = json.loads((folder / "evaluation.json").read_text())
    assert (conditions["dataset"], conditions["images"]) == ("digits", 40)
    assert list(conditions["samplers"]) == list(samplers())
    for name, sampler in samplers().items():
        assert (folder / f"figures/samples_{name}.png").stat().st_size > 5000
        loaded = type(sampler).load(folder / f"samplers/{name}.safetensors")
        assert loaded.draw(4).shape == (4, 3)
        assert metrics[f"{name}/fd_cnn"] > metrics["floor/fd_cnn"] > 0
    modes = {path.stat().st_mode for path in folder.rglob("*") if path.suffix in (".json", ".png")}
    modes |= {path.stat().st_mode for path in (folder / "samplers").iterdir()}
    assert len(modes) == 1
    for column in columns(samplers()):
        if column.key in metrics:
            assert f" {column.name} " in printed


def test_evaluate_py_finds_the_same_again_and_mends_a_damaged_file(run):
    """With the settings that the run was trained with, which are not the defaults."""
    before = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text('{"test/mse": NaN')
    run_here("evaluate.py", "run=run", cwd=run.parent)
    assert json.loads((run / "evaluation.json").read_text())["images"] == 40
    after = json.loads((run / "metrics.json").read_text())
    assert after.keys() == before.keys()
    for name in before.keys() - {"evaluation_seconds"}:
        assert after[name] == pytest.approx(before[name], rel=1e-5, abs=1e-7), name
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]  # no litter
    assert not list(run.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("typed", "split", "components", "names"),
    [
        ((), "val", 300, ["prior", "mixture"]),
        (("evaluation.split=test",), "test", 300, ["prior", "mixture"]),
        (("evaluation.samplers.mixture.components=7",), "val", 7, ["prior", "mixture"]),
        (("sampler=[mixture]",), "val", 300, ["mixture"]),
        (("sampler=[mixture,two_stage]",), "val", 300, ["mixture", "two_stage"]),
        (("+sampler=two_stage",), "val", 300, ["mixture", "prior", "two_stage"]),
        (("evaluation={split:test,images:7}",), "test", 300, ["prior", "mixture"]),
        (("evaluation.samplers.mixture.components=7", "sampler=mixture"), "val", 7, ["mixture"]),
        (("~evaluation.samplers.prior",), "val", 300, ["mixture"]),
    ],
    ids=str,
)
def test_a_run_is_evaluated_as_its_config_says(typed, split, components, names):
    run = compose_train("evaluation.split=val", "evaluation.samplers.mixture.components=300")
    evaluation = evaluation_of(run, compose_evaluate(*typed), typed)
    assert evaluation.split == split
    assert evaluation.samplers.mixture.components == components
    assert sorted(evaluation.samplers) == sorted(names)


def test_a_runs_evaluation_may_refer_to_its_other_keys():
    run = compose_train("evaluation.seed='${seed}'", "seed=5")
    assert evaluation_of(run, compose_evaluate(), []).seed == 5


@pytest.mark.parametrize("typed", ["evaluation=evaluation", "~evaluation"])
def test_an_evaluation_holds_settings(typed):
    with pytest.raises(InputError, match="evaluation=: must hold settings"):
        evaluation_of(compose_train(), compose_evaluate(typed), [typed])


def test_a_run_that_says_nothing_of_evaluations_gets_the_default():
    run = compose_train()
    del run.evaluation
    evaluation = evaluation_of(run, composed := compose_evaluate(), [])
    assert evaluation == composed.evaluation


def test_a_sampler_that_the_run_does_not_know_is_taken_whole():
    run = compose_train("sampler=prior")
    typed = ["evaluation.samplers.mixture.components=3"]
    evaluation = evaluation_of(run, compose_evaluate(*typed), typed)
    assert evaluation.samplers.mixture == {
        "_target_": "autoencoders.samplers.Mixture",
        "components": 3,
    }


def test_another_checkpoint_gets_a_folder_of_its_own(run, no_figures):
    before = (run / "metrics.json").read_text()
    chosen = "ckpt_path=run/checkpoints/best.ckpt"
    run_here("evaluate.py", chosen, "evaluation.images=50", cwd=run.parent)
    assert (run / "metrics.json").read_text() == before
    metrics = json.loads((run / "best/metrics.json").read_text())
    assert metrics["epochs"] == load_run(run, "best").epochs
    assert json.loads((run / "best/evaluation.json").read_text())["images"] == 50


def test_a_missing_extractor_is_noticed_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "extractor", "")
    with pytest.raises(InputError, match=r"evaluation\.features=cnn: .*evaluation\.features=pca"):
        train(compose_train(*SHORT, "evaluate=true", "evaluation.features=cnn"), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_an_objective_on_other_features_is_noticed_before_training(tmp_path):
    line = r"objective=prior/fd_cnn: .*: objective=prior/fd_pca; or set evaluation\.features="
    with pytest.raises(InputError, match=line):
        train(
            compose_train(*SHORT, "dataset=pbmc", "evaluate=true", "objective=prior/fd_cnn"),
            tmp_path / "run",
        )
    assert not (tmp_path / "run/checkpoints").exists()


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError):
        Settings(pictures=3)
    for name in ("floor", "latent", "a/b"):  # whose metrics would take another's place
        with pytest.raises(ValidationError, match="samplers"):
            Settings(samplers={name: {}})


def test_the_histogram_of_codes_is_of_draws(digits):
    model = small(VAE).eval()
    # A posterior that is N(0, I) whatever the image: all means lie at 0.
    torch.nn.init.zeros_(model.encoder.head.weight)
    torch.nn.init.zeros_(model.encoder.head.bias)
    histogram = of_model(model, digits, 1)["latent_space"]().axes[1]
    rectangles = histogram.patches[:-1]  # the last is the prior's outline
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in rectangles]
    places, heights = map(np.array, zip(*bars, strict=True))
    assert np.average(places**2, weights=heights) == pytest.approx(1, abs=0.2)


def test_nearest_training_images_have_their_classes_and_distances_below(digits):
    torch.manual_seed(0)
    model = small(AE).eval()
    found = evaluate(model, digits, Settings(images=60), samplers())
    figures = of_evaluation(model, digits, 1, found)
    (axes,) = figures["nearest_training_images"]().axes
    captions = [label.get_text().split("\n") for label in axes.get_xticklabels()]
    train = digits.train.values.flatten(1).double() / 255
    for generated, neighbour, (name, distance) in zip(*found.closest[:2], captions, strict=True):
        x = generated.flatten().double() / 255
        distances = ((train - x) ** 2).mean(1).sqrt()
        assert torch.equal(digits.train.values[distances.argmin()], neighbour)
        assert name == digits.class_names[digits.train.labels[distances.argmin()]]
        assert float(distance) == pytest.approx(distances.min().item(), abs=6e-4)
    # Each caption stands below its own column.
    width = axes.get_images()[0].get_array().shape[1]
    for j, place in enumerate(axes.get_xticks()):
        assert j / 10 < place / width < (j + 1) / 10
    assert "the package's CNN for digits, 98.3% of test images right" in (
        figures["class_shares"]().get_supxlabel()
    )


@pytest.mark.parametrize("kind", [AE, VAE])
def test_a_plane_of_codes_is_shown_with_what_it_decodes_to(kind, digits):
    torch.manual_seed(0)
    figures = of_model(small(kind, latent_dim=2).eval(), digits, 1)
    above, below = figures["latent_plane"]().axes
    assert sum(len(points.get_offsets()) for points in above.collections) == len(digits.test)
    assert len(above.patches) == 2 + (60 if kind is VAE else 0)  # of the prior, of posteriors
    assert below.get_images()[0].get_array().shape == (15 * 30 - 2, 15 * 30 - 2)
    assert "latent_plane" not in of_model(small(kind).eval(), digits, 1)


def test_interpolations_lead_from_one_reconstruction_to_another(digits):
    torch.manual_seed(0)
    model = small(WAEGAN).eval()
    pixels, decoded = between({"WAE": model}, digits, pairs(digits, 2)[1], 5)
    x = digits.test.x()
    ends = [x[digits.test.labels == label][0] for label in (2, 3)]
    assert torch.equal(pixels[1][[0, -1]], torch.stack(ends))
    torch.testing.assert_close(decoded[1][[0, -1]], model.reconstruct(torch.stack(ends)))
    middle = model.decode(model.encode(torch.stack(ends)).mean(0, keepdim=True))
    torch.testing.assert_close(decoded[1][2:3], middle)
    image = of_model(model, digits, 1)["interpolations"]().axes[0].get_images()[0].get_array()
    assert image.shape == (3 * 58 + 2 * 14, 3 * (7 * 30 - 2) + 2 * 14)


def test_one_latent_dimension_is_enough(digits):
    model = small(VAE, latent_dim=1).eval()
    found = evaluate(model, digits, Settings(images=40), samplers())
    assert found.metrics.keys() == measured(samplers(), FeatureCNN)


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


def test_each_stage_is_told_as_it_begins(digits):
    told = []
    samplers = evaluation_settings(compose_evaluate())[1]
    evaluate(small(AE).eval(), digits, Settings(images=20), samplers, told.append)
    for text in (f"{20 * TRAIN_PER_TEST} training and 20 test", "reconstructions", "codes"):
        assert any(text in stage for stage in told)
    for name in samplers:
        assert told.index(f"20 samples: {name}") < told.index(f"metrics of samples: {name}")


def test_samplers_are_fitted_on_draws_and_not_on_means(digits):
    model = small(VAE).eval()
    # A posterior that is N(0, I) whatever the image: all means lie at 0.
    torch.nn.init.zeros_(model.encoder.head.weight)
    torch.nn.init.zeros_(model.encoder.head.bias)
    found = evaluate(model, digits, Settings(images=200), {"normal": Mixture(components=1)})
    (covariance,) = found.samplers["normal"].covariances
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.2)


class LessLikely(Mixture):
    """Finds every code less likely than the mixture does, by a nat."""

    def log_prob(self, codes):
        return super().log_prob(codes) - 1


@pytest.mark.parametrize("names", [("best", "worse"), ("worse", "best")])
def test_the_kl_is_of_the_sampler_that_finds_codes_likeliest(digits, names):
    kinds = {"best": Mixture, "worse": LessLikely}
    samplers = {"prior": Prior(), **{name: kinds[name](components=2) for name in names}}
    torch.manual_seed(0)
    found = evaluate(small(AE).eval(), digits, Settings(images=100), samplers)
    z = found.codes.z.double().numpy()
    gain = found.samplers["best"].log_prob(found.codes.z).numpy() - norm.logpdf(z).sum(1)
    assert found.metrics["latent/kl"] == pytest.approx(gain.mean(), rel=1e-6)
    assert gain.mean() > 2  # so that the bound is not 0 with the other


class Undefined(Mixture):
    """A density that is not one everywhere."""

    def log_prob(self, codes):
        return super().log_prob(codes).where(codes[:, 0] > codes[0, 0], math.nan)


def test_a_density_that_is_not_finite_costs_no_bound_of_the_kl(digits):
    torch.manual_seed(0)
    model = small(AE).eval()
    several = {"undefined": Undefined(2), "mixture": Mixture(2)}
    found = evaluate(model, digits, Settings(images=40), several)
    alone = evaluate(model, digits, Settings(images=40), {"mixture": Mixture(2)})
    assert found.metrics["latent/kl"] == alone.metrics["latent/kl"]
    assert "undefined/log_likelihood" not in found.metrics
