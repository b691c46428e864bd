"""What is printed and written down is what it is called, whatever characters it is made of."""

import math
import re
from pathlib import Path

import pytest
import torch
from conftest import SHORT, run_afresh
from omegaconf import OmegaConf

from autoencoders.comparison import Comparison, FinishedRun
from autoencoders.figures import charts, images, style
from autoencoders.runs import report
from autoencoders.runs.jobs import Job

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
    report.print_run({"test/mse": 0.5}, [], folder, verbose=True)
    report.print_comparison(comparison, folder)
    (folder / "error.txt").write_text(f"{NAME}\ntraceback")
    job = Job(0, folder, [NAME], OmegaConf.create({"objective": NAME}))
    (folder / "metrics.json").unlink()
    report.print_jobs([job], NAME)
    printed = capsys.readouterr().out
    assert printed.count(f"metrics  {NAME}/metrics.json") == 2
    assert printed.count(NAME) >= 8


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
        report.print_run(metrics, ["prior", "mixture"], Path("run"), verbose=verbose)
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
    report.print_model(model)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(name, count) for name, count, _ in lines] == [
        *(("encoder", "10"), ("decoder", "12"), ("others", "1,000")),
    ]


def test_numbers_that_json_cannot_hold_are_named(capsys):
    metrics = {"test/mse": 0.5, "test/kl": math.inf, "latent/mmd": math.nan, "epochs": 3}
    assert report.finite(metrics) == {"test/mse": 0.5, "epochs": 3}
    assert capsys.readouterr().out.split(": ")[1] == "test/kl, latent/mmd\n"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_bullets(encoding, tmp_path):
    folder = "hydra.run.dir='x [/red] y'"
    done = run_afresh("train.py", *SHORT, folder, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "metrics  x [/red] y/metrics.json" in done.stdout
