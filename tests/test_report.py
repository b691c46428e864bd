"""What is printed and written down is what it is called, whatever characters it is made of."""

import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from conftest import SHORT, run_afresh
from omegaconf import OmegaConf

from autoencoders.comparison import Comparison, FinishedRun
from autoencoders.comparison import printed as comparison_printed
from autoencoders.evaluation import printed as evaluation_printed
from autoencoders.figures import charts, images, style
from autoencoders.launch.job import Job
from autoencoders.launch.jobs import print_jobs
from autoencoders.runs import finish

NAME = r"a|b [/red] $\frac$ *x* `y` _z_ <b> :smile:"


def finished_run(cost, **metrics):
    """A run whose cost has that name, and those metrics."""
    config = {"model": {"cost": cost}, "dataset": {}, "objective": "test/mse"}
    conditions = {"dataset": NAME, "split": "test", "samplers": {}, "images": 40}
    values = {"test/mse": 0.5, "epochs": 2, **metrics}
    return FinishedRun(Path(NAME.replace("/", "")), "digits", "AE", config, values, conditions)


@pytest.fixture
def comparison():
    return Comparison([finished_run(NAME), finished_run("bce")])


def test_names_in_a_comparisons_markdown(comparison):
    lines = comparison.to_markdown().splitlines()
    escaped = r"a\|b \[/red\] $\\frac$ \*x\* \`y\` \_z\_ \<b\> :smile:"
    assert lines[0] == f"# {escaped}"
    rows = [line for line in lines if line.startswith("| AE")]
    assert escaped in rows[0]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[lines.index(rows[0]) - 2 :][:4]}
    assert len(cells) == 1  # as many in each line of the table
    assert any(line.startswith("- AE") and escaped.replace("/", "") in line for line in lines)


