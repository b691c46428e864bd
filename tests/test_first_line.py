"""A command says what it begins, or what is wrong, before it imports torch, which takes seconds."""

import json
import shutil

import pytest
from conftest import ROOT, run_afresh


@pytest.fixture
def without_torch(tmp_path):
    """A folder to run commands in, whose processes cannot import torch; returns what they print."""
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "torch.py").write_text("raise ImportError('torch was imported')")
    path = {"PYTHONPATH": f"{stub}:{ROOT / 'src'}", "PYTHONUNBUFFERED": ""}

    def command(line):
        done = run_afresh(*line.split(), cwd=tmp_path, **path)
        return done.stdout, done.stderr

    return command


def test_a_run_says_where_it_begins(without_torch):
    out, err = without_torch("train.py model=ae hydra.run.dir=new")
    assert out == "training ae on digits in new\n"
    assert "torch was imported" in err  # only then
    out, _ = without_torch("train.py -m model=ae,vae")
    assert out == "checking the jobs of a multirun\n"


def test_a_run_that_goes_on_an_evaluation_and_a_comparison_say_so(without_torch, run):
    assert without_torch("evaluate.py run=run")[0] == "evaluating last of run\n"
    assert without_torch("compare.py runs=[run]")[0] == "comparing 1 run\n"
    (run / "run.json").write_text(json.dumps({"finished": False}))
    assert without_torch("train.py resume=run")[0] == "going on in run\n"


def test_what_is_wrong_is_said_as_early(without_torch, run):
    """A run that has not been evaluated, say, also beside one that has."""
    shutil.copytree(run, run.parent / "other")
    (run.parent / "other/evaluation.json").unlink()
    for command, line in (
        ("train.py seed=abc", "seed=abc: must be a valid integer"),
        ("train.py +lr=1", "lr: no such key"),
        ("evaluate.py run=nowhere", "run=nowhere: "),
        ("compare.py runs=[run,other]", "other: not evaluated; run python evaluate.py run=other"),
        ("compare.py runs=[run,nowhere]", "nowhere: not a run's folder"),
        ("compare.py multirun=nowhere", "multirun=nowhere: no finished run"),
        ("compare.py dataset=mnist", "dataset=mnist: no finished run"),
    ):
        out, err = without_torch(command)
        assert out == ""
        assert err.startswith(f"error: {line}")
