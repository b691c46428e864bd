"""Whole runs: what they leave, that they repeat, resume and compare, and what they refuse."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import ROOT, SHORT, choices, compose_train, small_data, without_figures
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import train
from autoencoders.errors import InputError
from autoencoders.models import VAE, WAEGAN, AutoEncoder
from autoencoders.runs import load_run
from autoencoders.runs.state import begin, mark
from autoencoders.training import RunRecord, training_history
from autoencoders.training.checkpoint_files import read_checkpoint

MODELS = choices("model")
OF_RUN = (
    "trainer.max_epochs=3",
    "tags=[short,of_tests]",
    "model.input_noise=0.1",  # every draw that there is
)
DRAWN = ("wae",)  # a third network
RESUMED = ("vae", "wae", "wae_mmd")  # draws of a posterior; two optimizers; draws of the prior
EVALUATED = {"mse", "bce", "z_abs_mean", "z_std", "active_units"}


def short_run(folder, *overrides, figures=False, **options):
    """Train as train.py does, in this process, with the run's config beside it.

    Args:
        figures: draw those of the finished run, which takes longer than its training.
    """
    cfg = compose_train(*SHORT, "trainer.precision=32-true", *overrides)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    hydra = {"hydra": {"runtime": {"cwd": str(ROOT)}}}
    OmegaConf.save(OmegaConf.create(hydra), folder / ".hydra/hydra.yaml")
    if not options.get("resume"):
        begin(folder)
    with nullcontext() if figures else without_figures():
        return train.train(cfg, folder, **options)


class Terms(Callback):
    """Keeps the names of what a training step returns."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.names = set(outputs)


