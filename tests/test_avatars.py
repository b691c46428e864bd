"""Avatars: what they are composed of, and what their labels say."""

from pathlib import Path

import numpy as np
import pytest
import robohash
import torch
from PIL import Image

from autoencoders.data import Avatars, avatars
from autoencoders.errors import InputError

PICTURES = Path(robohash.__file__).parent / "sets/set5"
N = 40


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    data = Avatars(data_dir=tmp_path_factory.mktemp("data"), images=N, val_size=6)
    data.prepare_data()
    data.setup()
    return data


def test_what_they_are(composed):
    assert [len(part) for part in (composed.train, composed.val, composed.test)] == [30, 6, 4]
    assert composed.train.values.dtype == torch.uint8
    assert composed.train.factors.shape == (30, 8)
    assert composed.class_names == tuple(sorted(file.stem for file in PICTURES.glob("*Body/*")))
    assert torch.equal(composed.train.labels, composed.train.factors[:, 0])


def test_layers_lie_one_over_the_other(composed):
    """The same pictures by Pillow, at their full size, in the order of their folders' names."""
    layers = avatars.find_layers()
    for row in (0, 7):
        canvas = Image.new("RGBA", (1024, 1024), "white")
        chosen = avatars.draw(layers, N)[row]
        files = [layer.files[index] for layer, index in zip(layers.values(), chosen, strict=True)]
        for file in sorted(files, key=lambda file: file.parent.name):
            canvas = Image.alpha_composite(canvas, Image.open(file).convert("RGBA"))
        expected = np.asarray(canvas.convert("RGB").reduce(16), float).transpose(2, 0, 1)
        difference = np.abs(composed.train.values[row].numpy() - expected)
        assert difference.mean() < 1  # edges that two layers share
        assert np.quantile(difference, 0.97) <= 3


def test_labels_tell_the_pictures():
    layers = avatars.find_layers()
    choices = avatars.draw(layers, N)
    assert [layer.files[0].parent.name for layer in layers.values()] == sorted(
        folder.name for folder in PICTURES.iterdir() if folder.is_dir()
    )
    for layer, column in zip(layers.values(), choices.T, strict=True):
        assert {file.name for file in layer.files} == {
            file.name for file in layer.files[0].parent.glob("*.png")
        }
        for index in column:
            kind = layer.kinds[layer.kind_of[index]]
            rest = layer.files[index].name.removeprefix(kind)
            assert rest[0] in "-.0123456789"


def test_kinds_are_drawn_uniformly_and_independently():
    layers = avatars.find_layers()
    n = 20_000
    choices = avatars.draw(layers, n)
    assert (choices == avatars.draw(layers, n)).all()
    kinds = [
        layer.kind_of[column] for layer, column in zip(layers.values(), choices.T, strict=True)
    ]
    for layer, drawn in zip(layers.values(), kinds, strict=True):
        expected = n / len(layer.kinds)
        assert np.abs(np.bincount(drawn) - expected).max() < 5 * expected**0.5
    both = np.histogram2d(kinds[0], kinds[3], bins=(7, 12))[0]
    assert np.abs(both - n / 84).max() < 5 * (n / 84) ** 0.5


def test_they_are_composed_once(composed, monkeypatch):
    monkeypatch.setattr(avatars, "read_picture", lambda file: pytest.fail("composed again"))
    again = Avatars(data_dir=composed.data_dir, images=N, val_size=6, factor="glasses", seed=3)
    again.prepare_data()
    again.setup()
    assert torch.equal(again.train.values, composed.train.values)
    assert torch.equal(again.test.labels, composed.test.factors[:, 7])
    assert again.class_names[0] == "Blank"


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(avatars, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"dataset=avatars: .*pip install -e '\.\[faces\]'"):
        Avatars(data_dir=tmp_path).prepare_data()


@pytest.mark.parametrize("key", [{"images": 29}, {"factor": "nose"}])
def test_arguments_outside_their_range(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        Avatars(**key)
