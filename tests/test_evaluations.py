"""An evaluation on disk: published at once, found by what it is of, and kept or refused with it."""

import json
import shutil
import subprocess
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file

from autoencoders.errors import InputError
from autoencoders.files import is_finished
from autoencoders.runs import evaluations, load_run, load_sampler
from autoencoders.runs.evaluations import Record, current, made_with, move, publish
from autoencoders.runs.state import begin, mark, versions
from autoencoders.samplers import Mixture
from autoencoders.training.digest import weights_digest

OLD, NEW = "a" * 64, "b" * 64


def record(weights=OLD, **changes):
    conditions = {"dataset": "digits", "split": "val", "images": 5, "images_asked": 50}
    samplers = {"mixture": {"_target_": "autoencoders.samplers.Mixture"}}
    known = {"checkpoint": "last", "epochs": 2, "latent_dim": 2, "samplers": samplers}
    return Record(weights=weights, **{**known, **conditions, **changes})


def mixture(place):
    codes = place + torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    return {"mixture": Mixture(1).fit(codes)}


def place_of(folder):
    return load_file(folder / "mixture.safetensors")["means"].mean().round().item()


def test_numbers_and_samplers_take_effect_together(tmp_path, monkeypatch):
    """However early the second publication is cut off, either evaluation is read in full."""
    seen = set()
    for steps in range(12):
        home = tmp_path / str(steps)
        publish(home, record(), {"prior/precision": 3.0}, mixture(3))
        write, left = evaluations.write_whole, [steps]

        def fail(path, content, write=write, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            write(path, content)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(evaluations, "write_whole", fail)
            publish(home, record(split="test"), {"prior/precision": 7.0}, mixture(7))
        stored = current(home, "last", OLD)
        values = (stored.metrics["prior/precision"], place_of(stored.samplers))
        assert values in ((3.0, 3.0), (7.0, 7.0))
        assert stored.record.split == {3.0: "val", 7.0: "test"}[values[0]]
        # What people look at is the current one's, or missing.
        if (home / "metrics.json").exists():
            assert json.loads((home / "metrics.json").read_text())["prior/precision"] == values[0]
        if (home / "samplers/mixture.safetensors").exists():
            assert place_of(home / "samplers") == values[1]
        seen.add(values)
    assert len(seen) == 2


def test_of_other_weights_is_refused(tmp_path):
    publish(tmp_path, record(), {"prior/precision": 3.0}, {})
    assert current(tmp_path, "last", OLD).metrics == {"prior/precision": 3.0}
    with pytest.raises(InputError, match=r"of other weights .* python evaluate\.py run="):
        current(tmp_path, "last", NEW)
    assert current(tmp_path, "best", NEW) is None


def test_earlier_evaluations_of_the_same_weights_stay(tmp_path):
    for split, value in (("val", 1.0), ("test", 2.0), ("test", 3.0)):
        publish(tmp_path, record(split=split), {"x/y": value}, {})
    found = {
        split: made_with(tmp_path, record(split=split).settings, OLD) for split in ("val", "test")
    }
    assert {split: stored.metrics["x/y"] for split, stored in found.items()} == {
        "val": 1.0,
        "test": 3.0,
    }
    assert len(list((tmp_path / "evaluations").iterdir())) == 2  # the repeated one is replaced
    assert made_with(tmp_path, record(images_asked=60).settings, OLD) is None
    # A job that asked for a test alone is judged by what an evaluation of the split measures too.
    assert made_with(tmp_path, {"split": "val"}, OLD).metrics == {"x/y": 1.0}
    assert made_with(tmp_path, record().settings, NEW) is None
    publish(tmp_path, record(NEW), {"x/y": 4.0}, {})
    assert len(list((tmp_path / "evaluations").iterdir())) == 1


def test_what_an_earlier_evaluation_left_for_people_goes(tmp_path):
    publish(tmp_path, record(), {"x/y": 1.0}, mixture(3))
    of_tensorboard = "events.out.tfevents.1-hparams"
    for name in ("figures/samples_mixture.png", "figures/class_shares.png", of_tensorboard):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "figures/notes.txt").touch()  # not the project's
    publish(tmp_path, record(samplers=None), {"x/z": 1.0}, {})
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["notes.txt"]
    assert not (tmp_path / of_tensorboard).exists()
    assert list((tmp_path / "samplers").iterdir()) == []
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"x/z": 1.0}


