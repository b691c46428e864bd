"""Data sets: where they are looked for, how they are read and how they are split."""

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.datasets
from conftest import (
    MNIST_LIKE,
    write_data_set,
    write_idx,
)
from pytorch_lightning.trainer.states import TrainerFn

from autoencoders.data import (
    MNIST,
    DataModule,
    Digits,
    Examples,
    FashionMNIST,
    base,
    to_floats,
)
from autoencoders.errors import InputError


class Vectors(DataModule):
    """Unbounded vectors without labels."""

    label = "vectors"
    kind = "vector"
    bounded = False
    shape = (5,)

    def load(self):
        values = 100 * torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
        return Examples(values[:40]), Examples(values[40:])


@pytest.fixture
def no_download(monkeypatch):
    """A machine without a network and without system packages."""

    def fail(*args, **kwargs):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\n<urlopen error>")

    for data_set in MNIST_LIKE:
        monkeypatch.setattr(torchvision.datasets, data_set.label, fail)
        monkeypatch.setattr(data_set, "system_dir", None)


def prepared(data):
    data.prepare_data()
    data.setup()
    return data


# Examples -----------------------------------------------------------------------------------------


def test_bytes_are_scaled_and_floats_left_as_they_are():
    images = torch.tensor([[[[0, 51]]], [[[255, 102]]]], dtype=torch.uint8)
    torch.testing.assert_close(to_floats(images).flatten(), torch.tensor([0, 0.2, 1, 0.4]))
    vectors = torch.tensor([[-3.0, 300.0]])
    assert torch.equal(to_floats(vectors), vectors)


def test_examples():
    values = torch.arange(12, dtype=torch.uint8).reshape(4, 1, 1, 3)
    examples = Examples(values, torch.tensor([3, 2, 1, 0]))
    assert len(examples) == 4
    x, labels, _ = examples[torch.tensor([2, 0])]
    assert x.flatten().tolist() == [6, 7, 8, 0, 1, 2]
    assert labels.tolist() == [1, 3]
    part = examples.subset(torch.tensor([1, 3]))
    assert part.values[:, 0, 0, 0].tolist() == [3, 9]
    assert part.labels.tolist() == [2, 0]
    torch.testing.assert_close(examples.x(), values.float() / 255)
    torch.testing.assert_close(examples.x(2), values[:2].float() / 255)


def test_examples_without_labels():
    labels = Examples(torch.randn(4, 5)).labels
    assert labels.tolist() == [0] * 4
    assert labels.dtype == torch.long


# Every data set -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data_set", MNIST_LIKE)
def test_a_folder_holds_a_data_set_when_it_has_all_its_files(data_set, data_dir):
    assert data_set.is_in(data_dir)
    assert not data_set.is_in(data_dir / "other")
    next((data_dir / data_set.label / "raw").iterdir()).unlink()
    assert not data_set.is_in(data_dir)


def test_vectors_reach_the_model_as_they_are():
    data = prepared(Vectors(batch_size=10))
    batch = next(iter(data.test_dataloader()))
    x, labels, _ = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(x, data.test.values)
    assert labels.tolist() == [0] * 10


def test_digits_need_no_files(tmp_path):
    data = prepared(Digits(data_dir=tmp_path, val_size=200))
    assert (len(data.train), len(data.val), len(data.test)) == (1300, 200, 297)
    assert data.train.values.shape == (1300, 1, 28, 28)
    assert data.train.values.dtype == torch.uint8
    assert data.train.values.max() == 255
    assert not list(tmp_path.iterdir())
    assert Digits.is_in(tmp_path)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    data = prepared(Digits())
    assert data.train.labels.tolist() == labels[:1500].tolist()
    assert data.test.labels.tolist() == labels[1500:].tolist()
    # Bilinear, pixels' centres at halves: linear along one axis and then along the other.
    old, new = np.arange(8) + 0.5, (np.arange(28) + 0.5) * 8 / 28
    linear = np.stack([np.interp(new, old, unit) for unit in np.eye(8)], 1)  # (28, 8)
    expected = linear @ (pixels[1500:].reshape(-1, 8, 8) / 16) @ linear.T
    np.testing.assert_allclose(data.test.x()[:, 0], expected, atol=0.51 / 255)


def test_a_batch_is_scaled_after_its_transfer(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=10))
    batch = next(iter(data.test_dataloader()))
    assert batch[0].dtype == torch.uint8
    x, labels, _ = data.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(x, data.test.values[:10].float() / 255)
    assert (x.min() >= 0) & (x.max() <= 1)
    assert labels.tolist() == list(range(10))


