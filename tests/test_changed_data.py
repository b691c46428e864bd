"""Runs whose data change: what evaluate.py, resume= and load_run then do."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import compose_evaluate, without_figures
from PIL import Image
from test_train import short_run, train

import evaluate
from autoencoders.errors import InputError
from autoencoders.runs import load_run

COLUMNS = list("abcdef")


def measured(folder, **keys):
    """Evaluate a run as evaluate.py does."""
    given = [f"{key}={value}" for key, value in keys.items()]
    cfg = compose_evaluate(f"run={folder}", "logger=none", "evaluation.images=20", *given)
    with without_figures():
        return evaluate.evaluate(cfg, folder, "last")


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 2)) @ random.normal(size=(2, 6)) + random.normal(size=6)
    return pd.DataFrame(x, columns=COLUMNS)


def trained(tmp_path, frame, *overrides):
    frame.to_csv(tmp_path / "r.csv", index=False)
    folder = tmp_path / "run"
    chosen = ("model=ae", "dataset=table", f"dataset.path={tmp_path / 'r.csv'}", "logger=none")
    short_run(folder, *chosen, "dataset.val_size=20", *overrides)
    return folder


def mse_by_hand(folder, frame):
    """Of the rows of a frame, by the run's weights."""
    model = load_run(folder).model
    x = torch.tensor(frame[COLUMNS].to_numpy(np.float32))
    return (model.reconstruct(x) - x).square().mean().item()


def test_rows_of(table):
    """One row in five of a file without names tests, by its number."""
    from autoencoders.data.splits import by_name

    assert 10 < (by_name([str(i) for i in range(len(table))]) == 2).sum() < 40


def test_columns_and_rows_in_another_order(tmp_path, table, capsys):
    from autoencoders.data.splits import by_name

    folder = trained(tmp_path, table)
    first = json.loads((folder / "metrics.json").read_text())
    order = np.random.default_rng(1).permutation(len(table))
    table.iloc[order][COLUMNS[::-1]].to_csv(tmp_path / "r.csv", index=False)
    again = measured(folder)
    tests = by_name([str(i) for i in range(len(table))]) == 2  # of the file as it was
    expected = mse_by_hand(folder, table[tests])
    assert first["test/mse"] == pytest.approx(expected, rel=1e-4)
    assert again["test/mse"] == pytest.approx(expected, rel=1e-4)
    assert "since the run was trained" not in capsys.readouterr().out


def test_test_rows_that_are_gone_or_changed(tmp_path, table, capsys):
    from autoencoders.data.splits import by_name

    folder = trained(tmp_path, table)
    before = (folder / "metrics.json").read_bytes()
    first = int(np.flatnonzero(by_name([str(i) for i in range(len(table))]) == 2)[0])
    table.drop(index=first).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(InputError, match=r"1 test example is gone; .*allow_changed_data=true"):
        measured(folder)
    assert (folder / "metrics.json").read_bytes() == before
    tests = by_name([str(i) for i in range(len(table))]) == 2
    tests[first] = False
    again = measured(folder, allow_changed_data="true")
    assert again["test/mse"] == pytest.approx(mse_by_hand(folder, table[tests]), rel=1e-4)
    with pytest.raises(InputError, match="1 test example is gone"):
        train.train(load_run(folder).cfg, folder, resume=True)


def test_rows_that_are_new(tmp_path, table, capsys):
    """Left out, so that the numbers stay; taken on request."""
    folder = trained(tmp_path, table, "evaluate=false")
    first = json.loads((folder / "metrics.json").read_text())
    more = pd.DataFrame(np.full((30, 6), 9.0) + np.arange(30)[:, None], columns=COLUMNS)
    pd.concat([more, table]).to_csv(tmp_path / "r.csv", index=False)
    capsys.readouterr()
    again = measured(folder)
    assert again["test/mse"] == pytest.approx(first["test/mse"], rel=1e-5)
    line = next(line for line in capsys.readouterr().out.splitlines() if "since" in line)
    assert "training examples are new" in line
    assert "allow_changed_data=true" in line
    assert measured(folder, allow_changed_data="true")["test/mse"] > first["test/mse"]


def test_what_was_fitted_stays(tmp_path, table):
    """A file whose numbers became whole is not normalised; the kept columns stay, too."""
    folder = trained(tmp_path, table, "dataset.features=3", "dataset.standardise=true")
    kept = json.loads((folder / "data.json").read_text())["feature_names"]
    x = load_run(folder).data.test.values
    table["a"] *= 1000  # now the most variable
    table.round().to_csv(tmp_path / "r.csv", index=False)
    data = load_run(folder).data
    assert list(data.feature_names) == kept
    scaler = table.loc[:, kept]
    assert data.preprocessing["stds"] == pytest.approx(
        json.loads((folder / "data.json").read_text())["preprocessing"]["stds"]
    )
    assert not data.preprocessing["counts"]
    assert x.shape[1] == 3 == scaler.shape[1]


def test_a_column_that_is_gone(tmp_path, table):
    folder = trained(tmp_path, table)
    table.drop(columns="c").to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(InputError, match="lacks 1 of the columns that the run was trained on: c"):
        measured(folder)


def test_a_column_that_is_new(tmp_path, table, capsys):
    folder = trained(tmp_path, table)
    first = json.loads((folder / "metrics.json").read_text())["test/mse"]
    table.assign(new=1.5, aaa="x").to_csv(tmp_path / "r.csv", index=False)
    assert measured(folder)["test/mse"] == pytest.approx(first, rel=1e-5)
    assert "left out: 2 columns that the run does not know" in capsys.readouterr().out


def test_a_class_folder_that_is_new(tmp_path, capsys):
    """Classes keep their numbers, and an unknown one is left out."""
    random = np.random.default_rng(0)

    def write(kind, n):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(256, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{i}.png")

    write("cat", 30)
    write("emu", 30)
    folder = tmp_path / "run"
    photos = ("dataset=folder", f"dataset.path={tmp_path / 'photos'}", "dataset.image_size=8")
    small = ("network=mlp", "dataset.val_size=10", "logger=none", "dataset.test_share=0.3")
    short_run(folder, "model=ae", *photos, *small)
    before = load_run(folder).data
    write("dog", 30)
    after = load_run(folder).data
    assert after.class_names == before.class_names == ("cat", "emu")
    for one, other in (
        (before.train, after.train),
        (before.val, after.val),
        (before.test, after.test),
    ):
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.labels, other.labels)
    assert "classes that the run does not know: dog" in capsys.readouterr().out


def test_resumed_on_what_is_there_now(tmp_path, table):
    """The run's own validation rows stay so, and the manifest takes in what is new."""
    folder = trained(tmp_path, table)
    before = load_run(folder).data
    pd.concat([table + 50, table]).to_csv(tmp_path / "r.csv", index=False)
    cfg = load_run(folder).cfg
    cfg.trainer.max_epochs = 3
    train.train(cfg, folder, resume=True)
    assert json.loads((folder / "data.json").read_text())["examples"]["train"] == len(before.train)
    cfg.trainer.max_epochs, cfg.allow_changed_data = 4, True
    with without_figures():
        train.train(cfg, folder, resume=True)
    after = load_run(folder).data
    assert sum(map(len, (after.train, after.val, after.test))) == 240
    assert torch.equal(before.val.values, after.val.values[:20])
    old, new = ({tuple(row) for row in part.values.tolist()} for part in (before.test, after.train))
    assert not old & new