def test_an_extension_takes_evaluations_with_it(tmp_path):
    publish(tmp_path, record(), {"x/y": 1.0}, mixture(3))
    (tmp_path / "events.out.tfevents.1-hparams").touch()
    move(tmp_path, "last", "last-2")
    assert current(tmp_path, "last", OLD) is None
    stored = current(tmp_path, "last-2", OLD)
    assert (stored.record.checkpoint, stored.metrics) == ("last-2", {"x/y": 1.0})
    assert place_of(stored.samplers) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last-2"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "damaged"),
        ("[]", "expected a JSON object"),
        ('{"dataset": "digits"}', "does not say which weights it is of"),
        ('{"weights": "a"}', "damaged: checkpoint: is missing"),
        ({"files": "evaluations/../../elsewhere"}, r"files=.*: .*pattern"),
        ({"epochs": -1}, "epochs=-1"),
        ({"split": "train"}, "split=train"),
        ({"added": 1}, "added"),
    ],
)
def test_damaged_records_are_refused(content, line, tmp_path):
    publish(tmp_path, record(), {"x/y": 1.0}, {})
    file = tmp_path / "evaluation.json"
    if isinstance(content, dict):
        content = json.dumps({**json.loads(file.read_text()), **content})
    file.write_text(content)
    with pytest.raises(InputError, match=line):
        current(tmp_path, "last", OLD)


def test_digests_by_hand():
    """Equal wherever the tensors lie, and for nothing else."""
    torch.manual_seed(0)
    state = {"a": torch.randn(2, 3, 4, 4), "n": torch.tensor(3)}
    same = weights_digest(state)
    laid_out = {"n": state["n"], "a": state["a"].to(memory_format=torch.channels_last)}
    assert weights_digest(laid_out) == same
    others = [
        {**state, "a": state["a"].double()},
        {**state, "a": state["a"].reshape(3, 2, 4, 4)},
        {**state, "a": state["a"].nextafter(torch.tensor(torch.inf))},
        {**state, "n": torch.tensor(4)},
        {"b": state["a"], "n": state["n"]},
        {"a": state["a"]},
    ]
    assert len({same, *map(weights_digest, others)}) == 7


def test_a_checkpoint_put_in_anothers_place_is_noticed(run):
    assert load_run(run).metrics["epochs"] == 2
    assert load_run(run, "best").metrics == {}  # which nobody has measured
    file = run / "checkpoints/last.ckpt"
    content = torch.load(file, weights_only=True)
    content["state_dict"]["encoder.head.bias"] += 1e-6
    torch.save(content, file)
    with pytest.raises(InputError, match=r"of other weights than checkpoints/last\.ckpt"):
        load_run(run)
    with pytest.raises(InputError, match=r"of other weights than checkpoints/last\.ckpt"):
        load_sampler(run, "mixture")


def test_a_run_is_finished_if_it_says_so(run):
    assert is_finished(run)
    (run / "metrics.json").unlink()
    assert is_finished(run)
    mark(run, finished=False)
    assert not is_finished(run)
    (run / "run.json").unlink()  # as before there was one
    assert not is_finished(run)
    shutil.copy(run / "evaluation.json", run / "metrics.json")
    assert is_finished(run)
    (run / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json: damaged: .*; remove it, then"):
        is_finished(run)


def test_versions_are_those_that_trained(run, monkeypatch):
    monkeypatch.setattr("autoencoders.runs.state.versions", lambda: {"torch": "of another day"})
    before = json.loads((run / "run.json").read_text())
    mark(run, finished=True)  # as an evaluation does
    assert json.loads((run / "run.json").read_text()) == before
    begin(run)
    content = json.loads((run / "run.json").read_text())
    assert content["versions"] == {"torch": "of another day"}
    assert content["finished"] is False


def test_a_run_says_from_which_commit_it_is_and_whether_files_differed(tmp_path, monkeypatch):
    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def recorded():
        begin(run)
        return json.loads((run / "run.json").read_text())

    assert versions()["torch"] == torch.__version__.partition("+")[0]
    run = tmp_path.parent / f"{tmp_path.name}-run"
    monkeypatch.setattr("autoencoders.runs.state.FOLDER", tmp_path)
    assert recorded().keys() == {"finished", "versions"}  # no checkout
    git("init")
    (tmp_path / "train.py").touch()
    git("add", ".")
    git("commit", "-m", "one")
    assert recorded()["commit"] == git("rev-parse", "HEAD")
    assert recorded()["clean"] is True
    (tmp_path / "model.py").touch()
    assert recorded()["clean"] is False  # a new file is a change
    git("add", ".")
    git("commit", "-m", "two")
    (tmp_path / "train.py").write_text("changed")
    assert recorded()["clean"] is False
    monkeypatch.setattr(
        "autoencoders.runs.state._git", lambda verb, *_: {"rev-parse": "a"}.get(verb)
    )
    assert recorded()["clean"] is False  # where git has not answered