def test_the_seed_chooses_the_validation_set_and_not_the_test_set(data_dir):
    data, other = (prepared(MNIST(data_dir=data_dir, val_size=20, seed=seed)) for seed in (1, 2))
    assert (len(data.train), len(data.val)) == (76, 20)
    assert not torch.equal(data.val.values, other.val.values)
    assert torch.equal(data.test.values, other.test.values)


def test_the_reference_is_the_same_whatever_the_seed(monkeypatch):
    monkeypatch.setattr(base, "REFERENCE", 100)
    data, other = (prepared(Digits(val_size=200, seed=seed)) for seed in (1, 2))
    assert not torch.equal(data.train.values, other.train.values)
    assert torch.equal(data.reference.values, other.reference.values)
    outside = torch.cat([data.train.values, data.val.values]).flatten(1).tolist()
    chosen = set(map(tuple, data.reference.values.flatten(1).tolist()))
    assert len(chosen) == 100
    assert chosen <= set(map(tuple, outside))


def test_a_reference_of_large_images_has_fewer(monkeypatch):
    monkeypatch.setattr(base, "REFERENCE_NUMBERS", 50 * 784)
    assert len(prepared(Digits()).reference) == 50


def test_an_epoch_sees_every_image_once(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=10))
    images = torch.cat([images for images, *_ in data.train_dataloader()])
    assert len(images) == 96
    assert len(images.flatten(1).unique(dim=0)) == 96


def trainer_of(processes, rank=0):
    """A trainer, as far as a data module asks it."""
    place = {"world_size": processes, "global_rank": rank, "is_global_zero": rank == 0}
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")), **place)


def test_two_processes_share_an_epoch(data_dir):
    seen = []
    for rank in range(2):
        data = prepared(MNIST(data_dir=data_dir, batch_size=10))
        data.trainer = trainer_of(2, rank)
        seen.append(torch.cat([images for images, *_ in data.train_dataloader()]).flatten(1))
    assert [len(images) for images in seen] == [48, 48]
    assert len(torch.cat(seen).unique(dim=0)) == 96


def test_the_order_changes_with_the_epoch_and_repeats_with_the_seed(data_dir):
    def order(seed, epoch):
        data = prepared(MNIST(data_dir=data_dir, batch_size=96, seed=seed))
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return next(iter(loader))[0]

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(5, 1))


def test_a_last_batch_of_one_is_left_out_in_training_alone(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=19))  # 96 = 5 x 19 + 1
    assert [len(images) for images, *_ in data.train_dataloader()] == [19] * 5
    assert sum(len(images) for images, *_ in data.test_dataloader()) == 40


def test_gzipped_files_are_read(data_dir, tmp_path):
    for file in (data_dir / "MNIST/raw").iterdir():
        target = tmp_path / "zipped/MNIST/raw" / f"{file.name}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(file.read_bytes()))
    plain = prepared(MNIST(data_dir=data_dir))
    zipped = prepared(MNIST(data_dir=tmp_path / "zipped"))
    assert torch.equal(plain.train.values, zipped.train.values)


def test_data_dir_comes_before_the_systems(data_dir, tmp_path, no_download, monkeypatch):
    write_data_set(tmp_path / "system", train=50)
    monkeypatch.setattr(FashionMNIST, "system_dir", tmp_path / "system")
    assert len(prepared(FashionMNIST(data_dir=data_dir)).train) == 96
    assert len(prepared(FashionMNIST(data_dir=tmp_path / "empty")).train) == 50


def test_what_is_nowhere_is_downloaded_into_data_dir(tmp_path, monkeypatch):
    def download(root, download):
        assert download
        write_data_set(Path(root) / "MNIST/raw")

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    assert len(prepared(MNIST(data_dir=tmp_path)).train) == 96


def test_no_data_and_no_network(tmp_path, no_download):
    with pytest.raises(InputError) as error:
        MNIST(data_dir=tmp_path).prepare_data()
    line = str(error.value)
    assert "\n" not in line
    for way in ("network", "put the four IDX files", "AUTOENCODERS_DATA", "dataset=digits"):
        assert way in line
    with pytest.raises(InputError, match="apt install dataset-fashion-mnist"):
        FashionMNIST(data_dir=tmp_path).prepare_data()


IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (IMAGES, lambda b: b[:1000], "expected 75280 bytes, found 1000; delete the file and run"),
        (IMAGES, lambda b: b + b"x", "expected 75280 bytes, found 75281"),
        (IMAGES, lambda b: b[:10], "expected a 16-byte header, found 10"),
        (LABELS, lambda b: b[:4] + bytes(4), "expected 9 bytes, found 8"),
        (IMAGES, lambda b: b"", "expected an IDX file of bytes"),
        (IMAGES, lambda b: b"<html>" + b, "expected an IDX file of bytes"),
        (LABELS, lambda b: b[:4] + struct.pack(">I", 95) + b[8:-1], "expected 96 labels, found 95"),
        (LABELS, lambda b: b[:-1] + b"\x0a", "expected labels 0 to 9, found 10"),
    ],
)
def test_damaged_files_are_named(data_dir, file, damage, message):
    path = data_dir / "MNIST/raw" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message) as error:
        prepared(MNIST(data_dir=data_dir))
    assert str(path) in str(error.value)


def test_images_of_another_size_are_refused(data_dir):
    write_idx(data_dir / "MNIST/raw" / IMAGES, torch.zeros(96, 32, 32))
    with pytest.raises(InputError, match="expected N x 28 x 28 pixels, found 96 x 32 x 32"):
        prepared(MNIST(data_dir=data_dir))


@pytest.mark.parametrize("size", [95, 96, 1000])
def test_a_validation_set_that_leaves_nothing(data_dir, size):
    with pytest.raises(InputError, match=f"val_size={size}.*allowed: at most 94"):
        prepared(MNIST(data_dir=data_dir, val_size=size))


@pytest.mark.parametrize("key", [{"batch_size": 1}, {"batch_size": 0}, {"val_size": -1}])
def test_arguments_outside_their_range(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        Digits(**key)


@pytest.mark.parametrize("kind", MNIST_LIKE)
def test_the_real_data_against_torchvision(kind, real_data_dir):
    data = prepared(kind(data_dir=real_data_dir, val_size=5000))
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5_000, 10_000)
    reference = getattr(torchvision.datasets, kind.label)
    test = reference(str(real_data_dir), train=False)
    assert torch.equal(data.test.values[:, 0], test.data)
    assert torch.equal(data.test.labels, test.targets)
    assert set(data.train.labels.tolist()) == set(range(len(data.class_names)))


def test_setup_reads_once(data_dir, monkeypatch):
    data = prepared(MNIST(data_dir=data_dir))
    monkeypatch.setattr(MNIST, "load", lambda self: pytest.fail("read twice"))
    data.setup(TrainerFn.TESTING)


def test_a_training_set_of_one_example_for_each_process(data_dir):
    """Batch normalization has nothing to normalise over: no batch would come out."""
    data = prepared(MNIST(data_dir=data_dir, batch_size=8, val_size=94))
    data.trainer = trainer_of(2)
    with pytest.raises(InputError, match="leaves 2 examples to train on, where 2 processes need"):
        data.train_dataloader()
    data.trainer = trainer_of(1)
    assert len(data.train_dataloader()) == 1


def trained_on(data, epoch):
    """A process's batches of images in an epoch."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [images for images, *_ in loader]


def assert_same_images(images, others):
    assert sorted(images.flatten(1).tolist()) == sorted(others.flatten(1).tolist())


@pytest.mark.parametrize(("asked", "batches"), [(1, 1), (2, 2), (0.4, 2), (1.0, 6), (99, 6)])
def test_overfitting_repeats_the_first_batches(asked, batches, data_dir, capsys):
    data = prepared(MNIST(data_dir=data_dir, batch_size=16, val_size=8))  # 5 full batches, 1 of 8
    data.overfit_batches = asked
    data.trainer = trainer_of(1)
    first, second = trained_on(data, 0), trained_on(data, 1)
    assert len(first) == len(second) == batches
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert_same_images(torch.cat(first), data.train.values[: 16 * batches])
    assert f"trains on the same {batches} of 6 batches" in capsys.readouterr().out
    assert (len(data.val_dataloader()), len(data.test_dataloader())) == (1, 3)


def test_processes_share_the_batches_to_overfit(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=8))
    data.overfit_batches = 2
    seen = []
    for rank in range(2):
        data.trainer = trainer_of(2, rank)
        mine = trained_on(data, 0)
        assert len(mine) == 2
        seen += mine
    assert_same_images(torch.cat(seen), data.train.values[:32])


def test_fewer_images_than_processes():
    data = prepared(Digits(val_size=1))
    data.trainer = trainer_of(2)
    data.test_dataloader()
    with pytest.raises(InputError, match=r"val_size=1: 1 examples do not go round 2 processes"):
        data.val_dataloader()
