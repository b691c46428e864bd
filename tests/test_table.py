"""Tables: every kind of file, counts and their genes, the split, and what is refused."""

import importlib.util
import json
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from conftest import JOB_NUMBER, SHORT, compose_train, run_script
from omegaconf import OmegaConf
from test_train import short_run

from autoencoders.data import PBMC, Table
from autoencoders.data.readers import matrix
from autoencoders.data.splits import in_test
from autoencoders.errors import InputError
from autoencoders.runs import load_run

ROWS, COLUMNS = 120, 9
CELLS = [f"zelle-{i}-ß" for i in range(ROWS)]
GENES = [*(f"gène {i}" for i in range(COLUMNS - 2)), "遺伝子", "a,b"]
TYPES = ["B-Zelle", "T", "Кровь"]


def counts():
    """Raw counts (ROWS, COLUMNS), a third of them zero, some genes more variable than others."""
    random = np.random.default_rng(0)
    rates = random.gamma(1.0, 1 + 3 * np.arange(COLUMNS) % 11, (ROWS, COLUMNS))
    return random.poisson(rates) * (random.random((ROWS, COLUMNS)) < 0.7)


def types():
    return [TYPES[i % 3] for i in range(ROWS)]


def expected(values, normalise=True):
    """What a table should hold, whole and in memory: log(1 + 10,000 x / total)."""
    if not normalise:
        return values.astype(np.float32)
    return np.log1p(1e4 * values / values.sum(1, keepdims=True)).astype(np.float32)


def write(path, values, names=CELLS, genes=GENES):
    """A matrix as the kind of file that the name says."""
    if path.suffix == ".npz":
        np.savez(path, values=values, cell_type=types())
    elif path.suffix == ".h5ad":
        obs = pd.DataFrame({"cell_type": types(), "batch": "one"}, index=names)
        adata = anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=genes))
        adata.layers["halves"] = values / 2
        adata.write_h5ad(path)
    else:
        table = pd.DataFrame(values, index=names, columns=genes)
        table.insert(2, "cell_type", types())
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def prepared(path, **arguments):
    data = Table(path=path, **arguments)
    data.setup()
    return data


def whole(data, names=CELLS):
    """All of a table's values in the file's order, put together from its parts."""
    test = np.array([in_test(name) for name in names])
    values = np.empty((len(names), *data.shape), np.float32)
    values[test], values[~test] = data.test.values, data.train.values
    return values


# Every kind of file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ü.csv", "a b.tsv", "cells.npz", "cells.h5ad"])
@pytest.mark.parametrize("block", [7, 1000])
def test_a_file_is_what_it_holds(name, block, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "BLOCK", block)
    values = counts()
    data = prepared(write(tmp_path / name, values), labels="cell_type")
    names = CELLS if name != "cells.npz" else list(map(str, range(ROWS)))
    np.testing.assert_allclose(whole(data, names), expected(values), rtol=1e-5)
    assert data.train.values.dtype == torch.float32
    assert data.class_names == tuple(sorted(TYPES))
    test = [kind for cell, kind in zip(names, types(), strict=True) if in_test(cell)]
    assert [data.class_names[label] for label in data.test.labels] == test
    assert data.feature_names == (tuple(GENES) if name != "cells.npz" else tuple("012345678"))
    assert data.label == name.partition(".")[0]
    (line,) = capsys.readouterr().out.splitlines()
    assert "120 rows in 3 classes, 9 columns; raw counts, normalised" in line
    assert "dataset.normalise=false" in line


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("block", [7, 1000])
def test_sparse_and_dense_give_the_same(form, block, tmp_path, monkeypatch):
    """Read from the open file block by block: as the whole matrix in memory."""
    monkeypatch.setattr(matrix, "BLOCK", block)
    path = write(tmp_path / "cells.h5ad", form(counts().astype(np.float32)))
    np.testing.assert_allclose(whole(prepared(path)), expected(counts()), rtol=1e-5)
    few = prepared(path, features=4)
    normal = expected(counts().astype(np.float64))
    train = normal[[not in_test(name) for name in CELLS]]
    most = sorted(np.argsort(-train.astype(np.float64).var(0))[:4])
    assert few.feature_names == tuple(GENES[i] for i in most)
    np.testing.assert_allclose(whole(few), normal[:, most], rtol=1e-5)


def test_sparse_blocks_stay_sparse_until_they_are_cut(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "autoencoders.data.preprocessing.dense", lambda b: seen.append(b) or b.toarray()
    )
    prepared(write(tmp_path / "cells.h5ad", scipy.sparse.csr_matrix(counts())), features=3)
    assert {(type(b).__name__, b.shape) for b in seen} == {("csr_matrix", (ROWS, 3))}


