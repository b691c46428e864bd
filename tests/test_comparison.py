"""Comparisons: rows and columns, what is refused, and the page in a browser."""

import csv
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest
import torch
from conftest import (
    JOB_NUMBER,
    SHORT,
    choices,
    compose_train,
    rewrite_metrics,
    run_here,
    run_script,
    without_figures,
)
from omegaconf import OmegaConf
from test_train import short_run

import autoencoders.models
import autoencoders.samplers
import compare
from autoencoders.comparison import Comparison, FinishedRun, exhibits, page
from autoencoders.comparison.printed import print_comparison
from autoencoders.comparison.rows import check_comparable
from autoencoders.comparison.table import FLOOR, Cell
from autoencoders.errors import InputError
from autoencoders.evaluation import exhibits as evaluation_exhibits
from autoencoders.features.cnn import RECORD
from autoencoders.figures import charts
from autoencoders.launch.config import check_settings
from autoencoders.metrics import latents, samples
from autoencoders.metrics.base import Metric, Quantity
from autoencoders.models import AE
from autoencoders.runs import finish, load_run
from autoencoders.runs.finished import began, command_of, read_finished, read_runs, searched_scales
from autoencoders.samplers import Prior


@pytest.fixture(scope="module")
def multirun(tmp_path_factory):
    """Four finished runs in one multirun: AE and WAE-GAN, two seeds each."""
    folder = tmp_path_factory.mktemp("comparison") / "multirun"
    overrides = (*SHORT, "evaluate=true", "evaluation.images=60", f"hydra.sweep.dir={folder}")
    overrides += (JOB_NUMBER,)
    with without_figures():
        run_here("train.py", "-m", "model=wae,ae", "seed=1,2", *overrides, cwd=folder.parent)
    return folder


def test_the_figures_have_room_for_every_model():
    assert len(choices("model")) <= compare.SHOWN


@pytest.fixture(scope="module")
def compared(multirun):
    """The folder of a comparison of those runs, and what the command printed."""
    folder = multirun.parent / "compared"
    done = run_script(
        "compare.py",
        f"multirun={multirun}",
        f"folder={folder}",
        "points=40",
        cwd=multirun.parent,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def runs(multirun):
    return [read_finished(multirun / str(i)) for i in range(4)]


def test_seeds_share_a_row(runs):
    comparison = Comparison(runs)
    assert [(row.label, len(row.runs)) for row in comparison.rows] == [("AE", 2), ("WAE-GAN", 2)]
    for row in comparison.rows:
        values = [run.metrics["prior/fd_cnn"] for run in row.runs]
        assert row.cells["prior/fd_cnn"].mean == pytest.approx(statistics.fmean(values))
        assert row.cells["prior/fd_cnn"].std == pytest.approx(statistics.stdev(values))


def test_the_best_value_is_marked(runs):
    comparison = Comparison(runs)
    for column in comparison.columns:
        cells = [row.cells[column.key] for row in comparison.rows if column.key in row.cells]
        means = [cell.mean for cell in cells]
        best = {"lower": min, "higher": max}.get(column.better)
        marked = best is not None and min(means) != max(means)  # of equal values, none is the best
        assert [cell.best for cell in cells] == [marked and mean == best(means) for mean in means]


def test_other_settings_make_another_row(runs):
    runs[0].config["model"]["reg_weight"] = 3
    labels = [row.label for row in Comparison(runs).rows]
    assert labels == ["AE", "WAE-GAN (reg_weight 3)", "WAE-GAN (reg_weight 10)"]


def test_a_single_run_has_no_deviation_and_no_best(runs):
    (row,) = Comparison(runs[:1]).rows
    assert all(cell.std is None and not cell.best for cell in row.cells.values())


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(0.0123456), "0.01235"),
        (Cell(0.5, 0.0123), "0.5 ± 0.012"),
        (Cell(1512266.0), "1,512,266"),
        (Cell(0.0), "0"),
    ],
)
def test_how_a_value_is_written(cell, text):
    assert str(cell) == text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("samplers", {}, "<folder> evaluation.samplers.<name>.<setting>=..."),
        ("dataset", "MNIST", "leave one out"),
        ("images", 59, "run=<folder> evaluation.images=..."),
        ("seed", 7, "run=<folder> evaluation.seed=..."),
        ("extractor", "0", "run=<folder>"),
    ],
)
def test_runs_that_do_not_compare(runs, key, value, words):
    """The line says what differs, and what to type that ends it."""
    runs[2].conditions[key] = value
    what = "data sets" if key == "dataset" else f"evaluation settings ({key})"
    with pytest.raises(InputError, match=re.escape(f"runs of different {what}")) as error:
        check_comparable(runs)
    assert str(error.value).endswith(words)
    for run in (runs[0], runs[2]):
        assert str(run.folder) in str(error.value)


