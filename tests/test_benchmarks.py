"""Each of benchmarks/ on its smallest setting: a row for each thing measured, of real numbers."""

import math
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT, run_afresh

BENCHMARKS = ROOT / "benchmarks"
TINY = ("--steps", "1", "--rounds", "1", "--batch-size", "8", "--hidden-dim", "2")
needs_pythae = pytest.mark.skipif(not find_spec("pythae"), reason="needs pythae")


def table(printed):
    """The rows of the Markdown table that a benchmark prints last, each by the head's columns."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def number(cell):
    return float(re.sub(r"[,%]", "", cell))


def assert_measured(rows, *columns):
    """Finite numbers that are positive, as seconds and rates of real work are."""
    for row in rows:
        for column in columns:
            assert 0 < number(row[column]) < math.inf, (row, column)


def measured(name, *arguments, cwd):
    """The table that `python benchmarks/<name> <arguments>` prints."""
    done = run_afresh(f"benchmarks/{name}", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return table(done.stdout)


@pytest.mark.parametrize(
    "models", [["wae"], pytest.param(["ae", "vae"], marks=pytest.mark.slow)], ids="+".join
)
def test_throughput(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.setattr(sys, "argv", ["throughput.py", *TINY, "--models", *models])
    runpy.run_path(str(BENCHMARKS / "throughput.py"), run_name="__main__")
    rows = table(capsys.readouterr().out)
    rows = [row for row in rows if row["precision"] != "bf16-mixed"]  # where it is native
    ways = [(row["model"], row["precision"]) for row in rows]
    assert ways == [(model, way) for model in models for way in ("plain loop", "32-true")]
    assert_measured(rows, "images/s", "x plain")
    for plain, ours in zip(rows[::2], rows[1::2], strict=True):
        a, b = number(ours["images/s"]), number(plain["images/s"])  # rounded to whole ones
        lowest, highest = (a - 0.5) / (b + 0.5), (a + 0.5) / (b - 0.5)
        assert lowest - 0.01 < number(ours["x plain"]) < highest + 0.01
        assert -100 < number(ours["over the bare step"]) < math.inf
        assert 0 <= number(ours["share of the floor"]) < math.inf
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_scaling(tmp_path):
    rows = measured("scaling.py", "--quick", cwd=tmp_path)
    assert [row["hidden_dim"] for row in rows] == ["4", "8"]
    assert_measured(rows, "images/s", "peak memory, GiB")


@pytest.mark.slow
def test_memory(tmp_path):
    rows = measured("memory.py", "--examples", "100", "--judged", "100", cwd=tmp_path)
    assert [(row["examples"], row["to train on"]) for row in rows] == [
        ("images", "100"),
        ("vectors", "100"),
    ]
    assert_measured(rows, "GiB before")
    assert all(0 <= number(row["GiB more at the peak"]) < 8 for row in rows)


@pytest.mark.slow
def test_preparation(tmp_path):
    kinds = ["folder", "npy", "h5ad"]
    rows = measured("preparation.py", "--examples", "30", "--kinds", *kinds, cwd=tmp_path)
    assert [row["`dataset=`"] for row in rows] == kinds
    assert all(number(row[column]) >= 0 for row in rows for column in ("seconds", "again"))


@pytest.mark.slow
def test_startup(tmp_path):
    rows = measured("startup.py", "--rounds", "1", cwd=tmp_path)
    assert len(rows) == 3
    assert_measured(rows, "seconds")


@pytest.mark.slow
@needs_pythae
def test_pythae_comparison(tmp_path):
    rows = measured("pythae_comparison.py", *TINY, cwd=tmp_path)
    trainers = ("Pythae", "ours, 32-true", "ours, auto")
    expected = [(model, trainer) for model in ("vae", "wae_mmd") for trainer in trainers]
    assert [(row["model"], row["trainer"]) for row in rows] == expected
    assert_measured(rows, "images/s", "x Pythae")


@pytest.mark.slow
@needs_pythae
def test_quality(tmp_path):
    short = ("--models", "rae", "--epochs", "1", "--sampler-epochs", "1", "--figure", "curves.png")
    rows = measured("quality.py", *short, cwd=tmp_path)
    systems = {(row["package"], row["model"], row["sampler"]) for row in rows}
    assert systems == {
        (package, "rae", sampler)
        for package in ("ours", "Pythae")
        for sampler in ("flow", "mixture")
    }
    assert len(rows) == len(systems)  # after its one epoch each
    assert_measured(rows, "seconds", "FD-CNN")
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["quality.py", "pythae_comparison.py"])
def test_a_missing_package_is_one_line(name, tmp_path):
    """With the standard library alone (-S), before torch or anything else is imported."""
    command = [sys.executable, "-S", BENCHMARKS / name]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"error: .*pythae.* needed here: pip install .*pythae", line)


@pytest.mark.parametrize("argument", ["--steps", "--rounds", "--batch-size", "--hidden-dim"])
def test_counts_of_zero_are_refused(argument, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.setattr(sys, "argv", ["throughput.py", argument, "0"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(BENCHMARKS / "throughput.py"), run_name="__main__")
    assert f"argument {argument}: 0: must be at least" in capsys.readouterr().err


def test_every_benchmark_is_tested_here():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text()}
    assert {name for name in scripts if f"test_{name}" not in globals()} == set()


def test_the_docs_name_the_arguments_that_there_are():
    """Each `python benchmarks/...` of README and docs/ has a script with these arguments."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *BENCHMARKS.glob("*.py")]
    seen = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for name, arguments in re.findall(r"benchmarks/(\w+\.py)([^`\n#]*)", text):
            source = (BENCHMARKS / name).read_text(encoding="utf-8")
            for option in re.findall(r"--[\w-]+", arguments):
                seen += 1
                assert f'"{option}"' in source, (page, name, option)
    assert seen > 10
