"""New data through a trained model: encode.py, and `model.embed`."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import matrix_file, run_here, write_images
from PIL import Image
from small import SHAPE, small

import autoencoders
from autoencoders.data import Examples
from autoencoders.models import CVAE, VAE

MLP = ("network=mlp", "network.hidden_dim=8", "model.latent_dim=3")
BRIEF = (*MLP, "trainer.max_epochs=1", "evaluate=false", "logger=none", "hydra.run.dir=run")


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """A run on a table whose columns were standardised, and its export; not to be spoiled."""
    folder = tmp_path_factory.mktemp("table")
    data = ("dataset=table", f"dataset.path={matrix_file()}", "dataset.standardise=true")
    run_here("train.py", "model=vae", *data, "dataset.val_size=20", *BRIEF, cwd=folder)
    run_here("export.py", "run=run", "onnx=false", cwd=folder)
    return folder / "run"


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    """A run on colour images in two folders."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "images", 60)
    data = ("dataset=folder", "dataset.path=images", "dataset.image_size=16", "dataset.val_size=10")
    shape = ("dataset.test_share=0.3", "dataset.fit=pad")
    run_here("train.py", "model=ae", *data, *shape, *BRIEF, cwd=folder)
    run_here("export.py", "run=run", "onnx=false", cwd=folder)
    return folder / "run"


def encode(run, source, *arguments, cwd):
    """What encode.py prints, and what it has written into out.npz."""
    given = (f"run={run}", f"input={source}", "output=out.npz", *arguments)
    printed = run_here("encode.py", *given, cwd=cwd)
    with np.load(cwd / "out.npz", allow_pickle=False) as arrays:
        contents = dict(arrays)
    (cwd / "out.npz").unlink()
    return printed, contents


def refused(*arguments, cwd):
    with pytest.raises(SystemExit) as end:
        run_here("encode.py", *arguments, cwd=cwd)
    assert "\n" not in str(end.value)
    assert not list(cwd.glob("out*"))
    return str(end.value)


def prepared_by_hand(run):
    """All rows of the table, standardised by the numbers that the run has recorded."""
    known = json.loads((run / "data.json").read_text())["preprocessing"]
    rows = np.genfromtxt(matrix_file(), delimiter=",", skip_header=1)
    rows = rows.astype(np.float32)
    return torch.from_numpy(((rows - known["means"]) / known["stds"]).astype(np.float32))


def test_all_rows_of_a_table_as_the_training_rows_were(table_run, tmp_path):
    _, found = encode(table_run, matrix_file(), "reconstructions=true", cwd=tmp_path)
    x, model = prepared_by_hand(table_run), autoencoders.load_model(table_run)
    z = model.encode(x)
    np.testing.assert_allclose(found["codes"], z, atol=1e-5)
    x_hat = model.decode(z)
    np.testing.assert_allclose(found["reconstructions"], x_hat, atol=1e-5)
    np.testing.assert_allclose(found["errors"], ((x - x_hat) ** 2).mean(1), rtol=1e-4)
    assert found["names"].tolist() == [str(row) for row in range(140)]


def test_columns_are_found_by_their_names(table_run, tmp_path):
    """In another order, with names of rows, and with one more, which is named."""
    frame = pd.read_csv(matrix_file())
    permuted = frame[list(reversed(frame.columns))].assign(further=1.5)
    permuted.index = [f"row {i}" for i in range(len(frame))]
    permuted.to_csv(tmp_path / "new.csv")
    _, before = encode(table_run, matrix_file(), cwd=tmp_path)
    printed, after = encode(table_run, "new.csv", cwd=tmp_path)
    np.testing.assert_array_equal(after["codes"], before["codes"])
    assert after["names"][7] == "row 7"
    assert "left out: 1 columns that the run does not know: further" in printed


def test_a_missing_column_is_refused(table_run, tmp_path):
    pd.read_csv(matrix_file()).drop(columns="column 3").to_csv(tmp_path / "new.csv", index=False)
    line = refused(f"run={table_run}", "input=new.csv", "output=out.npz", cwd=tmp_path)
    assert "input=new.csv: lacks 1 of the columns that the run was trained on: column 3" in line


def test_batches_of_one_and_an_export_give_the_same_codes(table_run, tmp_path):
    _, together = encode(table_run, matrix_file(), cwd=tmp_path)
    _, single = encode(table_run / "export", matrix_file(), "batch_size=1", cwd=tmp_path)
    for name in ("codes", "errors"):
        np.testing.assert_allclose(single[name], together[name], rtol=1e-5, atol=1e-6)


