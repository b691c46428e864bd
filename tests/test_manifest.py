"""What a run remembers of its data, held against data that have changed since."""

import json

import numpy as np
import pytest
import torch

from autoencoders.data import DataModule, Examples
from autoencoders.data.examples import join
from autoencoders.data.manifest import Manifest
from autoencoders.errors import InputError


class Rows(DataModule):
    """Vectors in memory; every fifth tests."""

    label, kind, bounded = "rows", "vector", False

    def __init__(self, x, labels=None, names=None, class_names=(), **common):
        super().__init__(val_size=10, **common)
        self.x, self.labels, self.names = torch.tensor(x).float(), labels, names
        self.shape, self.class_names = (self.x.shape[1],), class_names

    def load(self):
        everything = Examples(self.x, self.labels, names=self.names)
        test = torch.arange(len(self.x)) % 5 == 0
        return everything.subset(~test), everything.subset(test)


def prepared(x, recorded=None, take_new=False, **rest):
    data = Rows(x, **rest)
    data.recorded, data.take_new = recorded, take_new
    data.setup()
    return data


def sets(data):
    """The examples of each split, as sets of tuples."""
    return [
        {tuple(row.tolist()) for row in part.values} for part in (data.train, data.val, data.test)
    ]


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(60, 3))


def names_of(n):
    return [f"row {i}" for i in range(n)]


def test_saved_and_read_back(x, tmp_path):
    data = prepared(x, names=names_of(60))
    data.left_out = {"beside the classes": ["a.png"]}
    data.manifest.save(tmp_path)
    manifest = Manifest.load(tmp_path)
    for name in ("keys", "contents", "splits", "reference"):
        np.testing.assert_array_equal(getattr(manifest, name), getattr(data.manifest, name))
    assert manifest.description == data.manifest.description
    text = json.loads((tmp_path / "data.json").read_text())
    assert text["examples"] == {"train": 38, "val": 10, "test": 12}
    assert text["left_out"] == {"beside the classes": ["a.png"]}
    assert text["inventory"] == (
        "rows: 60 rows, 3 columns; 38 training, 10 validation, 12 test;"
        " left out: 1 beside the classes"
    )
    low, high = text["range"]
    train = torch.cat([data.train.values, data.val.values])
    assert (low, high) == (train.min().item(), train.max().item())


@pytest.mark.parametrize("named", [True, False])
def test_other_order(x, named, capsys):
    """Each example is in the split, and at the place, that it had."""
    names = np.array(names_of(60)) if named else None
    first = prepared(x, names=names)
    order = np.random.default_rng(1).permutation(60)
    again = prepared(x[order], first.manifest, names=names[order] if named else None, seed=7)
    for one, other in zip(
        (first.train, first.val, first.test), (again.train, again.val, again.test), strict=True
    ):
        assert torch.equal(one.values, other.values)
    assert torch.equal(first.reference.values, again.reference.values)
    assert not any(again.changes.of("train", "val", "test"))
    assert "since" not in capsys.readouterr().out


@pytest.mark.parametrize("take_new", [True, False])
def test_new_rows(x, take_new, capsys):
    first = prepared(x)
    more = np.concatenate([[[9, 9, 9], [8, 8, 8]], x])  # the first of them would test
    again = prepared(more, first.manifest, take_new)
    assert again.changes.of("train", "val", "test") == [
        "1 training example is new",
        "1 test example is new",
    ]
    new = [{(8.0, 8.0, 8.0)}, set(), {(9.0, 9.0, 9.0)}] if take_new else [set()] * 3
    assert sets(again) == [old | more for old, more in zip(sets(first), new, strict=True)]
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("rows: since the run was trained, 1 training example is new, 1 test")
    assert ("allow_changed_data=true" in line) is not take_new


def test_rows_that_are_gone(x):
    first = prepared(x)
    there = np.delete(x, [0, 1, 2, 5], axis=0)  # 0 and 5 test
    again = prepared(there, first.manifest)
    assert [len(old - now) for old, now in zip(sets(first), sets(again), strict=True)] in (
        [2, 0, 2],
        [1, 1, 2],
        [0, 2, 2],
    )
    assert again.changes.gone["test"] == 2
    assert sum(again.changes.gone.values()) == 4