class FinishedRun(NamedTuple):
    """A model's name in conf/, its run's folder, what `train` returned, its terms' names."""

    model: str
    folder: Path
    returned: float
    terms: set[str]


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    """A finished short run of each model."""
    folder = tmp_path_factory.mktemp(request.param)
    terms, drawn = Terms(), request.param in DRAWN
    overrides = (f"model={request.param}", *OF_RUN)
    returned = short_run(folder, *overrides, figures=drawn, extra_callbacks=[terms])
    return FinishedRun(request.param, folder, returned, terms.names)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def events(folder):
    """What TensorBoard reads in a run's folder."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def test_a_run_leaves_its_metrics(run):
    metrics = metrics_of(run.folder)
    assert all(isinstance(value, int | float) for value in metrics.values())
    model = load_run(run.folder).model
    random = {"mse_sampled"} if model.posterior_type.random else set()
    expected = {"train": run.terms} | dict.fromkeys(("val", "test"), run.terms | EVALUATED | random)
    for stage, names in expected.items():
        found = {key.removeprefix(f"{stage}/") for key in metrics if key.startswith(f"{stage}/")}
        assert found == names
    assert {"loss", "reconstruction"} <= run.terms
    assert run.returned == metrics["val/mse"]
    assert metrics["epochs"] == 3
    assert metrics["images_per_second"] == pytest.approx(3 * 3 * 16 / metrics["train_seconds"])
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_run_leaves_its_files(run):
    folder = run.folder
    assert {file.name for file in (folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    left = {file.name for file in folder.iterdir()}
    kept = {".hydra", "checkpoints", "evaluations", "evaluation.json", "metrics.json", "run.json"}
    kept |= {"data.json", "data.npz"}
    kept |= {"figures"} if run.model in DRAWN else set()
    assert left - {name for name in left if name.startswith("events.out.tfevents")} == kept
    if run.model not in DRAWN:
        return
    figures = {file.name for file in (folder / "figures").iterdir()}
    names = {"loss_curves", "reconstructions", "samples", "interpolations"}
    assert figures == {f"{name}.png" for name in {*names, "latent_space", "networks"}}
    for name in figures:
        content = (folder / "figures" / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000


def test_a_run_is_read_back_with_its_numbers(run):
    folder = run.folder
    loaded = load_run(folder)
    model, cfg, data = loaded.model, loaded.cfg, loaded.data
    metrics, epochs = loaded.metrics, loaded.epochs
    assert epochs == metrics["epochs"]
    assert cfg.trainer.max_epochs == 3
    assert not model.training
    batch = data.test.batch()
    x, z = batch.x, model.encode(batch.x, batch.labels)
    mse = ((model.reconstruct(x, batch.labels) - x) ** 2).mean().item()
    assert metrics["test/mse"] == pytest.approx(mse, rel=1e-4)
    logits = model.logits(z, batch).detach().double()
    p = logits.sigmoid()
    bce = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean().item()
    assert metrics["test/bce"] == pytest.approx(bce, rel=1e-4)
    best = load_run(folder, checkpoint="best").model
    assert type(best) is type(model)


def test_tensorboard_reads_every_term_on_an_axis_of_epochs(run):
    folder = run.folder
    read = events(folder)
    for stage, terms in (("train", run.terms), ("val", run.terms | EVALUATED)):
        for term in terms:
            points = read.Scalars(f"{stage}/{term}")
            # One axis for all models, though WAE-GAN's two optimizers make two steps a batch.
            assert [point.step for point in points] == [0, 1, 2], f"{stage}/{term}"
    metrics = metrics_of(folder)
    assert read.Scalars("val/mse")[-1].value == pytest.approx(metrics["val/mse"])


def test_a_checkpoint_keeps_the_curves_that_tensorboard_shows(run):
    history = training_history(read_checkpoint(run.folder / "checkpoints/last.ckpt"))
    read = events(run.folder)
    curves = {tag for tag in read.Tags()["scalars"] if tag.startswith(("train/", "val/"))}
    assert history.keys() == curves
    for name, values in history.items():
        assert list(values) == [1, 2, 3]
        expected = [point.value for point in read.Scalars(name)]
        assert list(values.values()) == pytest.approx(expected, rel=1e-6)


def test_tensorboard_shows_images_histograms_and_hyperparameters(run):
    read = events(run.folder)
    for tag in ("epoch/reconstructions", "epoch/samples"):
        assert [image.step for image in read.Images(tag)] == [0, 1, 2]
    assert [entry.step for entry in read.Histograms("latent/codes")] == [0, 1, 2]
    if run.model in DRAWN:
        assert [image.step for image in read.Images("figures/latent_space")] == [2]

    def hparams(part):
        content = read.summary_metadata[f"_hparams_/{part}"].plugin_data.content
        return getattr(HParamsPluginData.FromString(content), part)

    leading = [info.name for info in hparams("experiment").hparam_infos if info.differs]
    assert sorted(leading) == ["model", "test/mse"]  # and where it was evaluated, a distance
    columns = hparams("session_start_info").hparams
    assert columns["tags"].string_value == "short of_tests"
    assert columns["latent_dim"].number_value == 3
    assert columns["network.hidden_dim"].number_value == 2
    assert columns["network"].string_value == "Tutorial"
    assert columns["dataset"].string_value == "Digits"
    curves = {info.name.tag for info in hparams("experiment").metric_infos}
    for name, value in metrics_of(run.folder).items():
        if name.startswith(("train/", "val/")):
            assert name in curves
            assert read.Scalars(name)[-1].value == pytest.approx(value, rel=1e-5), name
        else:  # a column: its single dot would stand above the curves
            assert columns[name].number_value == value, name
            assert name not in read.Tags()["scalars"]


def test_a_checkpoint_holds_plain_values_alone(run):
    folder = run.folder
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert content["hyper_parameters"]["latent_dim"] == 3
    assert content["epoch"] == 2


def assert_identical(a, b):
    """Bit by bit, through nested dicts and lists."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_identical(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for p, q in zip(a, b, strict=True):
            assert_identical(p, q)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize(
    "run",
    [pytest.param(m, marks=() if m in RESUMED else pytest.mark.slow) for m in MODELS],
    indirect=True,
)
def test_a_resumed_run_ends_as_an_undisturbed_one(run, tmp_path, monkeypatch):
    """Bit by bit; a seed's numbers come again."""

    def crash(self, batch, batch_idx=0):
        if self.current_epoch == 2 and batch_idx == 1:
            raise RuntimeError("the power fails")
        return step(self, batch, batch_idx)

    model_class = type(load_run(run.folder).model)
    step = model_class.training_step
    overrides = (f"model={run.model}", *OF_RUN)
    with monkeypatch.context() as patch:
        patch.setattr(model_class, "training_step", crash)
        with pytest.raises(RuntimeError, match="the power fails"):
            short_run(tmp_path, *overrides)
    assert not (tmp_path / "metrics.json").exists()
    short_run(tmp_path, *overrides, resume=True)

    a, b = (read_checkpoint(folder / "checkpoints/last.ckpt") for folder in (run.folder, tmp_path))
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_identical(a[part], b[part])
    a, b = (
        training_history(read_checkpoint(folder / "checkpoints/last.ckpt"))
        for folder in (run.folder, tmp_path)
    )
    assert a == b
    a, b = (metrics_of(folder) for folder in (run.folder, tmp_path))
    for of_the_process in ("train_seconds", "images_per_second", "peak_memory_gib"):
        a.pop(of_the_process), b.pop(of_the_process)
    assert a == b
    assert [point.step for point in events(tmp_path).Scalars("val/loss")] == [0, 1, 2]