def test_runs_on_several_data_sets_have_a_table_each(multirun, tmp_path):
    """Of one name, too, if the examples are others."""
    for name, change in (("one", {}), ("two", {"dataset": "cells"}), ("three", {"examples": "0"})):
        shutil.copytree(multirun / "0", tmp_path / name)
        file = tmp_path / name / "evaluation.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    named = f"runs=[{','.join(str(tmp_path / name) for name in ('one', 'two', 'three'))}]"
    done = run_script("compare.py", named, "folder=compared", "points=40", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "runs on 3 different data sets, which do not compare: a table of each" in done.stdout
    folders = {"cells", "digits", "digits-2"}
    assert {path.name for path in (tmp_path / "compared").iterdir()} == folders
    mse = json.loads((tmp_path / "one/metrics.json").read_text())["test/mse"]
    for folder in folders:
        content = json.loads((tmp_path / "compared" / folder / "comparison.json").read_text())
        (row,) = content["rows"]
        assert row["metrics"]["test/mse"]["mean"] == mse


def test_what_a_comparison_leaves(compared):
    folder, printed = compared
    names = {exhibit.__name__ for exhibit in exhibits.EXHIBITS["image"]}
    names |= {"embeddings", "errors", "sample_quality"}
    assert {file.stem for file in folder.glob("*.png")} == names
    for name in ("comparison.md", "comparison.csv", "comparison.json", "index.html"):
        assert (folder / name).is_file()
    assert "FD-CNN" in printed
    assert "WAE-GAN" in printed


def test_seeds_are_drawn_as_error_bars(runs):
    comparison = Comparison(runs)
    figures = exhibits.of_comparison(comparison, comparison.rows, "a note")
    for name, key in (("errors", "test/mse"), ("sample_quality", "prior/fd_cnn")):
        segments = [s for c in figures[name]().axes[0].collections for s in c.get_segments()]
        for row in comparison.rows:
            values = [run.metrics[key] for run in row.runs]
            mean, std = statistics.fmean(values), statistics.stdev(values)
            assert any(
                s[:, 1].tolist() == pytest.approx([mean - std, mean + std]) for s in segments
            )
        assert "standard deviation over 2 seeds" in figures[name]().get_supxlabel()
    figures = exhibits.of_comparison(Comparison(runs[::2]), Comparison(runs[::2]).rows, "a note")
    assert figures["errors"]().get_supxlabel() == "a note"


def test_what_several_models_share_stands_once_in_their_footnote():
    notes = {
        "AE": "latent_dim = 8, MLP(hidden_dim=2, layers=3), 3 epochs",
        "WAE": "reg_weight = 10, latent_dim = 8, MLP(hidden_dim=4, layers=3), 3 epochs",
    }
    assert exhibits.shared_parameters(notes) == (
        "latent_dim = 8, 3 epochs; AE: MLP(hidden_dim=2, layers=3); WAE: reg_weight = 10,"
        " MLP(hidden_dim=4, layers=3)"
    )


def test_the_tables_agree(compared, multirun):
    folder, _ = compared
    content = json.loads((folder / "comparison.json").read_text())
    with (folder / "comparison.csv").open() as file:
        floor, ae, wae = csv.DictReader(file)
    assert (floor["model"], ae["model"], wae["model"]) == (FLOOR, "AE", "WAE-GAN")
    metrics = [json.loads((multirun / f"{i}/metrics.json").read_text()) for i in (2, 3)]
    expected = statistics.fmean(run["mixture/coverage"] for run in metrics)
    assert float(ae["mixture/coverage"]) == pytest.approx(expected)
    assert content["rows"][0]["metrics"]["mixture/coverage"]["mean"] == pytest.approx(expected)
    everyone = [json.loads((multirun / f"{i}/metrics.json").read_text()) for i in range(4)]
    mean = statistics.fmean(run["floor/coverage"] for run in everyone)
    assert float(floor["mixture/coverage"]) == pytest.approx(mean)
    assert float(floor["latent/mmd"]) == pytest.approx(metrics[0]["latent/mmd_floor"])
    lines = (folder / "comparison.md").read_text().splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    assert all(lines[i + 1].startswith(f"| {FLOOR}") for i in heads[:3])
    assert any("**" in line and "±" in line for line in lines)


def test_the_newest_evaluated_run_of_each_model_is_taken(multirun, tmp_path, monkeypatch):
    runs = [tmp_path / f"outputs/digits/wae/2026-01-0{day}_00-00-00" for day in range(1, 8)]
    for folder in runs:
        shutil.copytree(multirun / "0", folder)
        if folder not in runs[4:]:
            change(folder, limit_train_batches=1.0)
    (runs[2] / "evaluation.json").unlink()
    (runs[3] / "run.json").write_text('{"finished": false}')
    change(runs[4], limit_train_batches=1)
    change(runs[5], limit_train_batches=None, fast_dev_run=True)
    damaged = json.loads((runs[6] / "evaluation.json").read_text())["files"]
    (runs[6] / damaged / "numbers.json").write_text("{")
    shutil.copytree(multirun / "2", tmp_path / "outputs/digits/ae/2026-01-01_00-00-00")
    (tmp_path / "outputs/digits/ae/2026-01-01_00-00-00/evaluation.json").unlink()
    newer = tmp_path / "outputs/digits/vae/2026-01-01_00-00-00"
    shutil.copytree(multirun / "2", newer)
    change(newer, limit_train_batches=1.0)
    config = OmegaConf.load(newer / ".hydra/config.yaml")
    config.dataset.batch_size = 8
    OmegaConf.save(config, newer / ".hydra/config.yaml")
    rewrite_metrics(newer, lambda metrics: metrics.update(epochs=30))
    monkeypatch.setattr(exhibits, "of_models", lambda *_: {})
    printed = run_here("compare.py", "points=50", cwd=tmp_path)
    (folder,) = (tmp_path / "outputs/comparisons/digits").iterdir()
    rows = json.loads((folder / "comparison.json").read_text())["rows"]
    assert sorted(folder for row in rows for folder in row["runs"]) == [
        "outputs/digits/vae/2026-01-01_00-00-00",
        "outputs/digits/wae/2026-01-02_00-00-00",
    ]
    lines = [line for line in printed.splitlines() if line.startswith("left out: ")]
    expected = [
        "ae/2026-01-01_00-00-00: not evaluated",
        f"wae/2026-01-07_00-00-00/{damaged}/numbers.json: damaged",
        "wae/2026-01-06_00-00-00: saw a part of its data alone (trainer.fast_dev_run=True)",
        "wae/2026-01-05_00-00-00: saw a part of its data alone (trainer.limit_train_batches=1)",
        "wae/2026-01-04_00-00-00: not finished",
        "wae/2026-01-03_00-00-00: not evaluated",
    ]
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert line.startswith(f"left out: outputs/digits/{words}")
    assert "the runs differ in epochs (2, 30), dataset.batch_size (8, 16)" in printed


def change(folder, **trainer):
    """Edit the run's config: other arguments of its trainer."""
    config = OmegaConf.load(folder / ".hydra/config.yaml")
    config.trainer.update(trainer)
    OmegaConf.save(config, folder / ".hydra/config.yaml")


def test_runs_of_one_size_do_not_differ(runs):
    assert Comparison(runs).differences() == ""


class Page(HTMLParser):
    """Collects a page's images, links and table cells, and whatever it would fetch."""

    def __init__(self):
        super().__init__()
        self.images, self.fetched, self.links = [], [], []
        self.tables, self.cell = {}, None  # by id, rows of (attributes, text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        if tag == "table":
            self.rows = self.tables[found["id"]] = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.cell = (found, [])
        source = found.get("src") or found.get("href") or ""
        if tag in ("img", "link", "script") and source and not source.startswith("data:"):
            self.fetched.append(source)

    def handle_data(self, data):
        if self.cell:
            self.cell[1].append(data)

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            attributes, texts = self.cell
            self.rows[-1].append((attributes, "".join(texts)))
            self.cell = None


@pytest.fixture
def comparison(tmp_path):
    """Two models, one of them with two seeds, without a run behind them."""

    def run(model, seed, mse, **own):
        target = {"_target_": f"autoencoders.models.{model}", "lr": 0.001}
        config = {"model": target | own, "dataset": {"batch_size": 8}, "seed": seed}
        config["objective"] = "val/mse"
        shipped = json.loads(RECORD.read_text())["digits"]["sha256"]
        conditions = {"dataset": "digits", "split": "test", "images": 40, "extractor": shipped}
        conditions["samplers"] = {"prior": {}, "mixture": {}}
        of_samples = {f"{of}/fd_cnn": 2 + mse for of in ("reconstruction", "prior", "mixture")}
        shares = {f"prior/{key}": 1 - mse for key in ("precision", "recall", "density")}
        metrics = {"test/mse": mse, "test/z_std": 1 + mse, "epochs": 2, "train_seconds": 30 * mse}
        metrics |= {**of_samples, **shares, "floor/precision": 0.9, "latent/knn_accuracy": mse}
        folder = tmp_path / f"{model}{seed}"
        command, began = f"python train.py model={model} seed={seed}", f"2026-01-0{seed} 10:00:00"
        return FinishedRun(folder, "digits", model, config, metrics, conditions, command, began)

    first, second = run("WAE", 1, 0.25, reg_weight=10), run("WAE", 2, 0.5, reg_weight=10)
    return Comparison([first, second, run("AE", 1, 0.3)])


def test_draws_from_different_priors_are_no_floor(comparison):
    """What two draws of the prior reach depends on latent_dim."""
    runs = [run for row in comparison.rows for run in row.runs]

    def floor(*values):
        runs_with = [
            run._replace(metrics={**run.metrics, "latent/mmd": 0.1, "latent/mmd_floor": value})
            for run, value in zip(runs, values, strict=True)
        ]
        return Comparison(runs_with).floor

    assert floor(0.02, 0.02, 0.02)["latent/mmd"].mean == pytest.approx(0.02)
    assert "latent/mmd" not in (found := floor(0.02, 0.02, 0.3))
    assert found["prior/precision"].mean == 0.9


@pytest.fixture
def parsed(comparison, tmp_path):
    figures = {"errors": charts.bars([("AE", {"MSE": 0.3})], "title", "y")}
    page.write(comparison, figures, tmp_path)
    parsed = Page()
    parsed.feed((tmp_path / "index.html").read_text())
    return parsed


def test_the_page_begins_with_eight_columns_and_keeps_the_rest(parsed, comparison):
    sections, headings, *rows = parsed.tables["table"]
    visible = [text for attributes, text in headings[1:] if "hidden" not in attributes]
    assert visible == [
        *("MSE ↓", "FD-CNN ↓", "FD-CNN ↓", "precision ↑", "recall ↑", "FD-CNN ↓"),
        *("kNN accuracy ↑", "seconds"),
    ]
    assert len(headings) - 1 == len(comparison.columns) > 8
    shown = [(attributes["colspan"], text) for attributes, text in sections[1:]]
    assert shown == [
        *(("2", "Reconstruction"), ("3", "Samples: prior"), ("1", "Samples: mixture")),
        *(("1", "Latent space"), ("1", "Training")),
    ]
    for row in rows:  # a cell is hidden with its heading
        assert ["hidden" in a for a, _ in row] == ["hidden" in a for a, _ in headings]


def test_arrows_and_sorting_know_which_values_are_better(parsed, comparison):
    headings = parsed.tables["table"][1]
    for (attributes, text), column in zip(headings[1:], comparison.columns, strict=True):
        assert attributes.get("data-better") == column.better
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[column.better]
        assert text == column.name + arrow


def test_the_page_tells_in_what_the_runs_differ(parsed, tmp_path):
    head, *rows = [[text for _, text in row] for row in parsed.tables["runs"]]
    assert head == ["model", "folder", "began", "model.reg_weight", "seed", "command"]
    several = [("AE", "1", ""), ("WAE", "1", "10"), ("WAE", "2", "10")]
    for row, (model, seed, weight) in zip(rows, several, strict=True):
        folder, command = tmp_path / f"{model}{seed}", f"python train.py model={model} seed={seed}"
        assert row == [model, str(folder), f"2026-01-0{seed} 10:00:00", weight, seed, command]
    assert parsed.links == ["errors.png"]
    assert parsed.fetched == []


def test_when_a_run_began_and_what_trains_it(tmp_path):
    folder = tmp_path / "2026-01-02_03-04-05" / "7"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/overrides.yaml").write_text("- model=vae\n- +a='b c'\n")
    assert began(folder) == "2026-01-02 03:04:05"
    assert shlex.split(command_of(folder)) == ["python", "train.py", "model=vae", "+a='b c'"]
    other = tmp_path / "short"
    (other / ".hydra").mkdir(parents=True)
    (other / ".hydra/config.yaml").touch()
    os.utime(other / ".hydra/config.yaml", (0, 86400 * 365))
    assert began(other).startswith("1971-01-01 ")
    assert command_of(other) == ""


def test_the_page_needs_nothing_else(compared):
    content = (compared[0] / "index.html").read_text()
    page = Page()
    page.feed(content)
    assert len(page.images) == len(list(compared[0].glob("*.png")))
    assert page.fetched == []
    assert "http" not in re.sub(r"data:[^\"]*", "", content)
    for image in page.images:
        assert int(image["width"]) > 300
        assert int(image["height"]) > 100
        assert image["alt"]


PROBE = """
<script>addEventListener("load", () => {
  const visible = () => headings.filter(h => !h.hidden).map(h => h.textContent);
  const spans = () => sections.filter(s => !s.hidden).map(s => s.colSpan + " " + s.textContent);
  const read = column => [...table.tBodies[0].rows]
    .map(row => [row.cells[0].textContent, row.cells[column].dataset.value ?? ""]);
  const click = name => {
    const column = headings.findIndex(h => h.textContent === name);
    headings[column].querySelector("button").click();
    return read(column);
  };
  const choose = name => {
    buttons.find(b => b.textContent === name).click();
    const cells = [...table.tBodies[0].rows[1].cells].filter(cell => !cell.hidden);
    return [visible(), spans(), cells.length];
  };
  const result = {
    start: visible(),
    all: choose("all"), training: choose("Training"), overview: choose("overview"),
    lower: [click("MSE ↓"), click("MSE ↓")],
    higher: [click("precision ↑"), click("precision ↑")],
    model: [click("model"), click("model")],
    sizes: [...document.images].map(i => [i.naturalWidth, i.naturalHeight,
      +i.getAttribute("width"), +i.getAttribute("height")]),
    wide: document.documentElement.scrollWidth,
    window: innerWidth,
    images: Math.min(...[...document.images].map(i => i.clientWidth)),
    headings: [...document.querySelectorAll("h1, h2")].map(h => h.textContent),
  };
  document.body.innerHTML = "<pre id=result></pre>";
  document.querySelector("#result").textContent = JSON.stringify(result);
});</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_in_a_browser(comparison, parsed, width, tmp_path):
    """It opens without an error in the console, sorts the best first, shows the chosen columns, and
    nothing but what scrolls by itself is wider than the window."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    probe = tmp_path / "probe.html"
    probe.write_text((tmp_path / "index.html").read_text().replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--virtual-time-budget=10000", f"--window-size={width},900"),
            *("--dump-dom", f"file://{probe}"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "CONSOLE" not in done.stderr
    found = json.loads(unescape(re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.S)[1]))
    _, headings, *_ = parsed.tables["table"]
    names = [text for _, text in headings]
    assert found["start"] == [t for a, t in headings if "hidden" not in a]
    assert found["all"][0] == names
    for choice in ("all", "training", "overview"):
        shown, spans, cells = found[choice]
        assert cells == len(shown)
        assert sum(int(span.partition(" ")[0]) for span in spans) == len(shown) - 1
    assert found["training"][0] == ["model", "epochs", "seconds"]
    assert found["overview"][0] == found["start"]

    up, down = found["lower"]
    floor, ae, wae = [FLOOR, ""], ["AE", "0.3"], ["WAE", "0.375"]
    assert (up, down) == ([floor, ae, wae], [floor, wae, ae])
    best, worst = ([name for name, _ in order] for order in found["higher"])
    assert (best, worst) == ([FLOOR, "AE", "WAE"], [FLOOR, "WAE", "AE"])
    assert [[name for name, _ in order] for order in found["model"]] == [best, worst]
    for width_of, height, told_width, told_height in found["sizes"]:
        assert (width_of, height) == (told_width, told_height)
    assert found["wide"] <= found["window"]
    assert found["images"] >= 700  # wide enough to be read
    assert found["headings"] == ["Auto-encoders on digits", "Figures", "Runs"]


def nameless(file):
    """A checkpoint as it was before it carried what it is of: configs may be changed beside it."""
    content = torch.load(file, weights_only=True)
    del content["description"]
    torch.save(content, file)


def test_a_search_is_drawn(multirun, tmp_path, monkeypatch):
    """Runs that differ in several numbers: named by their folder, the six best in images."""
    root = tmp_path / "search"
    for i in range(8):
        shutil.copytree(multirun / "0", root / str(i))
        config = OmegaConf.load(root / f"{i}/.hydra/config.yaml")
        config.model.reg_weight = 2.0**i
        config.optimizer.lr = 0.001 * (1 + i % 3)
        config.model.discriminator_optimizer.lr = 0.001 * (1 + i % 2)
        config.model.cost = ("bce", "mse")[i % 2]
        config.objective = "prior/fd_cnn" if i else "val/mse"
        OmegaConf.save(config, root / f"{i}/.hydra/config.yaml")
        nameless(root / f"{i}/checkpoints/last.ckpt")
        rewrite_metrics(root / str(i), lambda m, i=i: m.update({"prior/fd_cnn": 10.0 - i}))
    comparison = Comparison([read_finished(root / str(i)) for i in range(8)])
    assert [row.label for row in comparison.rows] == [f"WAE-GAN ({i})" for i in range(8)]
    assert comparison.varied().keys() == {*("reg_weight", "lr", "discriminator_lr", "cost")}
    assert [row.label for row in comparison.best(2)] == ["WAE-GAN (7)", "WAE-GAN (6)"]
    for row in comparison.rows:
        row.runs[0].config["objective"] = "test/mse"
    assert comparison.objective.key == "test/mse"
    monkeypatch.setattr(exhibits, "of_models", lambda *_: {})
    run_here("compare.py", f"multirun={root}", "folder=compared", "points=30", cwd=tmp_path)
    assert (tmp_path / "compared/search.png").stat().st_size > 10_000


def test_which_settings_were_searched_on_a_logarithmic_scale(tmp_path):
    space = {
        "optimizer.lr": {"low": 0.001, "high": 0.003, "log": True},
        "model.cost": {"choices": []},
    }
    OmegaConf.save({"hydra": {"sweeper": {"space": space}}}, tmp_path / "multirun.yaml")
    cfg = OmegaConf.create({"runs": [], "multirun": str(tmp_path)})
    assert searched_scales(cfg) == {"lr": True, "cost": False}
    assert searched_scales(OmegaConf.create({"runs": [], "multirun": None})) == {}
    (tmp_path / "multirun.yaml").write_text("hydra: [")
    with pytest.raises(InputError, match=r"multirun\.yaml: not a multirun's config"):
        searched_scales(cfg)


def test_of_a_multirun_on_several_data_sets_one_is_compared(multirun, tmp_path):
    for i, name in enumerate(("digits", "mnist", "mnist")):
        shutil.copytree(multirun / "0", tmp_path / str(i))
        hydra = OmegaConf.load(tmp_path / f"{i}/.hydra/hydra.yaml")
        hydra.hydra.runtime.choices.dataset = name
        OmegaConf.save(hydra, tmp_path / f"{i}/.hydra/hydra.yaml")
    cfg = OmegaConf.create({"runs": [], "multirun": str(tmp_path), "tags": []})
    assert [run.folder.name for run in read_runs(cfg, "mnist")] == ["1", "2"]
    with pytest.raises(InputError, match="holds runs on digits, mnist; choose one with dataset="):
        read_runs(cfg, "fmnist")


def test_tags_name_runs_wherever_they_are(multirun, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tags = {
        "outputs/digits/wae/1": ["ablation", "wide"],
        "outputs/digits/wae/2": ["ablation"],
        "outputs/digits/wae/3": None,  # of a time without tags
        "outputs/multirun/2026/0": ["ablation"],
    }
    for folder, words in tags.items():
        shutil.copytree(multirun / "0", folder)
        config = OmegaConf.load(f"{folder}/.hydra/config.yaml")
        config.tags = words
        OmegaConf.save(config, f"{folder}/.hydra/config.yaml")

    def named(**keys):
        cfg = OmegaConf.create({"runs": [], "multirun": None, "tags": [], **keys})
        return [str(run.folder) for run in read_runs(cfg, "digits")]

    tagged = [folder for folder, words in tags.items() if words and "ablation" in words]
    assert named(tags=["ablation"]) == named(tags="ablation") == tagged
    assert named(tags=["wide", "ablation"]) == ["outputs/digits/wae/1"]
    assert named(multirun="outputs/digits/wae", tags=["ablation"]) == tagged[:2]
    with pytest.raises(InputError, match=r"tags=\[narrow\]: no finished run in outputs"):
        named(tags=["narrow"])
    with pytest.raises(InputError, match="leave one out"):
        named(tags=["wide"], runs=["outputs/digits/wae/1"])


def test_averaged_weights_have_a_row_of_their_own(multirun, tmp_path):
    chosen = {
        "plain": None,
        "rates": {"lr_monitor": {"_target_": "autoencoders.training.LearningRates"}},
        "averaged": {"ema": {"_target_": "autoencoders.training.EMA", "decay": 0.99}},
    }
    for seed, (name, callbacks) in enumerate(chosen.items()):
        shutil.copytree(multirun / "0", tmp_path / name)
        config = OmegaConf.load(tmp_path / name / ".hydra/config.yaml")
        config.callbacks, config.seed = callbacks, seed
        OmegaConf.save(config, tmp_path / name / ".hydra/config.yaml")
    comparison = Comparison([read_finished(tmp_path / name) for name in chosen])
    assert [(row.label, len(row.runs)) for row in comparison.rows] == [
        ("WAE-GAN", 2),
        ("WAE-GAN (decay 0.99)", 1),
    ]


class Wide(Prior):
    """A sampler that is added: twice as wide as the prior."""

    def draw(self, n, generator=None):
        return 2 * super().draw(n, generator)


class Own(AE):
    """A model that is added, with a term of its own."""

    label = "Own"

    def losses(self, batch, out):
        terms = super().losses(batch, out)
        return {**terms, "own_term": 7 + 0 * terms["loss"]}


def brightness(judged):
    return {"brightness": judged.generated.values.float().mean().item()}


def largest(codes, prior, prior_std):
    return {"largest": codes.abs().max().item()}


def spread(train, train_labels, test, test_labels):
    return {"spread": test.std().item()}


def exhibit(models, data, note=""):
    return charts.bars([("a", {"b": 1.0})], f"added on {data.label}", "y", note)


def test_what_is_added_is_measured_printed_and_compared(tmp_path, monkeypatch, capsys):
    """A metric of each list, a sampler, a model's term and a figure: no other line changes."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(autoencoders.models, "Own", Own, raising=False)
    monkeypatch.setattr(autoencoders.samplers, "Wide", Wide, raising=False)
    bright = Metric(brightness, (Quantity("brightness", "mean grey", "lower"),), "held_out")
    monkeypatch.setattr(samples, "METRICS", (*samples.METRICS, bright))
    for name, compute in (("PRIOR_METRICS", largest), ("LABEL_METRICS", spread)):
        key = compute.__name__
        added = Metric(compute, (Quantity(key, f"the {key}", "lower"),))
        monkeypatch.setattr(latents, name, (*getattr(latents, name), added))
    monkeypatch.setattr(evaluation_exhibits, "EXHIBITS", (*evaluation_exhibits.EXHIBITS, exhibit))
    monkeypatch.setitem(exhibits.EXHIBITS, "image", (exhibit,))
    monkeypatch.setattr(finish, "of_training", lambda *_: {})  # no list that a figure is added to
    overrides = (
        *("model=ae", "model._target_=autoencoders.models.Own", "evaluate=true"),
        *("evaluation.images=40", "objective=wide/brightness", "verbose=true"),
        "+evaluation.samplers.wide._target_=autoencoders.samplers.Wide",
    )
    check_settings(compose_train(*SHORT, *overrides))
    folder = tmp_path / "run"
    reached = short_run(folder, *overrides, figures=True)
    hydra = OmegaConf.load(folder / ".hydra/hydra.yaml")
    hydra.hydra.runtime.choices = {"dataset": "digits"}
    OmegaConf.save(hydra, folder / ".hydra/hydra.yaml")

    metrics = json.loads((folder / "metrics.json").read_text())
    keys = {"wide/brightness", "prior/brightness", "held_out/brightness", "wide/fd_cnn"}
    keys |= {"latent/largest", "latent/largest_floor", "latent/spread", "test/own_term"}
    assert keys < metrics.keys()
    assert reached == metrics["wide/brightness"]
    assert metrics["test/own_term"] == pytest.approx(7)
    assert (folder / "samplers/wide.safetensors").exists()
    assert (folder / "figures/exhibit.png").exists()
    assert (folder / "figures/samples_wide.png").exists()
    words = ("Samples: wide", "mean grey", "the largest", "the spread", "own term", "Objective")
    printed = capsys.readouterr().out
    for word in (*words, "exhibit.png"):
        assert word in printed

    comparison = Comparison([read_finished(folder)])
    assert comparison.objective.key == "wide/brightness"
    sections = {name: [c.key for c in columns] for name, columns in comparison.sections()}
    assert "test/own_term" in sections["Objective"]
    assert "wide/brightness" in sections["Samples: wide"]
    assert {"latent/largest", "latent/spread"} < set(sections["Latent space"])
    assert comparison.floor["wide/brightness"].mean == metrics["held_out/brightness"]
    run = load_run(folder)
    model, data = run.model, run.data
    drawings = exhibits.of_models({"Own": model}, data, points=20)
    page.write(comparison, {name: drawing() for name, drawing in drawings.items()}, tmp_path)
    content = (tmp_path / "index.html").read_text()
    print_comparison(comparison, tmp_path, verbose=True)
    printed = capsys.readouterr().out
    for word in words:
        assert word in printed
        assert word in content
        assert word in comparison.to_markdown()
    assert keys - {"held_out/brightness", "latent/largest_floor"} < set(
        comparison.to_csv().partition("\r\n")[0].split(",")
    )
    assert '<figure id="exhibit">' in content
