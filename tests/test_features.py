"""The extractors that ship with the package: their files, their accuracy, their stand-ins."""

import json

import pytest
import torch
from torch import nn

from autoencoders.data import MNIST, Digits, FashionMNIST
from autoencoders.errors import InputError
from autoencoders.metrics import features, train_extractor
from autoencoders.metrics.features import FOLDER, RECORD, FeatureCNN, Inception, load_extractor

NAMES = ("digits", "mnist", "fmnist")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_is_the_one_on_record(name):
    path = FOLDER / f"{name}.safetensors"
    assert path.stat().st_size <= 1_000_000
    assert features.sha256(path) == json.loads(RECORD.read_text())[name]["sha256"]


@pytest.mark.parametrize(
    ("name", "kind", "least"), [("mnist", MNIST, 0.993), ("fmnist", FashionMNIST, 0.925)]
)
def test_accuracy_on_the_real_test_sets(name, kind, least, real_data_dir):
    data = kind(data_dir=real_data_dir)
    data.setup()
    found = train_extractor.accuracy(load_extractor(name), data.test)
    assert found == pytest.approx(json.loads(RECORD.read_text())[name]["test_accuracy"], abs=2e-4)
    assert found >= least


def test_accuracy_on_digits():
    data = Digits()
    data.setup()
    assert train_extractor.accuracy(load_extractor("digits"), data.test) >= 0.97


def test_features_do_not_depend_on_the_batch():
    images = torch.randint(256, (7, 1, 28, 28), dtype=torch.uint8)
    extractor = load_extractor("mnist")
    whole, alone = extractor.extract(images), extractor.extract(images[3:4])
    assert whole.values.shape == (7, 96)
    assert whole.values.dtype == torch.float64
    torch.testing.assert_close(whole.values[3:4], alone.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.classes.sum(1), torch.ones(7))


def test_a_data_set_without_an_extractor():
    with pytest.raises(InputError, match=r"no extractor ships .*inception.*evaluate=false"):
        load_extractor("faces")


def test_a_file_that_is_not_the_one_on_record(tmp_path, monkeypatch):
    (tmp_path / "mnist.safetensors").write_bytes((FOLDER / "fmnist.safetensors").read_bytes())
    monkeypatch.setattr(features, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="not the file on record; install the package again"):
        load_extractor("mnist")


def test_the_command_rebuilds_an_extractor(tmp_path, monkeypatch, capsys):
    for module in (features, train_extractor):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
        monkeypatch.setattr(module, "RECORD", tmp_path / "extractors.json")
    monkeypatch.setattr("sys.argv", ["train_extractor", "digits", "--epochs", "16"])
    train_extractor.main()
    record = json.loads((tmp_path / "extractors.json").read_text())["digits"]
    assert record["test_accuracy"] > 0.8
    assert record["sha256"] == features.sha256(tmp_path / "digits.safetensors")
    assert record["sha256"] in capsys.readouterr().out


def test_augmentation_shifts_and_mirrors():
    x = torch.zeros(64, 1, 9, 9)
    x[:, :, 4, 3] = 1
    torch.manual_seed(0)
    shifted = train_extractor.augment(x, mirror=False)
    assert shifted.shape == x.shape
    assert torch.equal(shifted.sum((1, 2, 3)), torch.ones(64))
    columns = shifted.sum((1, 2)).argmax(1)
    assert set(columns.tolist()) == {1, 2, 3, 4, 5}
    mirrored = train_extractor.augment(x, mirror=True)
    assert set(mirrored.sum((1, 2)).argmax(1).tolist()) == set(range(1, 8))


class StandIn(nn.Module):
    """Takes what Inception takes and gives features of its form."""

    def forward(self, images):
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return images.double().mean((2, 3))


def test_inceptions_path_with_a_stand_in():
    images = torch.randint(256, (9, 1, 28, 28), dtype=torch.uint8)
    found = Inception(StandIn()).extract(images)
    assert found.classes is None
    torch.testing.assert_close(found.values[:, 1], images.double().mean((1, 2, 3)))


def test_inception_without_its_package_or_weights(monkeypatch):
    def no_network(*args):
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", no_network)
    with pytest.raises(InputError, match=r"Name or service .*autoencoders\[inception\].*=cnn"):
        Inception()


def test_the_networks_classes_are_the_data_sets():
    for name, kind in zip(NAMES, (Digits, MNIST, FashionMNIST), strict=True):
        extractor = load_extractor(name)
        assert isinstance(extractor, FeatureCNN)
        assert extractor.head.out_features == len(kind.class_names)
        assert kind.extractor == name
