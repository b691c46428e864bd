"""Whatever was done to a run, and in whatever order: every number, sampler and figure that a reader
can reach is of the weights that it claims to be of, or is refused.

A state of a run, then an evaluation, then all readers: every pair. `AUTOENCODERS_TRIPLES=1 pytest
-m slow -n 2 tests/test_matrix.py` puts a second command between the evaluation and the readers.
"""

import hashlib
import io
import itertools
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import run_here
from independent import decoder, encoder, knn_accuracy, log_densities
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from autoencoders.comparison import Comparison
from autoencoders.data import Digits
from autoencoders.errors import InputError
from autoencoders.evaluation.choosing import choose, stream
from autoencoders.evaluation.evaluate import TRAIN_PER_TEST
from autoencoders.launch.job import Job
from autoencoders.models import AE
from autoencoders.runs import finish, load_run, load_sampler
from autoencoders.runs.finished import read_finished
from autoencoders.runs.folder import load_config

IMAGES = 40
TINY = (
    *("model=ae", "network.hidden_dim=2", "model.latent_dim=3", "optimizer.lr=0.01"),
    *("dataset.batch_size=16", "+trainer.limit_train_batches=4", "trainer.precision=32-true"),
    *(
        "trainer.max_epochs=2",
        "scheduler=constant",
        "logger=none",
        f"evaluation.images={IMAGES}",
    ),
    *("evaluation.split=val", "objective=latent/knn_accuracy", "hydra.run.dir=run"),
)
LONGER = ("resume=run", "trainer.max_epochs=4")
EVALUATIONS = {
    "none": None,
    "last": ("run=run",),
    "best": ("ckpt_path=run/checkpoints/best.ckpt",),
    "other split": ("run=run", "evaluation.split=test"),
    "other samplers": ("run=run", "sampler=[mixture,class_mixture]"),
    "other features": ("run=run", "evaluation.features=pca"),
}
AFTERWARDS = {
    "evaluated again": lambda: command("evaluate.py", "run=run"),
    "evaluated on the test set": lambda: command("evaluate.py", "run=run", "evaluation.split=test"),
    "best evaluated": lambda: command("evaluate.py", *EVALUATIONS["best"]),
    "extended": lambda: command("train.py", "resume=run", "trainer.max_epochs=6"),
    "extension cut off": lambda: cut_off(5, "resume=run", "trainer.max_epochs=7"),
    "other weights put there": lambda: shutil.copy(
        "run/checkpoints/best.ckpt", "run/checkpoints/last.ckpt"
    ),
}


class Killed(BaseException):
    """What nothing catches."""


def command(script, *arguments):
    """Run a command; one that refuses its input changes nothing."""
    with suppress(SystemExit):
        run_here(script, *arguments, cwd=Path.cwd())


def cut_off(epoch, *arguments):
    """Have the power fail in the second batch of an epoch."""
    step = AE.training_step

    def fail(self, batch, batch_idx=0):
        if self.current_epoch == epoch and batch_idx == 1:
            raise Killed
        return step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(AE, "training_step", fail)
        command("train.py", *arguments)


def cut_off_while_drawing(*arguments):
    def fail(*_):
        raise Killed

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        patch.setattr(finish, "draw", fail)
        command("train.py", *arguments)


def trained():
    command("train.py", *TINY)


def interrupted():
    cut_off(1, *TINY)


def resumed():
    interrupted()
    command("train.py", "resume=run")


def extended():
    trained()
    command("evaluate.py", *EVALUATIONS["best"])
    command("train.py", *LONGER)


def killed():
    cut_off_while_drawing(*TINY)


def extension_killed():
    trained()
    command("evaluate.py", *EVALUATIONS["best"])
    cut_off(3, *LONGER)


def not_evaluated():
    command("train.py", *TINY, "evaluate=false", "objective=val/mse")


def not_evaluated_and_extended():
    not_evaluated()
    command("evaluate.py", "run=run")
    command("train.py", *LONGER)