def test_a_row_that_holds_something_else(x):
    first = prepared(x, names=names_of(60))
    other = x.copy()
    other[10] += 1
    again = prepared(other, first.manifest, names=names_of(60))
    assert again.changes.of("train", "val", "test") == ["1 test example is changed"]


def test_equal_rows_are_told_apart(x):
    twice = np.concatenate([x, x])
    first = prepared(twice)
    again = prepared(twice[::-1].copy(), first.manifest)
    assert not any(again.changes.of("train", "val", "test"))
    assert torch.equal(first.test.values, again.test.values)


def test_classes_are_known_by_their_names(x, capsys):
    kinds = np.array(["cat", "dog", "emu"])[np.arange(60) % 3]
    names = np.array(names_of(60))
    known = kinds != "dog"

    def labelled(rows, classes):
        labels = torch.tensor([classes.index(kind) for kind in kinds[rows]])
        return {"labels": labels, "names": names[rows], "class_names": classes}

    first = prepared(x[known], **labelled(known, ("cat", "emu")))
    everything = np.ones(60, bool)
    again = prepared(x, first.manifest, **labelled(everything, ("cat", "dog", "emu")))
    assert again.class_names == ("cat", "emu")
    for one, other in zip((first.train, first.test), (again.train, again.test), strict=True):
        assert torch.equal(one.labels, other.labels)
        assert one.names.tolist() == other.names.tolist()
    assert "classes that the run does not know: dog" in capsys.readouterr().out
    fewer = prepared(x[kinds == "emu"], first.manifest, **labelled(kinds == "emu", ("emu",)))
    assert set(fewer.train.labels.tolist()) == {1}


@pytest.mark.parametrize(
    "damage", ["no npz", "empty npz", "short npz", "short keys", "text", "key"]
)
def test_a_damaged_manifest(x, tmp_path, damage):
    prepared(x).manifest.save(tmp_path)
    file, arrays = tmp_path / "data.json", tmp_path / "data.npz"
    if damage == "no npz":
        arrays.unlink()
    elif damage == "short npz":
        arrays.write_bytes(arrays.read_bytes()[:100])
    elif damage == "empty npz":
        arrays.write_bytes(b"")
    elif damage == "short keys":
        content = dict(np.load(arrays))
        np.savez(arrays, **{**content, "keys": content["keys"][:-1]})
    elif damage == "text":
        file.write_text("{")
    else:
        file.write_text(file.read_text().replace('"test": 12', '"test": 13'))
    with pytest.raises(InputError, match="damaged"):
        Manifest.load(tmp_path)


def test_no_manifest(tmp_path):
    assert Manifest.load(tmp_path) is None


def test_a_validation_set_of_ones_own(x):
    class Own(Rows):
        def load(self):
            parts = Examples(self.x)
            return parts.subset(slice(30)), parts.subset(slice(30, 40)), parts.subset(slice(40, 60))

    data = Own(x)
    data.setup()
    assert [len(part) for part in (data.train, data.val, data.test)] == [30, 10, 20]
    assert len(data.reference) == 40
    data.judge_on("val")
    assert torch.equal(data.held_out.values, torch.tensor(x[30:40]).float())


def test_parts_of_one_store_are_joined_without_a_copy():
    store = torch.arange(12.0).view(6, 2)
    everything = Examples(store, torch.arange(6), names=list("abcdef"))
    some, others = everything.subset(torch.tensor([5, 0])), everything.subset(slice(2, 4))
    both = join([some, others])
    assert both.stored is store
    assert both.values.tolist() == [[10, 11], [0, 1], [4, 5], [6, 7]]
    assert both.labels.tolist() == [5, 0, 2, 3]
    assert both.names.tolist() == ["f", "a", "c", "d"]
    assert both.subset(slice(1, 3))[:].x.tolist() == [[0, 1], [4, 5]]
    apart = join([some, Examples(torch.zeros(1, 2))])
    assert apart.values.tolist() == [[10, 11], [0, 1], [0, 0]]
    assert apart.names is None