def test_a_sparse_npz(tmp_path):
    scipy.sparse.save_npz(tmp_path / "cells.npz", scipy.sparse.csc_matrix(counts()))
    data = prepared(tmp_path / "cells.npz")
    assert data.class_names == ()
    np.testing.assert_allclose(
        whole(data, list(map(str, range(ROWS)))), expected(counts()), rtol=1e-5
    )


def test_layers(tmp_path):
    path = write(tmp_path / "cells.h5ad", counts().astype(np.float32))
    found = whole(prepared(path, layer="halves"))
    np.testing.assert_allclose(found, counts() / 2)  # not whole: no counts
    np.savez(tmp_path / "two.npz", a=counts(), b=2.5 * counts())
    names = list(map(str, range(ROWS)))
    found = whole(prepared(tmp_path / "two.npz", layer="b"), names)
    np.testing.assert_allclose(found, 2.5 * counts())


# Counts and genes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "normalise"),
    [
        (counts(), False),
        (counts() + 0.5, True),  # not whole
        (np.minimum(counts(), 1), True),  # zeros and ones
        (-counts() - 0.5, True),
    ],
)
def test_what_is_left_as_it_is(values, normalise, tmp_path, capsys):
    data = prepared(write(tmp_path / "a.csv", values), normalise=normalise, labels="cell_type")
    np.testing.assert_allclose(whole(data), values, rtol=1e-6)
    assert "raw counts" not in capsys.readouterr().out


def test_a_row_of_zeros_stays_one(tmp_path):
    values = counts()
    values[3] = 0
    data = prepared(write(tmp_path / "a.csv", values), labels="cell_type")
    assert (whole(data)[3] == 0).all()
    assert np.isfinite(whole(data)).all()


def test_the_most_variable_genes_are_those_of_the_training_split_alone(tmp_path, capsys):
    """Whatever happens in test rows, and whatever the seed of the validation split."""
    random = np.random.default_rng(1)
    values = random.normal(size=(ROWS, COLUMNS)) * 2.0 ** np.arange(COLUMNS)
    wild = values.copy()
    wild[[in_test(name) for name in CELLS], :4] *= 1000
    path = write(tmp_path / "wild.csv", wild)
    for seed in (0, 1):
        data = prepared(path, features=3, labels="cell_type", seed=seed, val_size=20)
        assert data.feature_names == tuple(GENES[-3:])
    assert (
        "the 3 most variable of 9 columns (dataset.features=null keeps" in capsys.readouterr().out
    )
    assert prepared(path, features=None, labels="cell_type").shape == (COLUMNS,)


# The split ----------------------------------------------------------------------------------------


def test_the_split_stays_when_rows_are_added_or_moved(tmp_path):
    values = counts() + 0.25
    before = prepared(write(tmp_path / "a.csv", values), labels="cell_type")
    order = np.random.default_rng(0).permutation(ROWS)[: ROWS - 10]
    kept = [CELLS[i] for i in order]
    some = pd.DataFrame(values[order], index=kept)
    some.to_csv(tmp_path / "b.csv")
    after = prepared(tmp_path / "b.csv")
    rows = {tuple(row) for row in before.test.values.tolist()}
    assert {tuple(row) for row in after.test.values.tolist()} < rows
    assert len(after.test) >= len(before.test) - 10


def test_about_one_row_in_five_is_a_test_example():
    for names in (map(str, range(10_000)), (f"cell_{i:06d}-1" for i in range(10_000))):
        assert sum(map(in_test, names)) == pytest.approx(2000, abs=150)


def test_cluster_numbers_are_in_order(tmp_path):
    clusters = [str(i % 12) for i in range(ROWS)]
    pd.DataFrame({"x": np.arange(ROWS) + 0.5, "cluster": clusters}).to_csv(tmp_path / "a.csv")
    assert prepared(tmp_path / "a.csv", labels="cluster").class_names == tuple(map(str, range(12)))


# What is refused ----------------------------------------------------------------------------------


def changed(row, column, value):
    values = counts().astype(object)
    values[row, column] = value
    return values