STATES = (
    *(trained, interrupted, killed, resumed, extended, extension_killed),
    *(not_evaluated, not_evaluated_and_extended),
)
TRIPLES = os.environ.get("AUTOENCODERS_TRIPLES") == "1"


@pytest.fixture(scope="module", autouse=True)
def signed_figures():
    """Runs draw one figure, which names the weights of the model that it was drawn of."""

    def of_model(model, data, epochs):
        return {"signature": lambda: digest(model.state_dict())}

    def rendered(signature):
        note, content = PngInfo(), io.BytesIO()
        note.add_text("weights", signature)
        Image.new("L", (1, 1)).save(content, "PNG", pnginfo=note)
        return content.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "of_training", lambda *_: {})
        patch.setattr(finish, "of_model", of_model)
        patch.setattr(finish, "of_evaluation", lambda *_: {})
        patch.setattr(finish, "rendered", rendered)
        yield


@pytest.fixture(scope="module")
def digits():
    data = Digits(val_size=200, batch_size=16)
    data.setup()
    return data


@pytest.fixture(scope="module", params=STATES, ids=lambda state: state.__name__)
def state(request, tmp_path_factory):
    """A run in that state, below the folder that it was started from."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        request.param()
    assert (folder / "run/checkpoints/last.ckpt").exists()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("afterwards", [None, *(AFTERWARDS if TRIPLES else [])])
@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_all_that_a_reader_can_reach(state, evaluation, afterwards, digits, tmp_path, monkeypatch):
    shutil.copytree(state / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    if EVALUATIONS[evaluation]:
        command("evaluate.py", *EVALUATIONS[evaluation])
    if afterwards:
        AFTERWARDS[afterwards]()
    reached = check_readers(Path("run"), digits)
    if state.name.startswith(("trained", "resumed", "extended")) and not afterwards:
        assert {
            "load_run last",
            "sampler last mixture",
            "compare",
            "search",
            "files last",
        } <= reached
        assert evaluation != "best" or {"load_run best", "sampler best mixture"} <= reached
    if state.name.startswith("extended") and not afterwards:
        assert {"load_run last-2", "load_run best-2", "sampler last-2 mixture"} <= reached


def check_readers(run, digits):
    """Assert that what each reader gives is of the weights that it claims; return the names of the
    readers that gave anything."""
    reached = set()
    for file in (run / "checkpoints").glob("*.ckpt"):
        name, content = file.stem, torch.load(file, weights_only=True)
        weights = content["state_dict"]
        home = run if name == "last" else run / name
        with suppress(InputError):
            if metrics := load_run(run, name).metrics:
                reached.add(f"load_run {name}")
                check_numbers(metrics, weights, content, digits)
        for sampler in ("prior", "mixture", "class_mixture"):
            with suppress(InputError):
                fitted = load_sampler(run, sampler, name)
                reached.add(f"sampler {name} {sampler}")
                check_sampler(fitted, weights, home, digits)
        if (home / "metrics.json").exists():
            reached.add(f"files {name}")
            check_files(home, name, content, digits)
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    with suppress(InputError):
        finished = read_finished(run)
        reached.add("compare")
        check_numbers(finished.metrics, last["state_dict"], last, digits)
        (row,) = Comparison([finished]).rows
        split = finished.conditions["split"]
        assert row.cells[f"{split}/mse"].mean == pytest.approx(
            mse(last["state_dict"], split_of(digits, split)), rel=1e-4
        )
    config = load_config(run)
    status, value = Job(0, run, [], config).outcome()
    if status == "finished":
        reached.add("search")
        of_objective = {"latent/knn_accuracy": accuracy, "val/mse": mse_of}[config.objective]
        assert value == pytest.approx(of_objective(last["state_dict"], "val", digits), rel=1e-4)
    return reached


def split_of(digits, split):
    return {"val": digits.val, "test": digits.test}[split]


def digest(weights):
    """By another way than the package's."""
    content = io.BytesIO()
    for name in sorted(weights):
        content.write(name.encode() + weights[name].cpu().contiguous().numpy().tobytes())
    return hashlib.md5(content.getvalue()).hexdigest()