def test_csv_and_anomalies_in_a_column(table_run, tmp_path):
    """The area under the curve is the share of pairs in which the anomaly's error is larger."""
    frame = pd.read_csv(matrix_file())
    state = ["broken" if i % 5 == 0 else "" if i % 5 == 1 else "good" for i in range(140)]
    frame.assign(state=state).to_csv(tmp_path / "new.csv", index=False)
    given = (f"run={table_run}", "input=new.csv", "output=out.csv")
    printed = run_here("encode.py", *given, "labels=state", "anomalies=broken", cwd=tmp_path)
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found) == ["name", "error", "class", "z0", "z1", "z2"]
    bad, good = (found.error[found["class"] == name].to_numpy() for name in ("broken", "good"))
    pairs = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert f"AUROC of the error, broken: {pairs:.4g}" in printed
    (tmp_path / "out.csv").unlink()
    line = refused(*given, "labels=state", "anomalies=brokn", cwd=tmp_path)
    assert "anomalies=brokn: 0 of 112 examples are of these" in line
    line = refused(*given, "anomalies=broken", cwd=tmp_path)
    assert "give labels=, the column that names the classes" in line


def test_annotated_cells_get_their_codes_beside_them(table_run, tmp_path):
    anndata = pytest.importorskip("anndata")
    frame = pd.read_csv(matrix_file()).iloc[:30, ::-1]
    frame.index = [f"cell {i}" for i in range(30)]
    anndata.AnnData(frame).write_h5ad(tmp_path / "cells.h5ad")
    run_here("encode.py", f"run={table_run}", "input=cells.h5ad", cwd=tmp_path)
    written = anndata.read_h5ad(tmp_path / "cells-codes.h5ad")
    z = autoencoders.load_model(table_run).encode(prepared_by_hand(table_run)[:30])
    np.testing.assert_allclose(written.obsm["X_vae"], z, atol=1e-5)
    assert written.obs_names[3] == "cell 3"
    assert written.obs["vae_error"].notna().all()
    assert np.array_equal(written.X, frame.to_numpy().astype(written.X.dtype))


