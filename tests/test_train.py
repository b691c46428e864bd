"""Whole runs: what they leave, that they repeat, resume and compare, and what they refuse."""

import json

import pytest
import torch
from conftest import ROOT, SHORT, compose_train
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from autoencoders.callbacks import RunRecord
from autoencoders.checkpoints import read_checkpoint
from autoencoders.data import to_pixels
from autoencoders.errors import InputError
from autoencoders.models import VAE, WAEGAN, AutoEncoder
from autoencoders.runs import load_run

MODELS = ("ae", "vae", "wae", "wae_mmd")
TERMS = {
    "ae": {"loss", "reconstruction"},
    "vae": {"loss", "reconstruction", "kl"},
    "wae": {
        "loss",
        "reconstruction",
        "penalty",
        "discriminator_loss",
        "discriminator_accuracy",
    },
    "wae_mmd": {"loss", "reconstruction", "penalty"},
}
EVALUATED = {"mse", "bce", "z_abs_mean", "z_std", "active_units"}


def short_run(folder, *overrides, **options):
    """Train as train.py does, in this process, with the run's config beside it."""
    cfg = compose_train(*SHORT, "trainer.precision=32-true", *overrides)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    hydra = {"hydra": {"runtime": {"cwd": str(ROOT)}}}
    OmegaConf.save(OmegaConf.create(hydra), folder / ".hydra/hydra.yaml")
    return train.train(cfg, folder, **options)


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    """A finished short run of each model: its name, its folder and what train returned."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, short_run(folder, f"model={request.param}")


def events(folder):
    """What TensorBoard reads in a run's folder."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def test_a_run_leaves_its_metrics(run):
    name, folder, returned = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in metrics.values())
    sampled = {"mse_sampled"} if name == "vae" else set()
    for stage in ("val", "test"):
        found = {key.removeprefix(f"{stage}/") for key in metrics if key.startswith(f"{stage}/")}
        assert found == TERMS[name] | EVALUATED | sampled
    assert {key.removeprefix("train/") for key in metrics if key.startswith("train/")} == TERMS[
        name
    ]
    assert returned == metrics["val/mse"]
    assert metrics["epochs"] == 2
    assert metrics["images_per_second"] == pytest.approx(2 * 3 * 16 / metrics["train_seconds"])
    model = load_run(folder).model
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_run_leaves_its_files(run):
    _, folder, _ = run
    assert {file.name for file in (folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    left = {file.name for file in folder.iterdir()}
    kept = {".hydra", "checkpoints", "figures", "metrics.json"}
    assert left - {name for name in left if name.startswith("events.out.tfevents")} == kept
    figures = {file.name for file in (folder / "figures").iterdir()}
    assert figures == {"reconstructions.png", "samples.png", "latent.png"}
    for name in figures:
        content = (folder / "figures" / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000


def test_a_run_is_read_back_with_its_numbers(run):
    _, folder, _ = run
    model, cfg, data, metrics, epochs = load_run(folder)
    assert epochs == metrics["epochs"]
    assert cfg.trainer.max_epochs == 2
    assert not model.training
    x = to_pixels(data.test.images)
    mse = ((model.reconstruct(x) - x) ** 2).mean().item()
    assert metrics["test/mse"] == pytest.approx(mse, rel=1e-4)
    logits = model.decoder(model.encode(x)).detach().double()
    p = logits.sigmoid()
    bce = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean().item()
    assert metrics["test/bce"] == pytest.approx(bce, rel=1e-4)
    best = load_run(folder, checkpoint="best").model
    assert type(best) is type(model)


def test_tensorboard_reads_every_term_on_an_axis_of_epochs(run):
    name, folder, _ = run
    read = events(folder)
    for stage, terms in (("train", TERMS[name]), ("val", TERMS[name] | EVALUATED)):
        for term in terms:
            points = read.Scalars(f"{stage}/{term}")
            # One axis for all models, though WAE-GAN's two optimizers make two steps a batch.
            assert [point.step for point in points] == [0, 1], f"{stage}/{term}"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert read.Scalars("val/mse")[-1].value == pytest.approx(metrics["val/mse"])


def test_tensorboard_shows_images_histograms_and_hyperparameters(run):
    _, folder, _ = run
    read = events(folder)
    for tag in ("reconstructions", "samples"):
        assert [image.step for image in read.Images(tag)] == [0, 1]
    assert len(read.Images("figures/latent")) == 1
    assert [entry.step for entry in read.Histograms("latent/codes")] == [0, 1]
    (last,) = read.Scalars("test/mse")
    assert last.step == read.Scalars("val/mse")[-1].step == 1
    assert read.Images("figures/latent")[0].step == 1
    start = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"latent_dim" in start
    assert b"autoencoders.data.Digits" in start
    listed = read.summary_metadata["_hparams_/experiment"].plugin_data.content
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, value in metrics.items():
        tag = name if "/" in name else f"run/{name}"
        assert tag.encode() in listed
        assert read.Scalars(tag)[-1].value == pytest.approx(value, rel=1e-5), tag


def test_a_checkpoint_holds_plain_values_alone(run):
    _, folder, _ = run
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert content["hyper_parameters"]["latent_dim"] == 3
    assert content["epoch"] == 1


def test_the_same_seed_repeats_a_run(run, tmp_path):
    name, folder, _ = run
    short_run(tmp_path, f"model={name}")
    first, second = (read_checkpoint(f / "checkpoints/last.ckpt") for f in (folder, tmp_path))
    assert_identical(first["state_dict"], second["state_dict"])


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


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_run_ends_as_an_undisturbed_one(name, tmp_path, monkeypatch):
    overrides = (f"model={name}", "trainer.max_epochs=3", "model.input_noise=0.1")
    short_run(tmp_path / "undisturbed", *overrides)

    def crash(self, batch, batch_idx=0):
        if self.current_epoch == 2 and batch_idx == 1:
            raise RuntimeError("the power fails")
        return step(self, batch, batch_idx)

    model_class = type(load_run(tmp_path / "undisturbed").model)
    step = model_class.training_step
    with monkeypatch.context() as patch:
        patch.setattr(model_class, "training_step", crash)
        with pytest.raises(RuntimeError, match="the power fails"):
            short_run(tmp_path / "resumed", *overrides)
    assert not (tmp_path / "resumed/metrics.json").exists()
    short_run(tmp_path / "resumed", *overrides, resume=True)

    a, b = (
        read_checkpoint(tmp_path / f / "checkpoints/last.ckpt") for f in ("undisturbed", "resumed")
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_identical(a[part], b[part])
    a, b = (
        json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("undisturbed", "resumed")
    )
    for of_the_process in ("train_seconds", "images_per_second", "peak_memory_gib"):
        a.pop(of_the_process), b.pop(of_the_process)
    assert a == b
    steps = [point.step for point in events(tmp_path / "resumed").Scalars("val/loss")]
    assert steps == [0, 1, 2]


def test_a_run_interrupted_before_its_test_is_finished_by_resume(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(AutoEncoder, "test_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            short_run(tmp_path)
    returned = short_run(tmp_path, resume=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
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
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    # Two epochs of three batches of 16 images: the last one's mean, a lone batch at its end.
    assert metrics["train/loss"] == pytest.approx(sum(seen[3:]) / 3, rel=1e-5)


def test_without_a_validation_set(tmp_path):
    returned = short_run(tmp_path, "dataset.val_size=0", "monitor=train/loss")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert returned == metrics["train/loss"]
    assert not any(key.startswith("val/") for key in metrics)
    assert (tmp_path / "checkpoints/best.ckpt").exists()


def test_weights_start_a_new_run(tmp_path):
    short_run(tmp_path / "first", "model=ae")
    trained = tmp_path / "first/checkpoints/last.ckpt"
    # At a rate this small, two epochs leave the weights where they started.
    short_run(tmp_path / "second", "model=ae", f"ckpt_path={trained}", "model.lr=1e-12")
    a, b = (load_run(tmp_path / f).model for f in ("first", "second"))
    torch.testing.assert_close(a.encoder.head.weight, b.encoder.head.weight)
    with pytest.raises(InputError, match="of another model or shape than this VAE"):
        short_run(tmp_path / "third", "model=vae", f"ckpt_path={trained}")
    # A resumed run needs the weights that it started from no more.
    (tmp_path / "second/metrics.json").unlink()
    trained.unlink()
    short_run(tmp_path / "second", "model=ae", f"ckpt_path={trained}", resume=True)


@pytest.mark.parametrize("dataset", ["mnist", "fmnist"])
def test_the_other_data_sets(dataset, data_dir, tmp_path):
    short_run(tmp_path, f"dataset={dataset}", f"dataset.data_dir={data_dir}", "dataset.val_size=20")
    model, _, data, metrics, _ = load_run(tmp_path)
    x = to_pixels(data.test.images)
    mse = ((model.reconstruct(x) - x) ** 2).mean().item()
    assert metrics["test/mse"] == pytest.approx(mse, rel=1e-4)


def test_bfloat16_trains_as_well_as_full_precision(tmp_path):
    errors = {}
    for precision in ("32-true", "bf16-mixed"):
        cfg = compose_train(
            "model=ae",
            "model.hidden_dim=8",
            f"trainer.precision={precision}",
            "trainer.max_epochs=4",
        )
        train.train(cfg, tmp_path / precision)
        metrics = json.loads((tmp_path / precision / "metrics.json").read_text())
        errors[precision] = metrics["test/mse"]
    assert errors["bf16-mixed"] == pytest.approx(errors["32-true"], rel=0.02)


def error_of_the_mean_image(data):
    """The test error of answering every image with the training set's mean."""
    mean = to_pixels(data.train.images).mean(0)
    return ((to_pixels(data.test.images) - mean) ** 2).mean().item()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dataset", ["mnist", "fmnist"])
def test_models_learn_the_real_data(name, dataset, real_data_dir, tmp_path):
    short_run(
        tmp_path,
        f"model={name}",
        "model.hidden_dim=8",
        "model.lr=3e-3",
        f"dataset={dataset}",
        f"dataset.data_dir={real_data_dir}",
        "dataset.batch_size=64",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=120",
    )
    _, _, data, metrics, _ = load_run(tmp_path)
    assert metrics["test/mse"] < 0.8 * error_of_the_mean_image(data)
