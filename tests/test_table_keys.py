"""What a user says of a table's columns and rows: each key against a recomputation by pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from autoencoders.data import Table, store
from autoencoders.data.splits import by_group, by_name
from autoencoders.errors import InputError

N = 200


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(N, 5)) * [1, 2, 3, 4, 5], columns=list("abcde"))
    donors = random.integers(12, size=N)
    return x.assign(
        kind=np.array(["low", "high"])[(x["a"] > 0).astype(int)],
        donor=[f"donor {d}" for d in donors],
        sex=np.array(["f", "m"])[random.integers(2, size=N)],
    )


def read(frame, folder, **keys):
    """A table of a frame that is written to a file."""
    frame.to_csv(folder / "t.csv", index=False)
    text = {"kind", "donor", "sex"} & {*frame} - {keys.get("labels"), keys.get("group_column")}
    keys = {"drop": sorted(text - {keys.get("one_hot")}), **keys}
    data = Table(path=folder / "t.csv", **keys)
    data.setup()
    return data


def splits_of(frame, data):
    """Which rows of the frame are in training, validation and test, by their values of b."""
    place = data.feature_names.index("b")
    values = frame["b"].to_numpy(np.float32)
    return [
        {int(np.flatnonzero(values == v)[0]) for v in part.values[:, place].numpy()}
        for part in (data.train, data.val, data.test)
    ]


def rows(data, frame):
    """All of a table's vectors in the frame's order."""
    values = torch.cat([data.train.values, data.val.values, data.test.values]).numpy()
    places = [sorted(split) for split in splits_of(frame, data)]
    whole = np.full((len(frame), values.shape[1]), np.nan, np.float32)
    whole[np.concatenate(places).astype(int)] = values
    return whole


# Columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({}, "abcde"),
        ({"drop": ["c", "kind", "donor", "sex"]}, "abde"),
        ({"drop": ["[cd]*", "kind", "sex"]}, "abe"),  # donor, too
        ({"columns": ["b", "[d-e]"], "drop": None}, "bde"),
        ({"columns": "?", "drop": "e"}, "abcd"),
    ],
)
def test_columns_by_name_and_pattern(keys, kept, frame, tmp_path):
    data = read(frame, tmp_path, **keys)
    assert data.feature_names == tuple(kept)
    np.testing.assert_array_equal(rows(data, frame), frame[list(kept)].to_numpy(np.float32))


@pytest.mark.parametrize("key", ["columns", "drop"])
def test_a_pattern_that_fits_nothing(key, frame, tmp_path):
    with pytest.raises(InputError, match=f"dataset.{key}=z_.: not in .*; allowed: a, b, c, d, e, "):
        read(frame, tmp_path, **{key: ["z_?"]})


def test_no_column_is_left(frame, tmp_path):
    with pytest.raises(InputError, match="leave none of its columns; allowed: some of a, b"):
        read(frame, tmp_path, drop="*")


def test_columns_of_text_are_named_with_the_key(frame, tmp_path):
    with pytest.raises(InputError, match=r"2 columns hold .*: donor .*, sex .*drop=\[donor,sex\]"):
        read(frame, tmp_path, labels="kind", drop=None)


def test_text_becomes_a_feature_for_each_value(frame, tmp_path):
    data = read(frame, tmp_path, one_hot="sex")
    assert data.feature_names == ("a", "b", "c", "d", "e", "sex=f", "sex=m")
    expected = pd.get_dummies(frame["sex"]).to_numpy(np.float32)
    np.testing.assert_array_equal(rows(data, frame)[:, 5:], expected)


def test_standardised_over_the_training_rows(frame, tmp_path):
    data = read(frame, tmp_path, standardise=True)
    train = frame[by_name([str(i) for i in range(N)]) == 0][list("abcde")]
    expected = ((frame[list("abcde")] - train.mean()) / train.std(ddof=0)).to_numpy(np.float32)
    part = torch.cat([data.train.values, data.val.values])
    order = np.flatnonzero(by_name([str(i) for i in range(N)]) == 0)
    np.testing.assert_allclose(part.numpy(), expected[order], rtol=1e-4, atol=1e-5)
    back = data.in_units(part).numpy()
    np.testing.assert_allclose(back, frame[list("abcde")].to_numpy()[order], rtol=1e-4, atol=1e-5)


def test_a_constant_column_is_0_when_standardised(frame, tmp_path):
    data = read(frame.assign(a=3.0), tmp_path, standardise=True)
    assert (data.train.values[:, 0] == 0).all()
    assert torch.isfinite(data.test.values).all()


@pytest.mark.parametrize("standardise", [True, False])
def test_columns_of_other_scale_are_said(standardise, frame, tmp_path):
    data = read(frame.assign(a=frame["a"] * 1e5), tmp_path, standardise=standardise)
    assert ("dataset.standardise=true" in data.inventory) is not standardise
    assert "standardise" not in read(frame, tmp_path).inventory


@pytest.mark.parametrize(("cost", "most"), [("bce", 1), ("sigma", 2)])
def test_a_table_of_0_and_1_may_be_taken_for_pixels(cost, most, tmp_path):
    random = np.random.default_rng(0)
    binary = pd.DataFrame(random.integers(most + 1, size=(60, 4)), columns=list("abcd"))
    binary.to_csv(tmp_path / "t.csv", index=False)
    data = Table(path=tmp_path / "t.csv", normalise=False)
    data.setup()
    assert data.bounded is data.spec["bounded"] is (cost == "bce")


# Missing cells ------------------------------------------------------------------------------------


@pytest.fixture
def gaps(frame):
    gaps = frame.copy()
    gaps.loc[[3, 50, 51], "c"] = np.nan
    gaps.loc[3, "e"] = np.nan
    return gaps


def test_missing_cells_are_refused_with_their_place(gaps, tmp_path):
    found = "row 3, column c is missing, one of 4 cells in 3 rows and 2 columns"
    with pytest.raises(InputError, match=f"{found};.* dataset.missing=median .*drop_rows"):
        read(gaps, tmp_path)


def test_missing_cells_take_the_training_rows_median(gaps, tmp_path):
    data = read(gaps, tmp_path, missing="median")
    train = gaps[by_name([str(i) for i in range(N)]) == 0]
    filled = gaps[list("abcde")].fillna(train[list("ce")].median())
    np.testing.assert_allclose(rows(data, gaps), filled.to_numpy(np.float32), rtol=1e-6)
    assert "missing cells (4)" in data.inventory


def test_rows_with_missing_cells_are_left_out(gaps, tmp_path):
    data = read(gaps, tmp_path, missing="drop_rows")
    assert sum(map(len, (data.train, data.val, data.test))) == N - 3
    assert data.left_out == {"with missing cells": ["3", "50", "51"]}
    assert "left out: 3 with missing cells" in data.inventory
    kept = rows(data, gaps)
    assert np.isnan(kept[[3, 50, 51]]).all()
    assert np.isfinite(np.delete(kept, [3, 50, 51], axis=0)).all()


def test_a_column_without_a_value(frame, tmp_path):
    with pytest.raises(InputError, match=r"column c is empty in all training rows; .*drop=\[c\]"):
        read(frame.assign(c=np.nan), tmp_path, missing="median")


# Labels -------------------------------------------------------------------------------------------


def test_rows_without_a_label_have_none(frame, tmp_path):
    some = frame.assign(kind=frame["kind"].where(frame["c"] > 0))
    data = read(some, tmp_path, labels="kind")
    assert data.class_names == ("high", "low")
    named = splits_of(some, data)
    for split, part in zip(named, (data.train, data.val, data.test), strict=True):
        kinds = some["kind"].iloc[sorted(split)]
        assert [data.class_name(label) for label in part.labels.tolist()] == kinds.fillna(
            ""
        ).tolist()
    assert f"{int(some['kind'].isna().sum())} without a label" in data.inventory


# Splits -------------------------------------------------------------------------------------------


def test_a_column_that_names_the_split(frame, tmp_path):
    words = np.array(["train", "Training", "valid", "VAL", "test"])[np.arange(N) % 5]
    data = read(frame.assign(fold=words), tmp_path, split_column="fold", val_size=50)
    assert splits_of(frame, data) == [
        {*np.flatnonzero(np.isin(np.arange(N) % 5, several))} for several in ([0, 1], [2, 3], [4])
    ]
    assert "fold" not in data.feature_names
    with pytest.raises(InputError, match=r"split_column=fold: holds 'holdin'; allowed: train, val"):
        read(frame.assign(fold="holdin"), tmp_path, split_column="fold")


def test_arrays_named_by_their_split(tmp_path):
    """Keras' layout of an archive."""
    random = np.random.default_rng(0)
    parts = {name: random.normal(size=(n, 3)) for name, n in (("x_train", 30), ("x_test", 9))}
    labels = {"y_train": np.arange(30) % 2, "y_test": np.arange(9) % 2}
    np.savez(tmp_path / "m.npz", **parts, **labels)
    data = Table(path=tmp_path / "m.npz", labels="y", val_size=5)
    data.setup()
    np.testing.assert_array_equal(data.test.values, parts["x_test"].astype(np.float32))
    assert data.test.labels.tolist() == labels["y_test"].tolist()
    assert len(data.train) == 25


