"""Nothing lost, nobody let in: full disks, cut-off downloads, files that ask for code to be run."""

import threading
from pathlib import Path

import pytest
import torchvision.datasets
from conftest import located, write_data_set
from omegaconf import OmegaConf

from autoencoders.data import MNIST
from autoencoders.errors import InputError
from autoencoders.runs import load_run
from autoencoders.runs.folder import load_config


def change(run, key, value):
    config = OmegaConf.load(run / ".hydra/config.yaml")
    OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, run / ".hydra/config.yaml")


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("model", "os.system"),
        ("model", "autoencoders.runs.folder.os.system"),
        ("model", "autoencoders.models.base.torch.hub.load"),
        ("model", "autoencoders.models.base.Any"),
        ("model", "subprocess.Popen"),
        ("model", "autoencoders.networks.Tutorial"),
        ("network", "torch.hub.load"),
        ("network", "autoencoders.networks.mlp.nn.Linear"),
        ("evaluation.samplers.mixture", "os.system"),
        ("evaluation.samplers.mine", "autoencoders.samplers.mixture.Path"),
        ("evaluation", "autoencoders.samplers.Prior"),
        ("dataset", "builtins.exec"),
        ("dataset", "autoencoders.data.Path"),
        ("dataset", "autoencoders.data.TemporaryDirectory"),
        ("trainer", "shutil.rmtree"),
        ("trainer.logger", "pytorch_lightning.loggers.CSVLogger"),
        ("trainer.callbacks.0", "os.remove"),
        ("callbacks.ema", "os.system"),
        ("logger.csv", "os.system"),
        ("logger.csv", "pytorch_lightning.loggers.CSVLogger"),
        ("logger.csv", "autoencoders.training.loggers.Path"),
        ("logger.csv", "autoencoders.training.loggers.WandbLogger"),
    ],
)
def test_a_config_read_back_makes_nothing_foreign(key, target, run, monkeypatch):
    change(run, f"{key}._target_", target)
    monkeypatch.setattr("hydra.utils.instantiate", lambda *a, **k: pytest.fail("instantiated"))
    with pytest.raises(InputError, match=rf"config.yaml: {key}\._target_={target}: ") as error:
        load_run(run)
    assert "\n" not in str(error.value)


def test_this_projects_own_are_read_back(run):
    assert load_run(run).model.label == "WAE-GAN"
    change(run, "trainer.callbacks", [{"_target_": "pytorch_lightning.callbacks.Timer"}])
    load_config(run)


def test_a_config_read_back_writes_nowhere_else(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    change(run, "dataset._target_", "autoencoders.data.MNIST")
    change(run, "dataset.data_dir", str(elsewhere))
    assert located(run).dataset.data_dir != str(elsewhere)
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


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
ENDLESS = {
    "a bomb of aliases": (BOMB, "has an alias in line 2"),
    "an alias of itself": ("a: &a [*a]", "has an alias in line 1"),
    "3,000 flow levels": ("a: " + "[" * 3000 + "]" * 3000, "nested more than 50 deep in line 1"),
    "3,000 references": ("a: " + "${" * 3000 + "b" + "}" * 3000, "deep in line 1"),
    "3,000 lines": ("\n".join(" " * i + "a:" for i in range(3000)), "deep in line 51"),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("file", [".hydra/config.yaml", ".hydra/hydra.yaml"])
def test_a_config_without_an_end(name, file, run):
    """Refused as soon as it is looked at: to read it would take hours, or all of the stack."""
    text, words = ENDLESS[name]
    (run / file).write_text(text)
    with pytest.raises(InputError, match=rf"{file}: .*{words}"):
        load_config(run)


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
        ("optimizer.lr", "1${oc.decode:'{}'}"),
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


def test_a_link_that_leads_out_of_the_run(run, tmp_path):
    (tmp_path / "mine").write_text("precious")
    (run / "figures/samples.png").unlink()
    (run / "figures/samples.png").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match=r"samples\.png: a link that leads out of"):
        load_config(run)
    (run / "figures/samples.png").unlink()
    (run / "figures/samples.png").symlink_to(run / "figures/latent_space.png")
    load_config(run)


def test_a_model_that_is_gone(run):
    change(run, "model._target_", "autoencoders.models.gone.Gone")
    with pytest.raises(InputError, match=r"yaml: model\._target_=.*Gone: there is no such class"):
        load_config(run)
