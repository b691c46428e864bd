"""Comparisons: rows and columns, what is refused, and the page in a browser."""

import csv
import json
import re
import shutil
import statistics
import subprocess
from html.parser import HTMLParser

import pytest
from conftest import SHORT, run_script
from omegaconf import OmegaConf

from autoencoders.comparison import Comparison, read_runs
from autoencoders.comparison.runs import check_comparable, read_finished
from autoencoders.comparison.table import Cell
from autoencoders.errors import InputError


@pytest.fixture(scope="module")
def multirun(tmp_path_factory):
    """Four finished runs in one multirun: AE and WAE-GAN, two seeds each."""
    folder = tmp_path_factory.mktemp("comparison") / "multirun"
    overrides = (*SHORT, "evaluate=true", "evaluation.images=60", f"hydra.sweep.dir={folder}")
    done = run_script("train.py", "-m", "model=wae,ae", "seed=1,2", *overrides, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def compared(multirun):
    """The folder of a comparison of those runs, and what the command printed."""
    folder = multirun.parent / "compared"
    done = run_script(
        "compare.py",
        f"multirun={multirun}",
        f"folder={folder}",
        "points=100",
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
        cells = [row.cells[column.key] for row in comparison.rows]
        means = [cell.mean for cell in cells]
        best = {"lower": min, "higher": max}.get(column.better)
        marked = best is not None and means[0] != means[1]  # of equal values, none is the best
        assert [cell.best for cell in cells] == [marked and mean == best(means) for mean in means]


def test_other_settings_make_another_row(runs):
    runs[0].cfg.model.reg_weight = 3
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
        ("dataset", "MNIST", "different data sets"),
        ("images", 59, "different evaluation settings (images)"),
        ("seed", 7, "different evaluation settings (seed)"),
        ("extractor", "0", "different evaluation settings (extractor)"),
    ],
)
def test_runs_that_do_not_compare(runs, key, value, words):
    runs[2].conditions[key] = value
    with pytest.raises(InputError, match=re.escape(words)) as error:
        check_comparable(runs)
    for run in (runs[0], runs[2]):
        assert str(run.folder) in str(error.value)


def test_what_a_comparison_leaves(compared):
    folder, printed = compared
    names = {"reconstructions", "samples", "interpolation", "interpolations", "embeddings"}
    names |= {"errors", "sample_quality"}
    assert {file.stem for file in folder.glob("*.png")} == names
    for name in ("comparison.md", "comparison.csv", "comparison.json", "index.html"):
        assert (folder / name).is_file()
    assert "FD-CNN" in printed
    assert "WAE-GAN" in printed


def test_the_tables_agree(compared, multirun):
    folder, _ = compared
    content = json.loads((folder / "comparison.json").read_text())
    with (folder / "comparison.csv").open() as file:
        floor, ae, wae = csv.DictReader(file)
    assert (floor["model"], ae["model"], wae["model"]) == ("real images", "AE", "WAE-GAN")
    metrics = [json.loads((multirun / f"{i}/metrics.json").read_text()) for i in (2, 3)]
    expected = statistics.fmean(run["mixture/coverage"] for run in metrics)
    assert float(ae["mixture/coverage"]) == pytest.approx(expected)
    assert content["rows"][0]["metrics"]["mixture/coverage"]["mean"] == pytest.approx(expected)
    everyone = [json.loads((multirun / f"{i}/metrics.json").read_text()) for i in range(4)]
    mean = statistics.fmean(run["floor/coverage"] for run in everyone)
    assert float(floor["mixture/coverage"]) == pytest.approx(mean)
    lines = (folder / "comparison.md").read_text().splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    assert all(lines[i + 1].startswith("| real images") for i in heads[:3])
    assert any("**" in line and "±" in line for line in lines)