def test_a_group_is_on_one_side(frame, tmp_path):
    data = read(frame, tmp_path, group_column="donor", val_size=30, seed=3)
    sides = [{frame["donor"][row] for row in split} for split in splits_of(frame, data)]
    assert sum(map(len, sides)) == 12 == len(set.union(*sides))
    assert all(sides)
    assert N * 0.1 < len(data.test) < N * 0.35
    with pytest.raises(InputError, match="names 1 group; allowed: at least 2"):
        read(frame.assign(donor="d"), tmp_path, group_column="donor")


def test_groups_that_the_split_cuts_are_counted(frame, tmp_path):
    folds = np.where(np.arange(N) < 150, "train", "test")
    cut = frame.assign(fold=folds).groupby("donor")["fold"].nunique()
    keys = {"split_column": "fold", "group_column": "donor"}
    data = read(frame.assign(fold=folds), tmp_path, **keys)
    assert f"{(cut > 1).sum()} groups of donor are in several splits" in data.inventory
    assert "several splits" not in read(frame, tmp_path, group_column="donor").inventory


def test_test_rows_of_two_files_are_refused(frame, tmp_path):
    """Those of the first would be left out in silence."""
    folds = frame.assign(fold=np.array(["train", "test"])[np.arange(N) % 2])
    frame.to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(InputError, match=r"test_path=.*: the rows of .* for test would be .*: 100"):
        read(folds, tmp_path, split_column="fold", test_path=tmp_path / "e.csv")