def test_images_are_resized_as_in_training(image_run, tmp_path):
    """Padded to a square, as `dataset.fit=pad` asked for."""
    pixels = np.random.default_rng(0).integers(256, size=(5, 10, 20, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        file = tmp_path / "new" / ("broken" if i < 2 else "good") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    printed, found = encode(image_run / "export", "new", "anomalies=broken", cwd=tmp_path)
    padded = np.zeros((5, 16, 16, 3), np.uint8)
    for square, image in zip(padded, pixels, strict=True):
        square[4:12] = Image.fromarray(image).resize((16, 8), Image.Resampling.BILINEAR)
    x = torch.from_numpy(padded).permute(0, 3, 1, 2).float() / 255
    z = autoencoders.load_model(image_run).encode(x)
    np.testing.assert_allclose(found["codes"], z, atol=1e-5)
    assert found["names"].tolist() == [
        *("broken/0.png", "broken/1.png", "good/2.png", "good/3.png", "good/4.png"),
    ]
    assert "AUROC of the error, broken: " in printed
    assert {path.name for path in tmp_path.iterdir()} == {"new"}  # no decoded images are left


def test_no_image_is_left_out_for_where_it_is(image_run, tmp_path):
    """Training leaves out images beside the folders of classes, and splits by folders' names."""
    write_images(tmp_path / "new/train", 4)
    write_images(tmp_path / "new/test", 4)
    shutil.copy(tmp_path / "new/test/a/0.png", tmp_path / "new/beside.png")
    (tmp_path / "new/damaged.png").write_bytes(b"\x89PNG")
    printed, found = encode(image_run, "new", cwd=tmp_path)
    assert len(found["codes"]) == 9
    assert "beside.png" in found["names"]
    assert "cannot be read: damaged.png" in printed


def test_an_array_of_images(image_run, tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(4, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "new.npy", pixels)
    _, found = encode(image_run, "new.npy", cwd=tmp_path)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    z = autoencoders.load_model(image_run).encode(x)
    np.testing.assert_allclose(found["codes"], z, atol=1e-5)


def test_bad_input_is_one_line(table_run, image_run, tmp_path):
    (tmp_path / "there.npz").touch()
    run, data = f"run={table_run}", f"input={matrix_file()}"
    assert "run: is missing" in refused(data, cwd=tmp_path)
    assert "input: is missing" in refused(run, cwd=tmp_path)
    assert "input=gone: no such file" in refused(run, "input=gone", cwd=tmp_path)
    assert "is not a run's folder" in refused("run=gone", data, cwd=tmp_path)
    assert "allowed: a file that ends in" in refused(run, data, "output=out.txt", cwd=tmp_path)
    assert "is there already" in refused(run, data, "output=there.npz", cwd=tmp_path)
    assert "batch_size=0" in refused(run, data, "batch_size=0", cwd=tmp_path)
    assert "did you mean" in refused(run, data, "+reconstruction=true", cwd=tmp_path)
    assert "layr" in refused(run, data, "+dataset.layr=raw", "output=out.npz", cwd=tmp_path)
    line = refused(f"run={image_run}", data, "output=out.npz", cwd=tmp_path)
    assert f"input={matrix_file()}: no folder; of files, allowed" in line


def test_numbers_that_are_no_counts(tmp_path):
    """They would be normalised a second time."""
    generator = np.random.default_rng(0)
    counts = pd.DataFrame(generator.poisson(3, (60, 5)), columns=list("abcde"))
    counts.to_csv(tmp_path / "counts.csv", index=False)
    data = ("dataset=table", "dataset.path=counts.csv", "dataset.val_size=10")
    run_here("train.py", "model=ae", *data, *BRIEF, cwd=tmp_path)
    (counts / 2).to_csv(tmp_path / "new.csv", index=False)
    line = refused("run=run", "input=new.csv", "output=out.npz", cwd=tmp_path)
    assert "there are fractions, but the run was trained on raw counts" in line


def test_embed_encodes_in_batches():
    model = small(VAE).eval()
    pixels = torch.randint(256, (7, *SHAPE), dtype=torch.uint8)
    expected = model.encode(pixels.float() / 255)
    for data in (pixels, pixels.float() / 255, Examples(pixels)):
        torch.testing.assert_close(model.embed(data, batch_size=3), expected)
    assert model.embed(pixels[:0]).shape == (0, 3)


def test_embed_gives_a_conditional_model_its_labels():
    model, x = small(CVAE).eval(), torch.rand(5, *SHAPE)
    labels = torch.arange(5) % 4
    expected = model.encode(x, labels)
    torch.testing.assert_close(model.embed(x, labels, batch_size=2), expected)
    torch.testing.assert_close(model.embed(Examples(x, labels), batch_size=2), expected)
    with pytest.raises(ValueError, match="CVAE needs the labels"):
        model.embed(x)


def test_a_conditional_model_reads_the_classes(tmp_path):
    frame = pd.read_csv(matrix_file())
    frame["kind"] = ["ab"[i % 2] for i in range(140)]
    frame.to_csv(tmp_path / "data.csv", index=False)
    data = ("dataset=table", "dataset.path=data.csv", "dataset.labels=kind", "dataset.val_size=20")
    run_here("train.py", "model=cvae", *data, *BRIEF, cwd=tmp_path)
    frame = frame.iloc[::-1].assign(kind=lambda f: ["c", *f.kind[1:]])
    frame.to_csv(tmp_path / "new.csv", index=False)
    printed, found = encode("run", "new.csv", cwd=tmp_path)
    assert "1 are of no class that the model knows" in printed
    rows = frame.drop(columns="kind").to_numpy(np.float32)
    labels = torch.tensor([{"a": 0, "b": 1}.get(kind, -1) for kind in frame.kind])
    z = autoencoders.load(tmp_path / "run").encode(torch.from_numpy(rows), labels)
    np.testing.assert_allclose(found["codes"], z, atol=1e-5)
    frame.drop(columns="kind").to_csv(tmp_path / "without.csv", index=False)
    line = refused("run=run", "input=without.csv", "output=out.npz", cwd=tmp_path)
    assert "dataset.labels=kind: not in without.csv" in line


def test_a_key_says_what_is_otherwise_in_this_file(table_run, tmp_path):
    frame = pd.read_csv(matrix_file())
    frame.T.to_csv(tmp_path / "new.csv")
    _, before = encode(table_run, matrix_file(), cwd=tmp_path)
    _, after = encode(table_run, "new.csv", "+dataset.transpose=true", cwd=tmp_path)
    np.testing.assert_array_equal(after["codes"], before["codes"])
    frame.iloc[0, 0] = np.nan
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    line = refused(f"run={table_run}", "input=gaps.csv", "output=out.npz", cwd=tmp_path)
    assert "+dataset.missing=drop_rows leaves these rows out" in line
    printed, found = encode(table_run, "gaps.csv", "+dataset.missing=drop_rows", cwd=tmp_path)
    assert "left out: 1 with missing cells: 0" in printed
    assert found["names"].tolist() == [str(row) for row in range(1, 140)]
    np.testing.assert_allclose(found["codes"], before["codes"][1:], atol=1e-6)
