"""What README and docs report is what results/ keeps, and a run is held against it."""

import json
import re
import shutil
import statistics
import subprocess
import sys

import pytest
from conftest import ROOT, rewrite_metrics
from PIL import Image, ImageChops, ImageStat

from autoencoders.errors import InputError

sys.path.append(str(ROOT / "results"))
import ledger

KEPT = sorted(path.parent for path in (ROOT / "results").glob("*/*/run.json"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_results(page):
    text = page.read_text(encoding="utf-8")
    assert ledger.with_tables(text) == text, "run python results/ledger.py tables"


def test_the_tutorials_tables_are_those_of_results():
    """Of each cell that shows kept tables, as the committed notebook has them."""
    notebook = json.loads((ROOT / "notebooks/wasserstein_autoencoder.ipynb").read_text())
    shown, expected = [], []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
        if calls := re.findall(r'ledger\.table\("([\w-]+)", "(\w+)"\)', source):
            tables = [output["data"].get("text/markdown") for output in cell["outputs"]]
            shown += ["".join(table) for table in tables if table]
            expected += [ledger.table(*call) for call in calls]
    assert len(shown) == 4
    assert shown == expected


def test_kept_figures_are_small():
    sizes = [path.stat().st_size for path in (ROOT / "results").rglob("*.png")]
    assert max(sizes) < 150_000


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_a_kept_run_tells_where_it_comes_from(folder):
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert run["command"].startswith("python train.py ")
    assert folder.name == f"{run['dataset']}-{run['model']}-seed{run['seed']}"
    assert all(run[key] for key in ("commit", "date", "machine", "torch"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert {"test/mse", "prior/precision", "epochs"} < metrics.keys()
    assert len({"prior/fd_cnn", "prior/fd_pca"} & metrics.keys()) == 1
    conditions = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert conditions["split"] == "test"


def kept(folder, seed, mse):
    """A kept run of the recipe `short` with this test error."""
    folder.mkdir(parents=True)
    run = {"model": "ae", "command": "python train.py model=ae", "seed": seed}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "metrics.json").write_text(json.dumps({"test/mse": mse, "floor/fd_cnn": 0.5}))
    (folder / "evaluation.json").write_text(json.dumps({"dataset": "digits", "split": "test"}))


def test_a_table_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    for seed, mse in enumerate((0.01, 0.02, 0.03)):
        kept(tmp_path / f"short/digits-ae-seed{seed}", seed, mse)
    page = "before\n<!-- results: short digits -->\nold\n<!-- /results -->\nafter\n"
    lines = ledger.with_tables(page).splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert lines[2].startswith("| `model=` | MSE | FD-CNN, reconstructions |")
    assert lines[4].startswith("| `ae` | 0.02 ± 0.01 |  |")
    assert lines[5].startswith("| *real examples* |  | 0.5 |")


def test_the_table_of_the_best_holds_samples_against_reconstructions(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    for seed in (0, 1):
        folder = tmp_path / f"best/mnist-ae-seed{seed}"
        kept(folder, seed, 0.01)
        metrics = {"mixture/fd_cnn": 0.2 + 0.2 * seed}
        metrics |= {"floor/precision": 1.0, "floor/recall": 0.99, "floor/coverage": 0.98}
        metrics |= {"mixture/precision": 0.9 + 0.02 * seed, "mixture/recall": 0.8}
        metrics |= {"mixture/coverage": 0.7}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    heading, _, row, real = ledger.table("best", "mnist").splitlines()
    cells = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert cells["FD-CNN, mixture"] == "0.3 ± 0.14"  # the standard deviation is 0.2 / sqrt(2)
    assert cells["P, R, C, mixture |"] == "0.91, 0.8, 0.7 |"
    assert real.endswith("| 1, 0.99, 0.98 |")


def test_what_is_published_stands_beside_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    kept(tmp_path / "tutorial-10/mnist-ae-seed0", 0, 0.0064)
    heading, _, row, _ = ledger.table("tutorial-10", "mnist").splitlines()
    cells = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert (cells["MSE"], cells["MSE, drawn codes"], cells["MSE, published"]) == (
        "0.0064",
        "",
        "0.0048",
    )


def test_figures_are_kept_at_a_modest_size(run, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    (tmp_path / "comparison").mkdir()
    shutil.copy(run / "figures/samples.png", tmp_path / "comparison")
    folders = [
        ledger.record(run, "short", "abc"),
        ledger.record_exhibits(tmp_path / "comparison", "short", "digits"),
    ]
    with Image.open(run / "figures/samples.png") as original:
        expected = original.convert("RGB").resize((90, 90))
    for folder in folders:
        with Image.open(folder / "samples.png") as figure:
            assert max(figure.size) <= 2 * ledger.WIDTH
            differences = ImageChops.difference(figure.convert("RGB").resize((90, 90)), expected)
        assert max(ImageStat.Stat(differences).mean) < 8


def test_a_kept_figure_keeps_the_colour_of_a_small_bar(tmp_path):
    """Among many shades of other colours, as the edges of letters and bars have."""
    blue = (0, 114, 178)
    figure = Image.merge("RGB", [Image.linear_gradient("L").rotate(90 * i) for i in range(3)])
    figure.paste((0, 158, 115), (40, 40, 140, 240))
    figure.paste(blue, (150, 238, 190, 240))
    figure.save(tmp_path / "figure.png")
    ledger.shrink(tmp_path / "figure.png", tmp_path / "kept.png")
    with Image.open(tmp_path / "kept.png") as kept:
        found = kept.convert("RGB").getpixel((170, 238))
    assert max(abs(a - b) for a, b in zip(found, blue, strict=True)) < 20


def test_a_gpu_is_named_with_the_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    processor = ledger.machine()
    assert " cores of " in processor
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    assert ledger.machine() == f"NVIDIA H200, {processor}"


def test_a_table_of_probes_has_a_row_for_each_factor(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    for seed, accuracy in enumerate((0.5, 0.7)):
        folder = tmp_path / f"short/faces-ae-seed{seed}"
        kept(folder, seed, 0.4)
        metrics = {"latent/probe_accuracy_facial_hair": accuracy, "latent/probe_accuracy": 0.9}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    page = "<!-- results: short faces probes -->\nold\n<!-- /results -->\n"
    _, heading, _, *rows, _ = ledger.with_tables(page).splitlines()
    assert heading == "| factor | `ae` |"
    assert rows == ["| facial hair | 0.6 ± 0.14 |"]  # the standard deviation is 0.2 / sqrt(2)


def test_a_table_of_vectors_names_its_features(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    kept(tmp_path / "short/pbmc-ae-seed0", 0, 0.4)
    metrics = {"prior/fd_pca": 40.0, "floor/fd_pca": 2.5}
    (tmp_path / "short/pbmc-ae-seed0/metrics.json").write_text(json.dumps(metrics))
    lines = ledger.table("short", "pbmc").splitlines()
    assert "| FD-PCA, reconstructions | FD-PCA, prior |" in lines[0]
    assert "FD-CNN" not in lines[0]
    assert lines[2].startswith("| `ae` |  |  | 40 |")
    assert lines[3].startswith("| *real examples* |  | 2.5 | 2.5 | 2.5 |")


def test_a_run_is_held_against_the_spread_of_the_seeds(run, tmp_path, monkeypatch, capsys):
    """Recorded three times with other numbers, a real run is as expected, or it is not."""
    monkeypatch.setattr(ledger, "HERE", tmp_path / "results")
    own = json.loads((run / "metrics.json").read_text())["test/mse"]
    folder = ledger.record(run, "short", "abc")
    assert json.loads((folder / "run.json").read_text())["command"].startswith("python train.py ")
    for seed, factor in ((1, 0.98), (2, 1.03)):
        again = shutil.copytree(folder, folder.with_name(f"copy-seed{seed}"))
        again = again.rename(folder.with_name(f"{folder.name.rpartition('seed')[0]}seed{seed}"))
        metrics = json.loads((again / "metrics.json").read_text())
        scaled = {key: factor * value for key, value in metrics.items()}
        (again / "metrics.json").write_text(json.dumps(scaled))
    values = [own, 0.98 * own, 1.03 * own]
    low, high = ledger.expected(values, ledger.spread("test/mse"))
    assert (low + high) / 2 == pytest.approx(statistics.fmean(values))
    # Student's quantile for 99 % and 2 degrees of freedom is 9.925.
    assert (high - low) / 2 == pytest.approx(
        9.925 * statistics.stdev(values) * (4 / 3) ** 0.5, rel=1e-4
    )
    assert ledger.check(run)
    assert "as expected" in capsys.readouterr().out
    rewrite_metrics(run, lambda metrics: metrics.update({"test/mse": 2 * own}))
    assert not ledger.check(run)
    assert "OUTSIDE" in next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("test/mse")
    )


@pytest.fixture
def recorded(run, tmp_path, monkeypatch):
    """A run, and the folder where the same run is kept."""
    monkeypatch.setattr(ledger, "HERE", tmp_path / "results")
    return run, ledger.record(run, "short", "abc")


def test_a_number_that_is_missing_is_not_as_expected(recorded, capsys):
    run, _ = recorded
    assert ledger.check(run)
    rewrite_metrics(run, lambda metrics: metrics.pop("latent/knn_accuracy"))
    assert not ledger.check(run)
    assert re.search(r"latent/knn_accuracy +nan .* MISSING", capsys.readouterr().out)


def test_a_run_without_numbers_is_refused(recorded):
    run, _ = recorded
    rewrite_metrics(run, dict.clear)
    with pytest.raises(InputError, match="has no test/mse"):
        ledger.check(run)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("evaluation.json", {"split": "val"}, "has split test, the kept runs val"),
        ("evaluation.json", {"images": 39}, "has images 40, the kept runs 39"),
        ("evaluation.json", {"samplers": {}}, "has samplers "),
        ("metrics.json", {"epochs": 30}, "has epochs 2, the kept runs 30"),
    ],
)
def test_numbers_that_were_measured_otherwise_do_not_compare(name, content, line, recorded):
    run, folder = recorded
    kept = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**kept, **content}))
    with pytest.raises(InputError, match=line):
        ledger.check(run)


def test_a_range_that_holds_nearly_anything_is_no_verdict():
    spread = ledger.Spread(0.08, 1)
    low, high = ledger.expected([4.23, 4.23], spread)
    assert (low, high) == pytest.approx((-22.15, 30.61), abs=0.01)  # Student's quantile is 63.7
    assert ledger.judge(4.23, [4.23, 4.23], spread)[1] == "not judged: too few seeds are kept"
    assert ledger.judge(4.23, [4.23, 4.23], ledger.Spread(0.08, 30))[1] == "as expected"


def ledger_py(*arguments):
    """The exit status and the last line on stderr of `python results/ledger.py <arguments>`."""
    command = [sys.executable, ROOT / "results/ledger.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.slow
def test_what_is_no_run_is_refused_with_one_line(run, tmp_path):
    code, lines = ledger_py("check", tmp_path / "nowhere")
    assert (code, len(lines)) == (1, 1)
    assert "nowhere: not a run's folder" in lines[0]
    code, lines = ledger_py("exhibits", tmp_path / "nowhere", "short", "digits")
    assert (code, len(lines)) == (1, 1)
    assert "nowhere: no comparison's folder" in lines[0]
    for content, line in (("{", "damaged"), ("{}", "does not say which weights")):
        (run / "evaluation.json").write_text(content)
        code, lines = ledger_py("check", run)
        assert (code, len(lines)) == (1, 1)
        assert line in lines[0]


def test_a_kept_run_is_as_expected_of_the_other_seeds():
    """Each number of each kept run, held against its command's other seeds: few lie outside."""
    inside = []
    for command in {result.command for result in ledger.read_all()}:
        runs = ledger.seeds_of(command)
        for i, run in enumerate(runs):
            others = [other.metrics for other in runs[:i] + runs[i + 1 :]]
            for key in filter(run.says, ledger.CHECKED):
                if others:
                    kept = [metrics[key] for metrics in others]
                    low, high = ledger.expected(kept, ledger.spread(key))
                    inside.append(low <= run.metrics[key] <= high)
    assert len(inside) > 100
    assert statistics.fmean(inside) > 0.95


def test_spread_is_pooled_and_leaves_out_what_an_ae_draws_from_the_prior(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "HERE", tmp_path)
    for seed, mse in enumerate((1.0, 3.0)):  # mean 2, variance 2
        kept(tmp_path / f"short/digits-ae-seed{seed}", seed, mse)
    assert ledger.spread("test/mse") == pytest.approx((0.5**0.5, 1))
    for seed, mse in enumerate((9.0, 10.0, 11.0)):  # mean 10, variance 1
        kept(tmp_path / f"long/digits-ae-seed{seed}", seed, mse)
        file = tmp_path / f"long/digits-ae-seed{seed}/run.json"
        file.write_text(file.read_text().replace("model=ae", "model=ae trainer.max_epochs=9"))
    assert ledger.spread("test/mse") == pytest.approx((((0.5 + 2 * 0.01) / 3) ** 0.5, 3))
    assert ledger.spread("latent/knn_accuracy") is None
    result = ledger.Result("ae", "", {"prior/fd_cnn": 9.0, "mixture/fd_cnn": 1.0}, {})
    assert not result.says("prior/fd_cnn")
    assert result.says("mixture/fd_cnn")


def test_a_run_that_nothing_is_known_of(run):
    code, lines = ledger_py("check", run)
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("error: results/ has no run of `python train.py")
