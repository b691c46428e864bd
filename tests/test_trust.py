"""Nothing lost, nobody let in: full disks, cut-off downloads, files that ask for code to be run."""

import errno
import json
import os
import pickle
import re
import signal
import threading
from pathlib import Path

import pytest
import torch
import torchvision.datasets
from conftest import SHORT, compose_train, interrupt, run_script, write_data_set
from omegaconf import OmegaConf

from autoencoders.checkpoints import AtomicCheckpointIO, read_checkpoint
from autoencoders.data import MNIST
from autoencoders.errors import InputError
from autoencoders.runs import load_config, load_run
from train import train


def change(run, key, value):
    config = OmegaConf.load(run / ".hydra/config.yaml")
    OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, run / ".hydra/config.yaml")


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("model", "os.system"),
        ("model", "autoencoders.runs.os.system"),
        ("model", "autoencoders.models.base.torch.hub.load"),
        ("model", "autoencoders.models.base.Any"),
        ("model", "subprocess.Popen"),
        ("dataset", "builtins.exec"),
        ("dataset", "autoencoders.data.Path"),
        ("dataset", "autoencoders.data.TemporaryDirectory"),
        ("trainer", "shutil.rmtree"),
        ("trainer.logger", "pytorch_lightning.loggers.CSVLogger"),
        ("trainer.callbacks.0", "os.remove"),
    ],
)
def test_a_config_read_back_makes_nothing_foreign(key, target, run, monkeypatch):
    change(run, f"{key}._target_", target)
    monkeypatch.setattr("hydra.utils.instantiate", lambda *a, **k: pytest.fail("instantiated"))
    with pytest.raises(InputError, match=rf"config.yaml: {key}\._target_={target}: ") as error:
        load_run(run)
    assert "\n" not in str(error.value)


def test_a_foreign_target_is_refused_by_the_commands(run, tmp_path):
    change(run, "model._target_", "os.system")
    change(run, "model.command", f"touch {tmp_path}/pwned")
    (run / "metrics.json").rename(tmp_path / "metrics.json")
    for name, argument in (("train.py", f"resume={run}"), ("compare.py", f"runs=[{run}]")):
        done = run_script(name, argument, cwd=tmp_path)
        assert done.returncode == 1
        assert "model._target_=os.system" in done.stderr.splitlines()[-1]
    (tmp_path / "metrics.json").rename(run / "metrics.json")
    done = run_script("evaluate.py", f"run={run}", cwd=tmp_path)
    assert done.returncode == 1
    assert "model._target_=os.system" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "pwned").exists()


def test_this_projects_own_are_read_back(run):
    assert load_run(run).model.label == "WAE-GAN"
    change(run, "trainer.callbacks", [{"_target_": "pytorch_lightning.callbacks.Timer"}])
    load_config(run)


def test_a_config_read_back_writes_nowhere_else(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    change(run, "dataset.data_dir", str(elsewhere))
    assert load_config(run).dataset.data_dir != str(elsewhere)
    change(run, "trainer.default_root_dir", str(elsewhere))
    with pytest.raises(InputError, match=r"trainer\.default_root_dir=.*leave it out"):
        load_config(run)


@pytest.mark.parametrize(
    "content", ["", "- a list", "model: 3", "model: {a: 1}", "model: [", "\x00", "a: ${", "42"]
)
def test_a_config_that_is_none(content, run):
    (run / ".hydra/config.yaml").write_text(content)
    with pytest.raises(InputError, match=r"config\.yaml") as error:
        load_config(run)
    assert "\n" not in str(error.value)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"state_dict": {"x": m}}])