def test_names_on_the_terminal(comparison, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / NAME
    (folder / "figures").mkdir(parents=True)
    (folder / "metrics.json").touch()
    evaluation_printed.print_run({"test/mse": 0.5}, [], folder, verbose=True)
    comparison_printed.print_comparison(comparison, folder)
    comparison_printed.print_comparison(comparison, folder, verbose=True)
    (folder / "error.txt").write_text(f"{NAME}\ntraceback")
    job = Job(0, folder, [NAME], OmegaConf.create({"objective": NAME}))
    (folder / "metrics.json").unlink()
    print_jobs([job], NAME)
    printed = capsys.readouterr().out
    assert printed.count(f"metrics  {NAME}/metrics.json") == 3
    assert printed.count(NAME) >= 8


def compared(n, seeds=1):
    """A comparison of n models, of each as many seeds."""
    of_all = {"floor/fd_cnn": 0.0131, "train_seconds": 61.0, "prior/precision": 0.8402}
    runs = []
    for i, seed in itertools.product(range(n), range(seeds)):
        own = {
            "test/mse": 0.0049 + 1e-3 * i + 1e-4 * seed,
            "prior/fd_cnn": 12.02 - i,
            "prior/density": 0.5,
        }
        run = finished_run(f"cost{i}", **of_all, **own)
        run.config["seed"] = seed
        run.conditions.update(samplers={"prior": {}}, images=10_000)
        runs.append(run)
    return Comparison(runs)


def test_a_comparison_ends_with_one_table_of_headlines(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    comparison_printed.print_comparison(compared(2), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:20].strip(): line for line in lines if re.search(r"\d", line[20:])}
    assert re.split(r"  +", rows["prior: FD-CNN"].strip())[1:] == ["0.0131", "12.0", "11.0"]
    assert re.split(r"  +", rows["MSE"].strip())[1:] == ["0.00490", "0.00590"]
    points = {rows[name].rindex(".") for name in ("prior: FD-CNN", "MSE", "prior: precision")}
    assert len(points) == 1  # below each other
    assert "prior: density" not in rows
    comparison_printed.print_comparison(compared(2), tmp_path, verbose=True)
    assert "prior: density" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_many_models_are_printed_beside_each_other_as_far_as_there_is_room(
    width, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("COLUMNS", str(width))
    comparison = compared(12, seeds=2)
    comparison_printed.print_comparison(comparison, tmp_path)
    table, _, after = capsys.readouterr().out.partition("the best 10 of 12 by test/mse;")
    assert max(map(len, table.splitlines())) <= width
    assert "…" not in table
    shown = [row.label for row in comparison.rows if row.label in table]
    assert shown == [row.label for row in comparison.best(10)]
    assert table.count("real examples") == (5 if width == 80 else 4)
    assert "verbose=true prints all" in after
    comparison_printed.print_comparison(comparison, tmp_path, verbose=True)
    assert all(row.label in capsys.readouterr().out for row in comparison.rows[:1])


@pytest.mark.parametrize(
    ("mean", "std", "examples", "text"),
    [
        (0.00492, 9e-05, 10_000, "0.00492 ± 0.00009"),
        (12.0, 0.58, 10_000, "12.0 ± 0.6"),
        (4.894, 0.138, 10_000, "4.89 ± 0.14"),
        (1234.5, 120.0, 10_000, "1,234 ± 120"),
        (0.97882, None, 10_000, "0.979"),
        (0.97882, None, 100, "0.98"),
        (30.0, None, 10_000, "30"),
        (0.5, 0.0, 100, "0.50"),
        (0.0, None, 100, "0"),
        (-3.14159, None, 10_000, "-3.14"),
        (2_519_462.0, None, 40, "2,519,462"),
    ],
)
def test_a_number_has_the_digits_that_its_sample_warrants(mean, std, examples, text):
    assert comparison_printed.warranted(mean, std, examples) == text


def test_names_in_figures(tmp_path):
    note = r"cost = $\frac$"
    figure = images.image_rows([(NAME, torch.rand(2, 1, 8, 8))], NAME, note)
    with (tmp_path / "figure.png").open("wb") as file:
        style.save(figure, file, dpi=50)
    bars = charts.bars([(NAME, {NAME: 1.0})], NAME, NAME, note, floor=(NAME, 0.5))
    with (tmp_path / "bars.png").open("wb") as file:
        style.save(bars, file, dpi=50)


def test_a_run_ends_with_what_tells_most(capsys):
    of_samples = ("fd_cnn", "kernel_distance", "precision", "recall", "density", "nearest_train")
    sets = ("reconstruction", "prior", "mixture")
    metrics = {f"{of}/{measure}": 0.25 for of in sets for measure in of_samples}
    metrics |= {"test/mse": 0.0185, "test/kl": 3.0, "latent/knn_accuracy": 0.9, "latent/mmd": 0.1}
    metrics |= {"floor/fd_cnn": 0.0118, "train_seconds": 61.0, "epochs": 3}
    printed = {}
    for verbose in (False, True):
        evaluation_printed.print_run(metrics, ["prior", "mixture"], Path("run"), verbose=verbose)
        printed[verbose] = capsys.readouterr().out
    rows = [re.sub("[^\\w.:-]+", " ", line).strip() for line in printed[False].splitlines()]
    assert [row for row in rows if re.search(r" \d", row)] == [
        *("Reconstruction MSE 0.0185", "FD-CNN 0.25 0.0118"),
        *("Samples: prior FD-CNN 0.25 0.0118", "precision 0.25", "recall 0.25"),
        *("Samples: mixture FD-CNN 0.25 0.0118", "Latent space MMD 0.1", "kNN accuracy 0.9"),
        "Training seconds 61",
    ]
    numbers = [line for line in printed[True].splitlines() if re.search(r"│ +\d", line)]
    assert len(numbers) == len(metrics) - 1  # the floor stands beside


def test_a_models_parameters_are_counted_once(capsys):
    model = torch.nn.Module()
    model.encoder = model.again = torch.nn.Linear(4, 2)
    model.decoder = torch.nn.Linear(2, 4)
    model.points = torch.nn.Parameter(torch.zeros(1000))
    evaluation_printed.print_model(model)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(name, count) for name, count, _ in lines] == [
        *(("encoder", "10"), ("decoder", "12"), ("others", "1,000")),
    ]


def test_numbers_that_json_cannot_hold_are_named(capsys):
    metrics = {"test/mse": 0.5, "test/kl": math.inf, "latent/mmd": math.nan, "epochs": 3}
    assert finish.finite(metrics) == {"test/mse": 0.5, "epochs": 3}
    assert capsys.readouterr().out.split(": ")[1] == "test/kl, latent/mmd\n"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_bullets(encoding, tmp_path):
    folder = "hydra.run.dir='x [/red] y'"
    done = run_afresh("train.py", *SHORT, folder, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "metrics  x [/red] y/metrics.json" in done.stdout