def test_a_run_interrupted_before_its_test_is_finished_by_resume(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(AutoEncoder, "test_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            short_run(tmp_path)
    returned = short_run(tmp_path, resume=True)
    metrics = metrics_of(tmp_path)
    assert returned == metrics["val/mse"]
    assert metrics["epochs"] == 2


def test_a_run_interrupted_in_its_first_epoch_resumes_from_the_start(tmp_path, monkeypatch):
    short_run(tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(WAEGAN, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            short_run(tmp_path / "resumed")
    short_run(tmp_path / "resumed", resume=True)
    a, b = (
        read_checkpoint(tmp_path / name / "checkpoints/last.ckpt")
        for name in ("undisturbed", "resumed")
    )
    assert_identical(a["state_dict"], b["state_dict"])


@pytest.mark.parametrize(("name", "when"), [("ae", "2"), ("wae", "1")])
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    name, when, tmp_path, monkeypatch
):
    reconstruction = AutoEncoder.reconstruction

    def diverge(self, x, out):
        scale = float("nan") if self.training and self.current_epoch == int(when) else 1.0
        return scale * reconstruction(self, x, out)

    monkeypatch.setattr(AutoEncoder, "reconstruction", diverge)
    with pytest.raises(
        InputError, match=f"reconstruction is nan in epoch {int(when) + 1}.*last good"
    ):
        short_run(tmp_path, f"model={name}", "trainer.max_epochs=4")
    content = read_checkpoint(tmp_path / "checkpoints/last.ckpt")
    assert content["epoch"] == int(when) - 1
    assert all(value.isfinite().all() for value in content["state_dict"].values())


def test_weights_that_the_last_step_spoils_are_not_saved(tmp_path, monkeypatch):
    def spoil(self, trainer, model, *_):
        if trainer.current_epoch == 1 and trainer.is_last_batch:
            model.encoder.head.weight.data.fill_(float("inf"))

    monkeypatch.setattr(RunRecord, "on_train_batch_end", spoil)
    with pytest.raises(InputError, match=r"encoder\.head\.weight is nan in epoch 2"):
        short_run(tmp_path, "model=ae", "dataset.val_size=0", "monitor=train/loss")
    weights = read_checkpoint(tmp_path / "checkpoints/last.ckpt")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())


def test_batches_that_are_accumulated_report_their_losses_undivided(tmp_path, monkeypatch):
    losses, seen = VAE.losses, []

    def noting(self, x, out):
        terms = losses(self, x, out)
        if self.training:
            seen.append(terms["loss"].item())
        return terms

    monkeypatch.setattr(VAE, "losses", noting)
    short_run(tmp_path, "model=vae", "+trainer.accumulate_grad_batches=2")
    metrics = metrics_of(tmp_path)
    # Two epochs of three batches of 16 images: the last one's mean, a lone batch at its end.
    assert metrics["train/loss"] == pytest.approx(sum(seen[3:]) / 3, rel=1e-5)


def test_without_a_validation_set(tmp_path):
    returned = short_run(tmp_path, "dataset.val_size=0", "monitor=train/loss")
    metrics = metrics_of(tmp_path)
    assert returned == metrics["train/loss"]
    assert not any(key.startswith("val/") for key in metrics)
    assert (tmp_path / "checkpoints/best.ckpt").exists()


def test_weights_start_a_new_run(tmp_path):
    short_run(tmp_path / "first", "model=ae")
    trained = tmp_path / "first/checkpoints/last.ckpt"
    # At a rate this small, two epochs leave the weights where they started.
    second = ("model=ae", f"ckpt_path={trained}", "optimizer.lr=1e-12")
    short_run(tmp_path / "second", *second)
    a, b = (load_run(tmp_path / f).model for f in ("first", "second"))
    torch.testing.assert_close(a.encoder.head.weight, b.encoder.head.weight)
    with pytest.raises(InputError, match="of another model or shape than this VAE"):
        short_run(tmp_path / "third", "model=vae", f"ckpt_path={trained}")
    # A resumed run needs the weights that it started from no more.
    mark(tmp_path / "second", finished=False)
    trained.unlink()
    short_run(tmp_path / "second", *second, resume=True)


@pytest.mark.parametrize("dataset", choices("dataset"))
def test_every_data_set(dataset, data_dir, tmp_path):
    drawn = dataset == "celeba"  # coloured images of two classes; of vectors: see test_table.py
    overrides = (*small_data(dataset, data_dir), "dataset.val_size=20")
    short_run(tmp_path, *overrides, figures=drawn)
    read = load_run(tmp_path)
    model, data, metrics = read.model, read.data, read.metrics
    x = data.test.x()
    mse = ((model.reconstruct(x) - x) ** 2).mean().item()
    assert metrics["test/mse"] == pytest.approx(mse, rel=1e-4)


def test_bfloat16_trains_as_well_as_full_precision(tmp_path, no_figures):
    errors = {}
    for precision in ("32-true", "bf16-mixed"):
        cfg = compose_train(
            *("model=ae", "network=mlp", "network.hidden_dim=32"),
            f"trainer.precision={precision}",
            "trainer.max_epochs=2",
            "evaluate=false",
        )
        train.train(cfg, tmp_path / precision)
        metrics = metrics_of(tmp_path / precision)
        errors[precision] = metrics["test/mse"]
    assert errors["bf16-mixed"] == pytest.approx(errors["32-true"], rel=0.02)


def error_of_the_mean(data):
    """The test error of answering every example with the training set's mean."""
    return ((data.test.x() - data.train.x().mean(0)) ** 2).mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset"),
    [("wae", "fmnist"), *((name, "mnist") for name in ("ae", "vae", "wae_mmd"))],
)
def test_models_learn_the_real_data(name, dataset, real_data_dir, tmp_path):
    short_run(
        tmp_path,
        f"model={name}",
        "network.hidden_dim=8",
        "optimizer.lr=3e-3",
        *small_data(dataset, real_data_dir),
        "dataset.batch_size=64",
        "trainer.max_epochs=6",
        "+trainer.max_steps=240",
        "trainer.limit_train_batches=120",
    )
    read = load_run(tmp_path)
    data, metrics = read.data, read.metrics
    assert metrics["test/mse"] < 0.8 * error_of_the_mean(data)


def test_where_output_is_no_terminal_each_epoch_is_a_line(tmp_path, capsys):
    short_run(tmp_path, "model=vae")
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("Testing")]  # a bar's last state
    plain = [line for line in lines if line.startswith("Epoch ")]
    assert [line.partition(":")[0] for line in plain] == ["Epoch 1/2", "Epoch 2/2"]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for name in ("loss", "kl"):
        assert f"{name} {metrics[f'train/{name}']:.4g}" in plain[-1]
    assert f"val/mse {metrics['val/mse']:.4g}" in plain[-1]
