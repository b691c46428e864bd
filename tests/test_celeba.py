"""CelebA, on a small folder of its layout."""

import pytest
import torch
import torchvision.datasets
from conftest import write_celeba
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from autoencoders.data import CelebA
from autoencoders.errors import InputError

PARTS = (12, 5, 7)


@pytest.fixture
def celeba(tmp_path):
    write_celeba(tmp_path / "celeba", PARTS)
    return tmp_path


def prepared(data_dir, **arguments):
    data = CelebA(data_dir=data_dir, **{"val_size": PARTS[1]} | arguments)
    data.prepare_data()
    data.setup()
    return data


def test_images_and_labels_are_torchvisions(celeba, monkeypatch):
    data = prepared(celeba, factor="Smiling")
    monkeypatch.setattr(torchvision.datasets.CelebA, "_check_integrity", lambda self: True)
    n = sum(PARTS)
    names = [f"{i + 1:06}.jpg" for i in range(n)]
    (celeba / "celeba/identity_CelebA.txt").write_text("\n".join(f"{name} 1" for name in names))
    for file in ("list_bbox_celeba", "list_landmarks_align_celeba"):
        lines = [str(n), "x", *(f"{name} 1" for name in names)]
        (celeba / f"celeba/{file}.txt").write_text("\n".join(lines))
    look = Compose([CenterCrop(140), Resize(64), PILToTensor()])
    for split, part in (("train", data.train), ("valid", data.val), ("test", data.test)):
        reference = torchvision.datasets.CelebA(str(celeba), split=split, transform=look)
        assert len(part) == len(reference)
        for i in range(len(reference)):
            image, attributes = reference[i]
            assert torch.equal(part.values[i], image)
            assert part.labels[i] == attributes[reference.attr_names.index("Smiling")]
    assert data.class_names == ("not Smiling", "Smiling")


def test_another_validation_size_is_taken_from_the_end(celeba):
    data = prepared(celeba, val_size=2)
    assert [len(part) for part in (data.train, data.val, data.test)] == [15, 2, 7]


def test_an_attribute_that_there_is_not(celeba):
    with pytest.raises(InputError, match=r"dataset\.factor=Hat: allowed: Male, Smiling"):
        prepared(celeba, factor="Hat")


@pytest.mark.parametrize("lacking", ["img_align_celeba", "list_attr_celeba.txt"])
def test_files_that_cannot_be_had(celeba, monkeypatch, lacking):
    (celeba / "celeba" / lacking).rename(celeba / "elsewhere")

    def fail(*args, **kwargs):
        raise RuntimeError("no module named gdown")

    monkeypatch.setattr(torchvision.datasets, "CelebA", fail)
    assert not CelebA.is_in(celeba)
    with pytest.raises(InputError) as error:
        prepared(celeba)
    for part in ("gdown", "list_eval_partition.txt", "AUTOENCODERS_DATA", "dataset=avatars"):
        assert part in str(error.value)


def test_damaged_lists_and_missing_images(celeba):
    (celeba / "celeba/img_align_celeba/000003.jpg").unlink()
    with pytest.raises(InputError, match=r"000003\.jpg: no such file"):
        prepared(celeba)
    (celeba / "celeba/list_eval_partition.txt").write_text("000001.jpg zero\n")
    with pytest.raises(InputError, match=r"list_eval_partition\.txt: damaged"):
        prepared(celeba)