def test_a_malicious_checkpoint_runs_nothing(wrap, run, tmp_path):
    torch.save(wrap(Malicious(tmp_path / "pwned")), run / "checkpoints/last.ckpt")
    with pytest.raises(InputError, match="asks for code"):
        load_run(run)
    (run / "checkpoints/last.ckpt").write_bytes(pickle.dumps(Malicious(tmp_path / "pwned")))
    done = run_script("train.py", *SHORT, f"ckpt_path={run}/checkpoints/last.ckpt", cwd=tmp_path)
    assert done.returncode == 1
    assert "asks for code" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "pwned").exists()


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run/checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"x": torch.zeros(3)}}, path)
    before = path.read_bytes()

    def half(content, file):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", half)
    message = rf"last\.ckpt: cannot be written: .*No space left.* resume={tmp_path}/run goes on"
    with pytest.raises(InputError, match=message):
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_disk_that_fills_up_during_training(tmp_path, monkeypatch):
    """The second epoch's checkpoint finds no room: the first's stays, and resumes."""
    save, calls = torch.save, []

    def save_twice(content, file):
        calls.append(1)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file)

    cfg = compose_train(*SHORT, "trainer.precision=32-true")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_twice)
        with pytest.raises(InputError, match="No space left"):
            train(cfg, tmp_path)
    read_checkpoint(tmp_path / "checkpoints/last.ckpt")
    train(cfg, tmp_path, resume=True)
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == 2


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "outputs").write_text("a file where a folder should be")
    done = run_script("train.py", *SHORT, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: outputs/digits/wae/")
    assert "Not a directory" in last


def test_sigterm_keeps_the_finished_epochs(tmp_path):
    status, out, err = interrupt(signal.SIGTERM, tmp_path)
    assert status == 128 + signal.SIGTERM
    assert re.search(r"continue with: python \S*train.py resume=", out)
    assert "Traceback" not in err
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    read_checkpoint(checkpoint)


def test_a_download_cut_off_half_way_leaves_nothing(tmp_path, monkeypatch):
    def half(root, download):
        write_data_set(Path(root) / "MNIST/raw")
        (Path(root) / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
        raise RuntimeError("connection reset")

    def whole(root, download):
        write_data_set(Path(root) / "MNIST/raw")

    monkeypatch.setattr(torchvision.datasets, "MNIST", half)
    with pytest.raises(InputError, match="connection reset"):
        MNIST(data_dir=tmp_path / "data").prepare_data()
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(torchvision.datasets, "MNIST", whole)
    data = MNIST(data_dir=tmp_path / "data")
    data.prepare_data()
    data.setup()
    assert len(data.train) == 96
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]


def test_two_processes_download_at_once(tmp_path, monkeypatch):
    barrier = threading.Barrier(2)

    def download(root, download):
        write_data_set(Path(root) / "MNIST/raw")
        barrier.wait(30)

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    threads = [
        threading.Thread(target=MNIST(data_dir=tmp_path / "data").prepare_data) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    data = MNIST(data_dir=tmp_path / "data")
    data.setup()
    assert len(data.test) == 40
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.latent_dim", "${oc.create:{_target_: torch.load, f: x, weights_only: false}}"),
        ("seed", "${oc.env:HOME}"),
        ("model.lr", "1${oc.decode:'{}'}"),
    ],
)
def test_an_interpolation_that_does_more_than_refer(key, value, run):
    change(run, key, value)
    with pytest.raises(InputError, match=rf"config\.yaml: {key}=.*may refer to other keys"):
        load_config(run)


@pytest.mark.parametrize("callback", ["ModelCheckpoint", "SpikeDetection", "OnExceptionCheckpoint"])
def test_a_callback_that_writes_files_of_its_own(callback, run):
    change(run, "trainer.callbacks", [{"_target_": f"pytorch_lightning.callbacks.{callback}"}])
    with pytest.raises(InputError, match=rf"trainer\.callbacks\.0\._target_=.*{callback}"):
        load_config(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer._args_", ["/tmp/elsewhere"]),
        ("model._partial_", True),
        ("more", [{"_target_": "pytorch_lightning.callbacks.Timer"}]),
        ("more.dirpath", "/tmp/elsewhere"),
    ],
)
def test_a_config_with_more_than_train_py_writes(key, value, run):
    change(run, key, value)
    with pytest.raises(InputError, match=r"config\.yaml: (more|trainer|model)"):
        load_config(run)


def test_a_lock_that_is_a_link(run, tmp_path):
    (tmp_path / "mine").write_text("precious")
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(tmp_path / "mine")
    done = run_script("evaluate.py", f"run={run}", cwd=tmp_path)
    assert done.stderr.splitlines()[-1].startswith(f"error: {run}/.lock: a link")
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_link_that_leads_out_of_the_run(run, tmp_path):
    (tmp_path / "mine").write_text("precious")
    (run / "figures/samples.png").unlink()
    (run / "figures/samples.png").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match=r"samples\.png: a link that leads out of"):
        load_config(run)
    (run / "figures/samples.png").unlink()
    (run / "figures/samples.png").symlink_to(run / "figures/latent.png")
    load_config(run)


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', ""])
def test_damaged_metrics(content, run):
    (run / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json: "):
        load_run(run)


def test_a_model_that_is_gone(run):
    change(run, "model._target_", "autoencoders.models.rae.RAE")
    with pytest.raises(InputError, match=r"config\.yaml: model\._target_=.*RAE: allowed"):
        load_config(run)
