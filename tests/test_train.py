"""Whole runs: what they leave, that they repeat, resume and compare, and what they refuse."""

import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

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
from autoencoders.models import WAEGAN, AutoEncoder
from autoencoders.runs import load_run, make_new

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
    model, cfg, data, metrics = load_run(folder)
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
    with pytest.raises(InputError, match=f"reconstruction is nan in epoch {when}.*last good"):
        short_run(tmp_path, f"model={name}", "trainer.max_epochs=4")
    content = read_checkpoint(tmp_path / "checkpoints/last.ckpt")
    assert content["epoch"] == int(when) - 1
    assert all(value.isfinite().all() for value in content["state_dict"].values())


def test_weights_that_the_last_step_spoils_are_not_saved(tmp_path, monkeypatch):
    def spoil(self, trainer, model, *_):
        if trainer.current_epoch == 1 and trainer.is_last_batch:
            model.encoder.head.weight.data.fill_(float("inf"))

    monkeypatch.setattr(RunRecord, "on_train_batch_end", spoil)
    with pytest.raises(InputError, match=r"encoder\.head\.weight is nan in epoch 1"):
        short_run(tmp_path, "model=ae", "dataset.val_size=0", "monitor=train/loss")
    weights = read_checkpoint(tmp_path / "checkpoints/last.ckpt")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())


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
    model, _, data, metrics = load_run(tmp_path)
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
    _, _, data, metrics = load_run(tmp_path)
    assert metrics["test/mse"] < 0.8 * error_of_the_mean_image(data)


# The command ------------------------------------------------------------------------------------


def run_folders(path):
    return sorted(file.parent for file in path.rglob("metrics.json"))


def test_the_command_prints_its_table_and_paths(train_py, tmp_path):
    done = train_py(*SHORT)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    assert folder.parent == tmp_path / "outputs/digits/wae"
    assert "test/mse" in done.stdout
    for path in ("figures/samples.png", "figures/reconstructions.png", "metrics.json"):
        assert str(folder.relative_to(tmp_path) / path) in done.stdout
    assert (folder / ".hydra/config.yaml").exists()


def test_a_multirun_leaves_a_folder_a_job(train_py, tmp_path):
    done = train_py("-m", "model=ae,vae", *SHORT)
    assert done.returncode == 0, done.stderr
    folders = run_folders(tmp_path / "outputs/multirun")
    assert [folder.name for folder in folders] == ["0", "1"]
    assert [type(load_run(folder).model).__name__ for folder in folders] == ["AE", "VAE"]


def test_ctrl_c_saves_and_the_printed_command_resumes(train_py, tmp_path):
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *SHORT, "trainer.max_epochs=100"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, which pytest may be one of, start with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("best.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    epochs = read_checkpoint(checkpoint)["epoch"] + 1
    (line,) = [line for line in out.splitlines() if "resume=" in line]
    assert f"{epochs} epochs are saved" in line, err
    argument = line.split()[-1]
    # The whole run would be long: shorten what is left of it.
    config = checkpoint.parents[1] / ".hydra/config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 100", f"max_epochs: {epochs + 1}"))
    before = config.read_text()
    done = train_py(argument)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((checkpoint.parents[1] / "metrics.json").read_text())
    assert metrics["epochs"] == epochs + 1
    assert config.read_text() == before
    assert len(list(tmp_path.rglob("config.yaml"))) == 1

    refused = train_py(argument)
    assert refused.returncode == 1
    assert "holds a finished run" in refused.stderr.splitlines()[-1]


def test_help_shows_groups_choices_and_examples(train_py):
    done = train_py("--help")
    assert done.returncode == 0
    assert "model: ae, vae, wae, wae_mmd" in done.stdout
    assert "dataset: digits, fmnist, mnist" in done.stdout
    assert sum(line.startswith("  python train.py") for line in done.stdout.splitlines()) == 5


BAD_INPUT = {
    "model=gan": ["model=gan: no such choice", "ae, vae, wae, wae_mmd"],
    "modle=wae": ["modle: no such key", "did you mean model?"],
    "model.latent=3": ["model.latent: no such key", "latent_dim"],
    "+model.depth=3": ["model.depth=3", "Unexpected keyword argument"],
    "model.latent_dim=0": ["model.latent_dim=0: must be greater than 0"],
    "model.latent_dim=many": ["model.latent_dim=many: must be a valid integer"],
    "model.reg_weight=-1": ["model.reg_weight=-1: must be greater than or equal to 0"],
    "model.prior_std=0": ["model.prior_std=0: must be greater than 0"],
    "model.cost=l1": ["model.cost=l1: must be 'bce' or 'mse'"],
    "model.schedule=linear": ["model.schedule=linear", "'constant', 'step' or 'cosine'"],
    "dataset.batch_size=1": ["dataset.batch_size=1: must be greater than or equal to 2"],
    "dataset.val_size=1500": ["dataset.val_size=1500", "allowed: at most 1498"],
    "dataset.val_size=0": ["monitor=val/mse: there is no validation set"],
    "trainer.max_epochs=0": ["trainer.max_epochs=0: must be greater than 0"],
    "trainer.precision=17": ["trainer.precision=17: no such choice", "bf16-mixed"],
    "+trainer.epochs=5": ["trainer: ", "unexpected keyword argument 'epochs'"],
    "trainer=gpu": ["trainer: "],
    "model.schedule=step": ["schedule=step with lr_steps=[]"],
    "seed=abc": ["seed=abc: must be a valid integer"],
    "monitor=loss": ["monitor=loss: must match pattern"],
    "resume=nowhere": ["resume=nowhere: not a run to continue", ".hydra/config.yaml"],
    "ckpt_path=nowhere": ["nowhere: no such checkpoint"],
}


