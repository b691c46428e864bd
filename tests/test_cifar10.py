"""CIFAR-10 and SVHN, on small files of their layout."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from conftest import write_cifar10, write_svhn
from scipy.io import savemat

from autoencoders.data import CIFAR10, SVHN
from autoencoders.data.cifar10 import FOLDER
from autoencoders.errors import InputError

BATCH = f"{FOLDER}/data_batch_3"


@pytest.fixture
def cifar10(tmp_path):
    write_cifar10(tmp_path / FOLDER)
    return tmp_path


@pytest.fixture
def svhn(tmp_path):
    write_svhn(tmp_path / "svhn")
    return tmp_path


def prepared(data):
    data.prepare_data()
    data.setup()
    return data


def assert_same(examples, reference):
    assert len(examples) == len(reference)
    for i, (image, label) in enumerate(reference):
        assert examples.labels[i] == label
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        assert torch.equal(examples.values[i], pixels)


def test_cifar10_is_torchvisions(cifar10, monkeypatch):
    data = prepared(CIFAR10(data_dir=cifar10))
    names = {"label_names": list(CIFAR10.class_names)}
    (cifar10 / FOLDER / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *args: True)
    assert_same(data.train, torchvision.datasets.CIFAR10(str(cifar10), train=True))
    assert_same(data.test, torchvision.datasets.CIFAR10(str(cifar10), train=False))
    assert (len(data.train), len(data.test)) == (100, 20)


def test_svhn_is_torchvisions(svhn, monkeypatch):
    data = prepared(SVHN(data_dir=svhn, val_size=10))
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    assert_same(data.test, torchvision.datasets.SVHN(str(svhn / "svhn"), "test"))
    assert [len(part) for part in (data.train, data.val, data.test)] == [70, 10, 40]
    assert set(data.train.labels.tolist()) == set(range(10))


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def test_a_pickle_runs_nothing(cifar10, monkeypatch):
    monkeypatch.chdir(cifar10)
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "more": Attack()}
    (cifar10 / BATCH).write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(InputError, match=r"data_batch_3: damaged: it holds posix.mkdir"):
        prepared(CIFAR10(data_dir=cifar10))
    assert not (cifar10 / "attacked").exists()


@pytest.mark.parametrize(
    "batch",
    [
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]},
        {"data": np.zeros((2, 3072)), "labels": [0, 1]},
        {"labels": [0, 1]},
        b"cut off",
    ],
)
def test_damaged_batches(cifar10, batch):
    content = batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=2)
    (cifar10 / BATCH).write_bytes(content)
    with pytest.raises(InputError, match=r"data_batch_3: damaged: .*; delete .*run again"):
        prepared(CIFAR10(data_dir=cifar10))


@pytest.mark.parametrize(
    "content",
    [
        {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((3, 1))},
        {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.full((2, 1), 11)},
        {"X": np.zeros((32, 32, 2), np.uint8), "y": np.ones((2, 1))},
        {"y": np.ones((2, 1))},
        None,
    ],
)
def test_damaged_mat_files(svhn, content):
    file = svhn / "svhn/test_32x32.mat"
    file.write_bytes(b"cut off") if content is None else savemat(file, content)
    with pytest.raises(InputError, match=r"test_32x32\.mat: damaged: .*delete it, and run again"):
        prepared(SVHN(data_dir=svhn))


@pytest.mark.parametrize("kind", [CIFAR10, SVHN])
def test_no_data_and_no_network(kind, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(torchvision.datasets, kind.__name__, fail)
    with pytest.raises(InputError) as error:
        prepared(kind(data_dir=tmp_path / "new"))
    for part in ("no network", "Two ways to get it", "AUTOENCODERS_DATA", "dataset=avatars"):
        assert part in str(error.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", [CIFAR10, SVHN])
def test_what_is_downloaded_is_moved_when_it_is_complete(kind, tmp_path, monkeypatch):
    def download(root, split="", download=False):
        assert download
        if kind is CIFAR10:
            write_cifar10(Path(root, FOLDER))
        else:
            write_svhn(Path(root, split))
            shutil.move(Path(root, split, f"{split}_32x32.mat"), root)

    monkeypatch.setattr(torchvision.datasets, kind.__name__, download)
    data = prepared(kind(data_dir=tmp_path / "new"))
    assert kind.is_in(tmp_path / "new")
    assert not list((tmp_path / "new").glob(".download*"))
    assert len(data.test)