REFUSED = {
    "missing": (changed(5, 1, np.nan), {}, "row zelle-5-ß, column gène 1 is missing, one of 1"),
    "nan": (changed(5, 1, "nan"), {}, "row zelle-5-ß, column gène 1 is missing, one of 1"),
    "infinite": (changed(5, 1, "inf"), {}, "row zelle-5-ß, column gène 1 is inf"),
    "too large": (changed(5, 1, "1e39"), {}, "line 7, column gène 1: 1e.39 is beyond float32"),
    "negative": (changed(5, 1, -2), {}, "column gène 1 is -2, but whole .*normalise=false"),
    "text": (changed(5, 1, "viel"), {}, "line 7, column gène 1: 'viel' is not a number"),
    "no such labels": (
        counts(),
        {"labels": "kind"},
        "labels=kind: not in .*; allowed: cell_type, gène 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_text_file_must_not_hold(case, tmp_path):
    values, arguments, line = REFUSED[case]
    path = write(tmp_path / "cells.csv", values)
    with pytest.raises(InputError, match=line) as error:
        prepared(path, **{"labels": "cell_type", **arguments})
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "x,y\n" + "1,2\n" * 3 + "1\n", "line 5 has 1 cells, but there are 2 columns"),
        ("a.csv", "x,y\n1,2\n", r"1 rows give . \w+ examples; allowed: at least 2"),
        ("a.csv", "x,y\n\n", "holds no rows"),
        ("a.xlsx", "", r"allowed: \.csv, \.tsv, \.txt, .*\.h5ad"),
        ("a.h5ad", "", "the file is empty"),
        ("a.h5ad", "text", r"cannot be read as \.h5ad"),
        ("a.npz", "text", r"cannot be read as \.npz"),
        ("a.npz", "", "the file is empty"),
    ],
)
def test_files_that_are_not_tables(name, content, line, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=line) as error:
        prepared(tmp_path / name)
    assert "\n" not in str(error.value)


def test_numbers_are_no_classes(tmp_path):
    pd.DataFrame({"x": np.arange(ROWS) + 0.5, "y": np.arange(ROWS)}).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"labels=y: 120 values in 120 rows of .*are no classes"):
        prepared(tmp_path / "a.csv", labels="y")


def test_columns_may_be_named_by_rising_numbers(tmp_path):
    pd.DataFrame(np.eye(30), columns=np.linspace(400, 700, 30)).to_csv(tmp_path / "a.csv")
    assert prepared(tmp_path / "a.csv").shape == (30,)


def test_h5ad_and_npz_say_what_there_is(tmp_path):
    path = write(tmp_path / "cells.h5ad", counts().astype(np.float32))
    with pytest.raises(InputError, match=r"labels=kind: not in .*; allowed: cell_type, batch"):
        prepared(path, labels="kind")
    with pytest.raises(InputError, match=r"layer=raw: not in .*; allowed: X, halves"):
        prepared(path, layer="raw")
    values = scipy.sparse.csr_matrix(np.where(counts() == 3, np.nan, counts()))
    with pytest.raises(InputError, match=r"row zelle-\d+-ß, column gène \d is missing"):
        prepared(write(tmp_path / "nan.h5ad", values))
    np.savez(tmp_path / "two.npz", a=counts(), b=counts(), kind=types(), short=[1, 2])
    with pytest.raises(
        InputError,
        match=r"2 matrices \(a \(120, 9\) int64, b .*\); choose one with dataset\.layer=",
    ):
        prepared(tmp_path / "two.npz")
    with pytest.raises(InputError, match=r"labels=short: not in .*; allowed: kind"):
        prepared(tmp_path / "two.npz", layer="a", labels="short")
    np.savez(tmp_path / "text.npz", a=np.array([["a", "b"]]))
    with pytest.raises(InputError, match=r"holds no matrix but a \(1, 2\) <U1"):
        prepared(tmp_path / "text.npz")
    np.savez(tmp_path / "pickle.npz", a=np.array([[{}]]))
    with pytest.raises(InputError, match=r"a \(1, 1\) Python objects; .* are not read"):
        prepared(tmp_path / "pickle.npz")


def test_a_path_that_is_missing():
    with pytest.raises(InputError, match=r"dataset\.path: is missing; give a file: \.csv"):
        _ = Table().shape