@pytest.mark.parametrize("argument", BAD_INPUT)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(argument, train_py, tmp_path):
    done = train_py(argument)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: ")
    for part in BAD_INPUT[argument]:
        assert part in last
    assert not (tmp_path / "outputs").exists()


def test_no_data_and_no_network(train_py, tmp_path):
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = train_py("dataset=mnist", "dataset.data_dir=nowhere", **offline)
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: MNIST: no data in nowhere/MNIST/raw and no download")
    assert "dataset=digits" in last


def test_a_checkpoint_of_another_model(train_py, tmp_path):
    assert train_py(*SHORT, "model=ae", "hydra.run.dir=run").returncode == 0
    done = train_py(*SHORT, "model=vae", "ckpt_path=run/checkpoints/last.ckpt")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith(
        "error: run/checkpoints/last.ckpt: is of another model or shape than this VAE:"
    )


def test_a_run_that_diverges(train_py, tmp_path):
    done = train_py(*SHORT, "model.lr=1e30", "model.schedule=constant")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert re.match(r"error: \S+ is (nan|inf) in epoch 0: training has diverged", last)
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    weights = read_checkpoint(checkpoint)["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())


def test_an_interrupted_run_is_neither_overwritten_nor_resumed_with_another_config(
    train_py, tmp_path
):
    assert train_py(*SHORT, "hydra.run.dir=run").returncode == 0
    (tmp_path / "run/metrics.json").unlink()
    again = train_py(*SHORT, "hydra.run.dir=run")
    assert again.returncode == 1
    assert "holds an unfinished run; resume=run continues it" in again.stderr.splitlines()[-1]
    other = train_py("resume=run", "model.lr=1")
    assert other.returncode == 1
    assert "leave out model.lr=1" in other.stderr.splitlines()[-1]
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    damaged = train_py("resume=run")
    assert damaged.returncode == 1
    assert "last.ckpt: not a checkpoint that can be read safely" in damaged.stderr.splitlines()[-1]


def test_a_multirun_refuses_a_folder_in_use_and_a_resume(train_py, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/multirun.yaml").touch()
    done = train_py("-m", "model=ae,vae", "hydra.sweep.dir=sweep")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: sweep: holds another multirun")
    done = train_py("-m", "resume=a,b")
    assert done.stderr.splitlines()[-1] == "error: resume= continues one run; leave out -m"


def test_runs_of_one_second_get_a_folder_each(tmp_path):
    with ThreadPoolExecutor(8) as runs:
        made = list(runs.map(make_new, [tmp_path / "wae/12-00-00"] * 8))
    expected = {"12-00-00"} | {f"12-00-00-{n}" for n in range(2, 9)}
    assert {folder.name for folder in made} == expected


def test_ddp_trains_wae_gan_on_two_processes(train_py, tmp_path):
    done = train_py(*SHORT, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2
    assert len(list(tmp_path.rglob("metrics.json"))) == 1


def test_an_unknown_kernel(train_py):
    done = train_py("model=wae_mmd", "model.kernel=linear")
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1] == (
        "error: model.kernel=linear: must be 'imq' or 'rbf'"
    )


def test_an_unknown_metric_is_answered_with_those_there_are(train_py):
    done = train_py(*SHORT, "monitor=val/fid")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("error: monitor=val/fid: no such metric; allowed: ")
    assert "val/mse" in last


def test_a_damaged_data_file(train_py, data_dir):
    file = data_dir / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    done = train_py("dataset=mnist", AUTOENCODERS_DATA=str(data_dir))
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last == (
        f"error: {file}: expected 75280 bytes, found 1000; delete the file and run again to"
        " download it anew"
    )


def test_a_finished_run_is_not_overwritten(train_py, tmp_path):
    assert train_py(*SHORT, "hydra.run.dir=run").returncode == 0
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    again = train_py(*SHORT, "model=ae", "hydra.run.dir=run")
    assert again.returncode == 1
    assert (
        again.stderr.rstrip()
        .splitlines()[-1]
        .startswith("error: hydra.run.dir=run: holds a finished run")
    )
    after = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert before == after
