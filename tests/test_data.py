"""Data sets: where they are looked for, how they are read and how they are split."""

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision.datasets
from conftest import write_data_set, write_idx
from pytorch_lightning.trainer.states import TrainerFn

from autoencoders.data import MNIST, Digits, FashionMNIST
from autoencoders.errors import InputError
from autoencoders.idx import read_idx


@pytest.fixture
def no_download(monkeypatch):
    """A machine without a network and without system packages."""

    def fail(*args, **kwargs):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\n<urlopen error>")

    for label in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(torchvision.datasets, label, fail)
    monkeypatch.setattr(FashionMNIST, "system_dir", None)


def prepared(data):
    data.prepare_data()
    data.setup()
    return data


def test_digits_need_no_files(tmp_path):
    data = prepared(Digits(data_dir=tmp_path, val_size=200))
    assert (len(data.train), len(data.val), len(data.test)) == (1300, 200, 297)
    assert data.train.images.shape == (1300, 1, 28, 28)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.max() == 255
    assert not list(tmp_path.iterdir())


def test_a_batch_is_scaled_after_its_transfer(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=10))
    batch = next(iter(data.test_dataloader()))
    assert batch[0].dtype == torch.uint8
    x, labels = data.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(x, data.test.images[:10].float() / 255)
    assert (x.min() >= 0) & (x.max() <= 1)
    assert labels.tolist() == list(range(10))


def test_the_split_is_seeded_and_leaves_nothing_out(data_dir):
    everything = prepared(MNIST(data_dir=data_dir))
    data = prepared(MNIST(data_dir=data_dir, val_size=20, seed=1))
    again = prepared(MNIST(data_dir=data_dir, val_size=20, seed=1))
    other = prepared(MNIST(data_dir=data_dir, val_size=20, seed=2))
    assert (len(data.train), len(data.val)) == (76, 20)
    assert torch.equal(data.val.images, again.val.images)
    assert not torch.equal(data.val.images, other.val.images)
    parts = torch.cat([data.train.images, data.val.images]).flatten(1)
    assert set(map(tuple, parts.tolist())) == set(
        map(tuple, everything.train.images.flatten(1).tolist())
    )
    assert torch.equal(data.test.images, everything.test.images)


def test_an_epoch_sees_every_image_once(data_dir):
    data = prepared(MNIST(data_dir=data_dir, batch_size=10))
    images = torch.cat([images for images, _ in data.train_dataloader()])
    assert len(images) == 96
    assert len(images.flatten(1).unique(dim=0)) == 96


def test_two_processes_share_an_epoch(data_dir):
    seen = []
    for rank in range(2):
        data = prepared(MNIST(data_dir=data_dir, batch_size=10))
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank, strategy=strategy)
        seen.append(torch.cat([images for images, _ in data.train_dataloader()]).flatten(1))
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
    assert [len(images) for images, _ in data.train_dataloader()] == [19] * 5
    assert sum(len(images) for images, _ in data.test_dataloader()) == 40


def test_gzipped_files_are_read(data_dir, tmp_path):
    for file in (data_dir / "MNIST/raw").iterdir():
        target = tmp_path / "zipped/MNIST/raw" / f"{file.name}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(file.read_bytes()))
    plain = prepared(MNIST(data_dir=data_dir))
    zipped = prepared(MNIST(data_dir=tmp_path / "zipped"))
    assert torch.equal(plain.train.images, zipped.train.images)


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


def test_a_truncated_gzip_file_is_named(data_dir, tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress((data_dir / "MNIST/raw" / LABELS).read_bytes())[:-9])
    with pytest.raises(InputError, match=r"labels\.gz: .*delete the file"):
        read_idx(path)


@pytest.mark.parametrize("size", [95, 96, 1000])
def test_a_validation_set_that_leaves_nothing(data_dir, size):
    with pytest.raises(InputError, match=f"val_size={size}.*allowed: at most 94"):
        prepared(MNIST(data_dir=data_dir, val_size=size))


@pytest.mark.parametrize("key", [{"batch_size": 1}, {"batch_size": 0}, {"val_size": -1}])
def test_arguments_outside_their_range(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        Digits(**key)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_the_real_data_against_torchvision(kind, real_data_dir):
    data = prepared(kind(data_dir=real_data_dir, val_size=5000))
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5_000, 10_000)
    reference = getattr(torchvision.datasets, kind.label)
    test = reference(str(real_data_dir), train=False)
    assert torch.equal(data.test.images[:, 0], test.data)
    assert torch.equal(data.test.labels, test.targets)
    assert set(data.train.labels.tolist()) == set(range(len(data.class_names)))


def test_setup_reads_once(data_dir, monkeypatch):
    data = prepared(MNIST(data_dir=data_dir))
    monkeypatch.setattr(MNIST, "load", lambda self: pytest.fail("read twice"))
    data.setup(TrainerFn.TESTING)


def test_fewer_images_than_processes():
    data = prepared(Digits(val_size=1))
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(world_size=2, global_rank=0, strategy=strategy)
    data.test_dataloader()
    with pytest.raises(InputError, match=r"val_size=1: 1 images do not go round 2 processes"):
        data.val_dataloader()