def test_without_anndata(tmp_path, monkeypatch):
    path = write(tmp_path / "cells.h5ad", counts().astype(np.float32))
    monkeypatch.setitem(__import__("sys").modules, "anndata", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[expression\]'"):
        prepared(path)


# The blood cells ----------------------------------------------------------------------------------


def test_blood_cells_against_scanpys_file():
    data = PBMC(val_size=60)
    data.setup()
    folder = importlib.util.find_spec("scanpy").submodule_search_locations[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = anndata.read_h5ad(f"{folder}/datasets/10x_pbmc68k_reduced.h5ad")
    test = np.array([in_test(name) for name in reference.obs_names])
    np.testing.assert_array_equal(data.test.values, reference.raw.X.toarray()[test])
    assert len(data.train) + len(data.val) + len(data.test) == 700
    assert data.shape == (765,)
    assert data.feature_names == tuple(reference.raw.var_names)
    assert data.class_names == tuple(sorted(set(reference.obs.bulk_labels)))
    names = [data.class_names[label] for label in data.test.labels]
    assert names == reference.obs.bulk_labels[test].tolist()


def test_without_scanpy(monkeypatch):
    monkeypatch.setattr("autoencoders.data.pbmc.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[expression\]'"):
        _ = PBMC().shape


# Whole runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["vae", "wae"])
def test_a_run_on_counts_is_read_back_with_its_numbers(model, tmp_path):
    path = write(tmp_path / "cells.csv", counts())
    table = (f"dataset.path={path}", "dataset.labels=cell_type", "dataset.val_size=20")
    chosen = (f"model={model}", "dataset=table", *table)
    short_run(tmp_path / "run", *chosen, "trainer.limit_train_batches=2", "trainer.max_epochs=1")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    run = load_run(tmp_path / "run")
    x = run.data.test.x()
    mse = ((run.model.reconstruct(x) - x) ** 2).mean().item()
    assert metrics["test/mse"] == pytest.approx(mse, rel=1e-4)
    assert run.model.sample(5).shape == (5, *run.data.shape)
    assert "raw counts, normalised" in run.data.inventory  # as the first line said


def test_a_seed_gives_the_same_weights(tmp_path):
    for folder in ("first", "second"):
        short_run(tmp_path / folder, "model=wae", "dataset=pbmc", "trainer.max_epochs=1")
    first, second = (
        load_run(tmp_path / folder).model.state_dict() for folder in ("first", "second")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_finds_a_file_that_has_moved(tmp_path, monkeypatch):
    """Its path is from where the run was started; else it lies in the folder of the data."""
    monkeypatch.delenv("AUTOENCODERS_DATA", raising=False)
    (tmp_path / "started").mkdir()
    path = write(tmp_path / "started/cells.csv", counts())
    chosen = ("model=ae", "dataset=table", "dataset.labels=cell_type", "dataset.val_size=20")
    short_run(tmp_path / "run", *chosen, f"dataset.path={path}", "trainer.max_epochs=1")
    config = OmegaConf.load(tmp_path / "run/.hydra/config.yaml")
    config.dataset.path = "cells.csv"
    OmegaConf.save(config, tmp_path / "run/.hydra/config.yaml")
    hydra = {"hydra": {"runtime": {"cwd": str(path.parent)}}}
    OmegaConf.save(OmegaConf.create(hydra), tmp_path / "run/.hydra/hydra.yaml")
    x = load_run(tmp_path / "run").data.test.x()
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere/cells.csv")
    with pytest.raises(InputError, match=r"cells\.csv: no longer there.*set AUTOENCODERS_DATA to"):
        load_run(tmp_path / "run").data  # noqa: B018
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path / "elsewhere"))
    assert torch.equal(load_run(tmp_path / "run").data.test.x(), x)


@pytest.mark.slow  # four commands
def test_the_commands_on_vectors(tmp_path):
    folder = tmp_path / "multirun"
    short = (*SHORT, "evaluate=true", f"hydra.sweep.dir={folder}", JOB_NUMBER)
    done = run_script("train.py", "-m", "model=ae,wae", "dataset=pbmc", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_script("evaluate.py", f"run={folder / '1'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FD-PCA" in done.stdout
    drawn = {path.stem for path in (folder / "1/figures").glob("*.png")}
    assert {"embeddings", "feature_errors", "feature_moments", "marker_features"} < drawn
    assert not {"samples", "reconstructions"} & drawn
    assert (folder / "1/projector_config.pbtxt").exists()
    (metadata,) = (folder / "1").rglob("metadata.tsv")
    head, *cells = (line.split("\t") for line in metadata.read_text().splitlines())
    assert head == ["class", "name"]
    test = load_run(folder / "1").data.test
    assert {name for _, name in cells} <= set(test.names)
    assert len(cells) > 50
    assert not list((folder / "1").rglob("sprite.png"))  # thumbnails
    done = run_script("compare.py", f"multirun={folder}", "folder=compared", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "compared/index.html").read_text()
    for name in ("embeddings", "feature_errors", "feature_moments", "errors", "sample_quality"):
        assert f'<figure id="{name}">' in content
    assert "FD-PCA" in content
    search = ("-m", "sweep=search_wae", "dataset=pbmc", "objective=prior/fd_pca")
    done = run_script("train.py", *search, "hydra.sweeper.trials=2", *SHORT[2:-1], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_relative_path_is_left_to_the_folder_that_a_run_starts_in():
    cfg = compose_train(*SHORT, "dataset=table", "dataset.path=cells.csv")
    assert cfg.dataset.path == "cells.csv"