def test_the_newest_evaluated_run_of_each_model_is_taken(multirun, tmp_path):
    runs = [tmp_path / f"outputs/digits/wae/2026-01-0{day}_00-00-00" for day in range(1, 8)]
    for folder in runs:
        shutil.copytree(multirun / "0", folder)
        if folder not in runs[4:]:
            change(folder, limit_train_batches=1.0)
    (runs[2] / "evaluation.json").unlink()
    (runs[3] / "metrics.json").unlink()  # not finished
    change(runs[4], limit_train_batches=1)
    change(runs[5], limit_train_batches=None, fast_dev_run=True)
    (runs[6] / "metrics.json").write_text("{")
    shutil.copytree(multirun / "2", tmp_path / "outputs/digits/ae/2026-01-01_00-00-00")
    (tmp_path / "outputs/digits/ae/2026-01-01_00-00-00/evaluation.json").unlink()
    newer = tmp_path / "outputs/digits/vae/2026-01-01_00-00-00"
    shutil.copytree(multirun / "2", newer)
    change(newer, limit_train_batches=1.0)
    config = OmegaConf.load(newer / ".hydra/config.yaml")
    config.dataset.batch_size = 8
    OmegaConf.save(config, newer / ".hydra/config.yaml")
    metrics = json.loads((newer / "metrics.json").read_text())
    (newer / "metrics.json").write_text(json.dumps({**metrics, "epochs": 30}))
    done = run_script("compare.py", "points=50", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs/comparisons/digits").iterdir()
    rows = json.loads((folder / "comparison.json").read_text())["rows"]
    assert sorted(folder for row in rows for folder in row["runs"]) == [
        "outputs/digits/vae/2026-01-01_00-00-00",
        "outputs/digits/wae/2026-01-02_00-00-00",
    ]
    lines = [line for line in done.stdout.splitlines() if line.startswith("left out: ")]
    expected = [
        "ae/2026-01-01_00-00-00: not evaluated",
        "wae/2026-01-07_00-00-00/metrics.json: damaged",
        "wae/2026-01-06_00-00-00: saw a part of its data alone (trainer.fast_dev_run=True)",
        "wae/2026-01-05_00-00-00: saw a part of its data alone (trainer.limit_train_batches=1)",
        "wae/2026-01-03_00-00-00: not evaluated",
    ]
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert line.startswith(f"left out: outputs/digits/{words}")
    assert "the runs differ in epochs (2, 30), dataset.batch_size (8, 16)" in done.stdout


def change(folder, **trainer):
    """Edit the run's config: other arguments of its trainer."""
    config = OmegaConf.load(folder / ".hydra/config.yaml")
    config.trainer.update(trainer)
    OmegaConf.save(config, folder / ".hydra/config.yaml")


def test_runs_of_one_size_do_not_differ(runs):
    assert Comparison(runs).differences() == ""


class Page(HTMLParser):
    """Collects a page's images and whatever it would fetch."""

    def __init__(self):
        super().__init__()
        self.images, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        source = found.get("src") or found.get("href") or ""
        if tag in ("img", "link", "script") and source and not source.startswith("data:"):
            self.fetched.append(source)


def test_the_page_needs_nothing_else(compared):
    content = (compared[0] / "index.html").read_text()
    page = Page()
    page.feed(content)
    assert len(page.images) == 7
    assert page.fetched == []
    assert "http" not in re.sub(r"data:[^\"]*", "", content)
    for image in page.images:
        assert int(image["width"]) > 300
        assert int(image["height"]) > 100
        assert image["alt"]


SORT = """
<script>
  const log = [];
  const column = [...document.querySelectorAll("#table thead tr:last-child th")]
    .findIndex(th => th.textContent === "MSE");
  const button = document.querySelectorAll("#table thead tr:last-child th")[column]
    .querySelector("button");
  const read = () => log.push([...document.querySelectorAll("#table tbody tr")]
    .map(row => [row.cells[0].textContent, row.cells[column].dataset.value].join("=")).join(";"));
  button.click(); read(); button.click(); read();
  const sizes = [...document.images].map(i => i.naturalWidth + "x" + i.naturalHeight
    + "=" + i.getAttribute("width") + "x" + i.getAttribute("height"));
  document.body.innerHTML = "<pre id=result>" + JSON.stringify({log, sizes}) + "</pre>";
</script>
"""


def test_the_page_in_a_browser(compared, tmp_path):
    """It opens without an error in the console, sorts, and each image has the size it says."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    content = (compared[0] / "index.html").read_text()
    probe = tmp_path / "probe.html"
    script = SORT.replace("<script>", "<script>addEventListener('load', () => {").replace(
        "</script>", "});</script>"
    )
    probe.write_text(content.replace("</body>", script + "</body>"))
    done = subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--virtual-time-budget=10000", "--dump-dom", f"file://{probe}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    found = json.loads(re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.S).group(1))
    orders = [[row.split("=") for row in order.split(";")] for order in found["log"]]
    for order in orders:
        assert order[0][0] == "real images"  # the floor stays on top
    up, down = ([float(value) for _, value in order[1:]] for order in orders)
    assert up == sorted(up)
    assert down == sorted(up, reverse=True)
    assert len(found["sizes"]) == 7
    for size in found["sizes"]:
        natural, told = size.split("=")
        assert natural == told


def test_a_search_is_drawn(multirun, tmp_path):
    """Runs that differ in several numbers: named by their folder, the six best in images."""
    root = tmp_path / "search"
    for i in range(8):
        shutil.copytree(multirun / "0", root / str(i))
        config = OmegaConf.load(root / f"{i}/.hydra/config.yaml")
        config.model.reg_weight = 2.0**i
        config.model.lr = 0.001 * (1 + i % 3)
        config.model.discriminator_lr = 0.001 * (1 + i % 2)
        config.model.cost = ("bce", "mse")[i % 2]
        config.objective = "prior/fd_cnn" if i else "val/mse"
        OmegaConf.save(config, root / f"{i}/.hydra/config.yaml")
        metrics = json.loads((root / f"{i}/metrics.json").read_text())
        metrics["prior/fd_cnn"] = 10.0 - i
        (root / f"{i}/metrics.json").write_text(json.dumps(metrics))
    comparison = Comparison([read_finished(root / str(i)) for i in range(8)])
    assert [row.label for row in comparison.rows] == [f"WAE-GAN ({i})" for i in range(8)]
    assert comparison.varied().keys() == {*("reg_weight", "lr", "discriminator_lr", "cost")}
    assert [row.label for row in comparison.best(2)] == ["WAE-GAN (7)", "WAE-GAN (6)"]
    for row in comparison.rows:
        row.runs[0].cfg.objective = "test/mse"
    assert comparison.objective.key == "test/mse"
    done = run_script(
        "compare.py", f"multirun={root}", "folder=compared", "points=30", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "compared/search.png").stat().st_size > 10_000


def test_of_a_multirun_on_several_data_sets_one_is_compared(multirun, tmp_path):
    for i, name in enumerate(("digits", "mnist", "mnist")):
        shutil.copytree(multirun / "0", tmp_path / str(i))
        hydra = OmegaConf.load(tmp_path / f"{i}/.hydra/hydra.yaml")
        hydra.hydra.runtime.choices.dataset = name
        OmegaConf.save(hydra, tmp_path / f"{i}/.hydra/hydra.yaml")
    cfg = OmegaConf.create({"runs": [], "multirun": str(tmp_path)})
    assert [run.folder.name for run in read_runs(cfg, "mnist")] == ["1", "2"]
    with pytest.raises(InputError, match="holds runs on digits, mnist; choose one with dataset="):
        read_runs(cfg, "fmnist")