def mse(weights, examples):
    x = examples.values.float() / 255
    return ((torch.sigmoid(decoder(weights, encoder(weights, x))) - x) ** 2).mean().item()


def mse_of(weights, split, digits):
    return mse(weights, split_of(digits, split))


def chosen(split, digits):
    """The examples that an evaluation judges on, and those of the training set."""
    real = choose(split_of(digits, split), IMAGES, stream(0, "real"))
    return real, choose(digits.train, TRAIN_PER_TEST * IMAGES, stream(0, "train"))


def accuracy(weights, split, digits):
    real, train = chosen(split, digits)
    codes = [encoder(weights, part.values.float() / 255).numpy() for part in (train, real)]
    return knn_accuracy(codes[0], train.labels.numpy(), codes[1], real.labels.numpy())


def check_numbers(metrics, weights, content, digits):
    """Numbers of an evaluation: computed anew from the weights."""
    split = "test" if "test/mse" in metrics else "val"
    assert metrics["epochs"] == content["epoch"] + 1 if content["global_step"] else 0
    assert metrics["val/mse"] == pytest.approx(mse(weights, digits.val), rel=1e-4)
    if split == "test":
        assert metrics["test/mse"] == pytest.approx(mse(weights, digits.test), rel=1e-4)
    assert split == "test" or not any(name.startswith("test/") for name in metrics)
    if "latent/knn_accuracy" in metrics:
        expected = accuracy(weights, split, digits)
        assert metrics["latent/knn_accuracy"] == pytest.approx(expected, abs=1e-6)
    curves = content["callbacks"]["RunRecord"]["history"]
    assert metrics["train/loss"] == pytest.approx(list(curves["train/loss"].values())[-1])


def check_sampler(sampler, weights, home, digits):
    """A mixture's mean is that of the codes that it was fitted on, whatever its components are."""
    if not hasattr(sampler, "means"):
        return
    split = json.loads((home / "evaluation.json").read_text())["split"]
    _, train = chosen(split, digits)
    codes = encoder(weights, train.values.float() / 255).double()
    mean = (sampler.weights[:, None] * sampler.means).sum(0)
    scale = codes.std(0)
    assert ((mean - codes.mean(0)) / scale).abs().max() < 0.05


def check_files(home, name, content, digits):
    """The files that people look at are those of the evaluation that evaluation.json names."""
    record = json.loads((home / "evaluation.json").read_text())
    metrics = json.loads((home / "metrics.json").read_text())
    weights = content["state_dict"]
    claimed = record["weights"]
    from autoencoders.training.digest import weights_digest

    if claimed != weights_digest(weights):
        return  # which says itself that it is of others
    assert (record["checkpoint"], record["epochs"]) == (name, metrics["epochs"])
    check_numbers(metrics, weights, content, digits)
    files = {path.stem: path for path in home.glob("samplers/*")}
    assert files.keys() == (record["samplers"] or {}).keys()
    real, _ = chosen(record["split"], digits)
    codes = encoder(weights, real.values.float() / 255).double().numpy()
    for sampler, path in files.items():
        likelihood = log_densities(path, codes).mean()
        assert metrics[f"{sampler}/log_likelihood"] == pytest.approx(likelihood, rel=1e-3)
    drawn = {path.stem for path in home.glob("figures/*.png")}
    assert drawn == {figure for figure, status in record["figures"].items() if status == "drawn"}
    for path in home.glob("figures/*.png"):
        with Image.open(path) as image:
            assert image.text["weights"] == digest(weights)


def test_the_matrix_has_every_pair():
    pairs = list(itertools.product(STATES, EVALUATIONS))
    assert len(pairs) == len(STATES) * len(EVALUATIONS) == 48
