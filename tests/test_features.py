"""The extractors that ship with the package: their files, their accuracy, their stand-ins."""

import json

import numpy as np
import pytest
import sklearn.decomposition
import torch
from conftest import exported
from torch import nn

import autoencoders.data
from autoencoders.data import DataModule, Digits
from autoencoders.errors import InputError
from autoencoders.features import EXTRACTORS, PCA, FeatureCNN, Inception, cnn, load_extractor, pca
from autoencoders.features import train as training
from autoencoders.features.cnn import FOLDER, RECORD, load_cnn

DATA_SETS = {
    kind.extractor: kind for kind in exported(autoencoders.data, DataModule) if kind.extractor
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_shipped_file_is_the_one_on_record(name):
    path = FOLDER / f"{name}.safetensors"
    assert path.stat().st_size <= 1_000_000
    assert cnn.sha256(path) == json.loads(RECORD.read_text())[name]["sha256"]


@pytest.mark.slow  # ten thousand images each
@pytest.mark.parametrize(("name", "least"), [("mnist", 0.993), ("fmnist", 0.925)])
def test_accuracy_on_the_real_test_sets(name, least, real_data_dir):
    data = DATA_SETS[name](data_dir=real_data_dir)
    data.setup()
    found = training.accuracy(load_cnn(name), data.test)
    assert found == pytest.approx(json.loads(RECORD.read_text())[name]["test_accuracy"], abs=2e-4)
    assert found >= least


def test_accuracy_on_digits():
    data = Digits()
    data.setup()
    assert training.accuracy(load_cnn("digits"), data.test) >= 0.97


def test_features_do_not_depend_on_the_batch():
    images = torch.randint(256, (7, 1, 28, 28), dtype=torch.uint8)
    extractor = load_cnn("mnist")
    whole, alone = extractor.extract(images), extractor.extract(images[3:4])
    assert whole.values.shape == (7, 96)
    assert whole.values.dtype == torch.float64
    torch.testing.assert_close(whole.values[3:4], alone.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.classes.sum(1), torch.ones(7))


def test_a_data_set_without_a_classifier():
    with pytest.raises(InputError, match=r"features=cnn: ships for .*features=pca takes any"):
        load_extractor("cnn", "")
    assert isinstance(load_extractor("auto", ""), PCA)
    assert isinstance(load_extractor("auto", "digits"), FeatureCNN)
    assert isinstance(load_extractor("pca", "digits"), PCA)


def test_extractors_have_distances_of_their_own():
    keys = [extractor.distance.key for extractor in EXTRACTORS]
    assert len(set(keys)) == len(keys)
    assert {extractor.distance.better for extractor in EXTRACTORS} == {"lower"}


def test_a_file_that_is_not_the_one_on_record(tmp_path, monkeypatch):
    (tmp_path / "mnist.safetensors").write_bytes((FOLDER / "fmnist.safetensors").read_bytes())
    monkeypatch.setattr(cnn, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="not the file on record; install the package again"):
        load_cnn("mnist")


@pytest.mark.slow
def test_the_command_rebuilds_an_extractor(tmp_path, monkeypatch, capsys):
    for module in (cnn, training):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
        monkeypatch.setattr(module, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr("sys.argv", ["train", "digits", "--epochs", "6"])
    training.main()
    record = json.loads((tmp_path / "record.json").read_text())["digits"]
    assert record["test_accuracy"] > 0.3  # of ten classes, and the shipped one has many epochs
    assert record["sha256"] == cnn.sha256(tmp_path / "digits.safetensors")
    assert record["sha256"] in capsys.readouterr().out


def test_augmentation_shifts_and_mirrors():
    x = torch.zeros(64, 1, 9, 9)
    x[:, :, 4, 3] = 1
    torch.manual_seed(0)
    shifted = training.augment(x, mirror=False)
    assert shifted.shape == x.shape
    assert torch.equal(shifted.sum((1, 2, 3)), torch.ones(64))
    columns = shifted.sum((1, 2)).argmax(1)
    assert set(columns.tolist()) == {1, 2, 3, 4, 5}
    mirrored = training.augment(x, mirror=True)
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
    with pytest.raises(InputError, match=r"Name or service .*\[inception\].*=cnn"):
        Inception()


def test_the_networks_classes_are_the_data_sets():
    assert set(json.loads(RECORD.read_text())) == set(DATA_SETS)
    for name, kind in DATA_SETS.items():
        extractor = load_cnn(name)
        assert isinstance(extractor, FeatureCNN)
        assert extractor.head.out_features == len(kind.class_names)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((300, 6), torch.float32),
        ((120, 1, 9, 9), torch.uint8),
        ((4, 7), torch.float32),  # fewer examples than dimensions
    ],
)
def test_principal_components_against_sklearn(shape, dtype, monkeypatch):
    train = torch.randint(256, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    monkeypatch.setattr(pca, "HELD", 0)  # they are noise
    extractor = PCA().fit(train)
    x = train.flatten(1).double().numpy() / (255 if train.dtype == torch.uint8 else 1)
    reference = sklearn.decomposition.PCA(min(50, *x.shape), svd_solver="full").fit(x)
    found = extractor.extract(train)
    assert found.classes is None
    assert found.values.dtype == torch.float64
    # Up to the components' signs.
    expected = np.abs(reference.transform(x))
    np.testing.assert_allclose(found.values.abs().numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_components_of_noise_are_left_out(rank):
    """So that training examples spread no further than others do."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([10.0 * 0.8**i for i in range(rank)])
    basis = torch.linalg.qr(torch.randn(200, rank, generator=generator)).Q
    signal = torch.randn(300, rank, generator=generator) * scales @ basis.T
    x = signal + 0.3 * torch.randn(300, 200, generator=generator)
    extractor = PCA().fit(x[:150])
    own, others = (extractor.extract(part).values for part in (x[:150], x[150:]))
    assert own.shape == (150, rank)
    assert (others.var(0) / own.var(0)).min() > 0.5


def test_principal_components_keep_distances_where_they_are_all_kept():
    """In the data's units: not whitened."""
    generator = torch.Generator().manual_seed(0)  # enough rows that no component is noise
    train = 10 * torch.randn(2000, 5, generator=generator).double()
    values = PCA().fit(train).extract(train[:20]).values
    torch.testing.assert_close(torch.cdist(values, values), torch.cdist(train[:20], train[:20]))


def test_principal_components_do_not_depend_on_the_origin():
    """Nor do the distances between features, of columns such as times in seconds."""
    train = torch.randn(400, 5, generator=torch.Generator().manual_seed(0)).double()
    expected = PCA().fit(train).extract(train).values
    values = PCA().fit(train + 1e9).extract(train + 1e9).values
    torch.testing.assert_close(values.abs(), expected.abs(), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_principal_components_of_equal_examples_are_no_warning():
    extractor = PCA().fit(torch.full((40, 3), 0.1))
    assert extractor.extract(torch.full((2, 3), 0.1)).values.abs().max() < 1e-7
    assert extractor.extract(torch.full((2, 3), 5.1)).values.isfinite().all()


def test_principal_components_do_not_depend_on_the_batch(monkeypatch):
    train = torch.randn(60, 5)
    extractor = PCA().fit(train)
    whole = extractor.extract(train).values
    monkeypatch.setattr(pca, "BATCH", 7)
    torch.testing.assert_close(extractor.extract(train).values, whole)


def test_principal_components_of_other_data_have_another_fingerprint():
    train = torch.randn(60, 5)
    assert PCA().fit(train).fingerprint == PCA().fit(train.clone()).fingerprint
    assert PCA().fit(train).fingerprint != PCA().fit(train + 1).fingerprint


def test_components_do_not_depend_on_the_order_of_a_file():
    """One that lists two kinds in turn, the second of half the spread: still all directions mean
    something."""
    train = torch.randn(4000, 20, generator=torch.Generator().manual_seed(0))
    train[1::2] *= 0.5
    assert len(PCA().fit(train).components) == 20