def test_groups_whatever_their_order():
    groups = np.array([f"g{i % 7}" for i in range(70)])
    order = np.random.default_rng(0).permutation(70)
    assert (by_group(groups, "k")[order] == by_group(groups[order], "k")).all()


def test_files_of_their_own_for_validation_and_test(frame, tmp_path):
    """They are read as the training file says: by name, with its medians and its classes."""
    train, val, test = frame[:120], frame[120:150], frame[150:]
    val[val.columns[::-1]].to_csv(tmp_path / "v.csv", index=False)
    test.to_csv(tmp_path / "e.csv", index=False)
    paths = {"val_path": tmp_path / "v.csv", "test_path": tmp_path / "e.csv"}
    data = read(train, tmp_path, labels="kind", standardise=True, drop=["donor", "sex"], **paths)
    columns = list("abcde")
    scaled = (frame[columns] - train[columns].mean()) / train[columns].std(ddof=0)
    for part, chosen in ((data.train, train), (data.val, val), (data.test, test)):
        np.testing.assert_allclose(
            part.values.numpy(), scaled.loc[chosen.index].to_numpy(), rtol=1e-4, atol=1e-5
        )
        assert [data.class_names[label] for label in part.labels] == chosen["kind"].tolist()
    test.drop(columns="c").to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(InputError, match=r"e\.csv: lacks 1 of the columns .*: c"):
        read(train, tmp_path, labels="kind", drop=["donor", "sex"], **paths)


@pytest.mark.parametrize(
    ("name", "load", "labels"),
    [
        ("breast_cancer", load_breast_cancer, "30"),
        ("wine_data", load_wine, "13"),
        ("iris", load_iris, "4"),
    ],
)
def test_scikit_learns_own_files(name, load, labels):
    """Behind a line of counts and names, which is skipped."""
    path = Path(sklearn.__file__).parent / f"datasets/data/{name}.csv"
    data = Table(path=path, skip_lines=1, labels=labels)
    data.setup()
    x, y = load(return_X_y=True)
    tests = by_name([str(i) for i in range(len(x))]) == 2
    for part, chosen in ((data.train, ~tests), (data.test, tests)):
        np.testing.assert_array_equal(part.values, x[chosen].astype(np.float32))
        assert part.labels.tolist() == y[chosen].tolist()


def test_copies_on_both_sides_are_said(frame, tmp_path):
    tests = np.flatnonzero(by_name([str(i) for i in range(N)]) == 2)
    trains = np.flatnonzero(by_name([str(i) for i in range(N)]) == 0)
    twice = frame.copy()
    twice.iloc[tests[:3]] = frame.iloc[trains[:3]].to_numpy()
    assert "copies of other examples in the test set: 3" in read(twice, tmp_path).inventory
    assert "copies" not in read(frame, tmp_path).inventory


# More than memory holds ---------------------------------------------------------------------------


def test_vectors_that_memory_does_not_hold(frame, tmp_path, monkeypatch):
    """Mapped from one file, which is written once for a matrix and its settings."""
    before = read(frame, tmp_path, val_size=20)
    monkeypatch.setattr(store, "SHARE", 1e12)
    first = read(frame, tmp_path, val_size=20)
    (file,) = (tmp_path / ".t-vectors").glob("*.float32")
    for one, other in zip(
        (before.train, before.val, before.test), (first.train, first.val, first.test), strict=True
    ):
        assert torch.equal(one.values, other.values)
        np.testing.assert_array_equal(one.digests, other.digests)
    assert first.train.stored.data_ptr() == first.test.stored.data_ptr()
    written = file.stat().st_mtime_ns
    again = Table(path=tmp_path / "t.csv", val_size=20, drop=["kind", "donor", "sex"])
    again.setup()
    assert file.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.train.digests, first.train.digests)
    frame["a"] += 1
    other = read(frame, tmp_path, val_size=20)
    assert not file.exists()
    np.testing.assert_array_equal(rows(other, frame), frame[list("abcde")].to_numpy(np.float32))
