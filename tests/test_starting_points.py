"""Checkpoints are taken only for what they are of, whatever shape they have."""

import re
import shutil

import pytest
import torch
from small import adam, make_trainer
from test_train import short_run

from autoencoders.data import Digits
from autoencoders.errors import InputError
from autoencoders.models import AE, RAE
from autoencoders.networks import MLP
from autoencoders.runs import load_run
from autoencoders.training import (
    AtomicCheckpointIO,
    RunRecord,
    check_resumable,
    start_from,
)
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.starting_points import load_weights

NETWORK = MLP(hidden_dim=4, layers=1)


def tiny(kind, **arguments):
    return kind(**{"network": NETWORK, "latent_dim": 3, **arguments})


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory):
    """A checkpoint of an AE on the digits."""
    path = tmp_path_factory.mktemp("of") / "a.ckpt"
    parts = {"plugins": [AtomicCheckpointIO()], "callbacks": [RunRecord()]}
    trainer = make_trainer(1, limit_train_batches=2, **parts)
    trainer.fit(tiny(AE), Digits(val_size=10, batch_size=16))
    trainer.save_checkpoint(path)
    return path


BETAS = adam(1e-3, betas=(0.5, 0.9))
OTHERS = [
    (RAE, {}, "digits", "model=AE, here RAE"),
    (AE, {"cost": "mse"}, "digits", "model.cost=bce, here mse"),
    (AE, {"optimizer": BETAS}, "digits", r"optimizer.betas=\[0.9, 0.999\], here \[0.5, 0.9\]"),
    (AE, {"network": MLP(hidden_dim=4, layers=1, dropout=0.5)}, "digits", "network.dropout=0.0"),
    (AE, {}, "MNIST", "dataset=digits, here MNIST"),
    (
        AE,
        {"optimizer": adam(2e-3), "prior_std": 2.0},
        "digits",
        "prior_std=1.0, here 2.0, optimizer.lr=",
    ),
]

NAMES = ["class", "cost", "betas", "network", "data", "two"]


class Labelled:
    def __init__(self, label):
        self.label = label


@pytest.mark.parametrize(("kind", "arguments", "label", "difference"), OTHERS, ids=NAMES)
def test_a_checkpoint_of_equal_shape_is_not_anothers(kind, arguments, label, difference, of_digits):
    other, data = tiny(kind, **arguments), Labelled(label)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    for use in (
        lambda: load_weights(other, read_checkpoint(of_digits), data),
        lambda: check_resumable(read_checkpoint(of_digits), other, 9, data),
    ):
        with pytest.raises(InputError, match=rf"a\.ckpt: is of another .*{difference}") as error:
            use()
        assert "\n" not in str(error.value)
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())


def test_its_own_is_taken(of_digits):
    model = tiny(AE, optimizer=adam(1e-3, betas=[0.9, 0.999]))  # YAML knows no tuples
    assert check_resumable(read_checkpoint(of_digits), model, 1, Digits()) == 1
    load_weights(model, read_checkpoint(of_digits), Digits())
    saved = torch.load(of_digits, weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("kind", "arguments", "label", "difference"), OTHERS[1:], ids=NAMES[1:])
def test_a_new_run_takes_weights_of_other_settings_and_says_so(
    kind, arguments, label, difference, of_digits, capsys
):
    model = tiny(kind, **arguments)
    start_from(model, read_checkpoint(of_digits), Labelled(label))
    saved = torch.load(of_digits, weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"ckpt_path={of_digits}: ")
    assert re.search(difference, line)


def test_a_new_run_takes_no_other_models(of_digits, capsys):
    with pytest.raises(InputError, match=r"than this RAE: model is AE there, RAE here"):
        start_from(tiny(RAE), read_checkpoint(of_digits), Digits())
    start_from(tiny(AE), read_checkpoint(of_digits), Digits())
    assert capsys.readouterr().out == ""  # nothing differs


def test_a_checkpoint_from_before_descriptions_is_taken(of_digits, tmp_path):
    content = torch.load(of_digits, weights_only=True)
    del content["description"]
    torch.save(content, tmp_path / "old.ckpt")
    assert check_resumable(read_checkpoint(tmp_path / "old.ckpt"), tiny(RAE), 9, Digits()) == 1


@pytest.mark.parametrize("description", [3, {}, {"of": [1], "parts": "x"}])
def test_a_description_that_is_none_is_no_stack_trace(description, of_digits, tmp_path):
    content = torch.load(of_digits, weights_only=True)
    torch.save({**content, "description": description}, tmp_path / "odd.ckpt")
    assert check_resumable(read_checkpoint(tmp_path / "odd.ckpt"), tiny(AE), 9, Digits()) == 1


AVERAGED = ("model=ae", "network=mlp", "network.hidden_dim=4", "callbacks=ema")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A run with averaged weights, cut off after its first epoch."""
    folder = tmp_path_factory.mktemp("averaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AE, "training_step", fail_in_epoch(1))
        with pytest.raises(ZeroDivisionError):
            short_run(folder, *AVERAGED)
    return folder


def fail_in_epoch(n):
    step = AE.training_step

    def failing(self, batch, batch_idx=0):
        return step(self, batch, batch_idx) if self.current_epoch < n else 1 / 0

    return failing


def first_moment(states):
    return next(iter(states[0]["state"].values()))


def widen(weights, name):
    weights[name] = torch.zeros(7, *weights[name].shape[1:])


HEAD = "decoder.layers.0.weight"
DAMAGES = {
    "optimizer_states": (lambda c: c["optimizer_states"].clear(), "it has no optimizer_states"),
    "callbacks": (lambda c: c["callbacks"].clear(), "it has no callbacks"),
    "one callback": (lambda c: c["callbacks"].pop("RunRecord"), "callbacks.RunRecord is absent"),
    "lr_schedulers": (lambda c: c["lr_schedulers"].clear(), r"lr_schedulers\.\S+ is absent, was"),
    "moments": (lambda c: c["optimizer_states"][0]["state"].clear(), r"exp_avg\S* is absent, was"),
    "a moment": (
        lambda c: widen(first_moment(c["optimizer_states"]), "exp_avg"),
        r"optimizer_states\.0\.state\.0\.exp_avg is \[7, 784\], was \[4, 784\]",
    ),
    "trained weights": (
        lambda c: widen(c["current_model_state"], HEAD),
        rf"current_model_state\.{HEAD} is \[7, 3\], was \[4, 3\]",
    ),
    "moves": (lambda c: c.pop("averaging_state"), "averaging_state.n_averaged is absent"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_part_that_is_lost_or_of_another_width_is_named(damage, averaged, tmp_path):
    run = shutil.copytree(averaged, tmp_path / "run")
    spoil, line = DAMAGES[damage]
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    spoil(content)
    torch.save(content, run / "checkpoints/last.ckpt")
    before = (run / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(InputError, match=line) as error:
        short_run(run, *AVERAGED, resume=True)
    assert "\n" not in str(error.value)
    assert (run / "checkpoints/last.ckpt").read_bytes() == before


def test_averaged_weights_of_another_width_without_a_description(averaged, tmp_path):
    run = shutil.copytree(averaged, tmp_path / "run")
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    del content["description"]
    widen(content["current_model_state"], HEAD)
    torch.save(content, run / "checkpoints/last.ckpt")
    with pytest.raises(InputError, match=rf"{HEAD} is \(7, 3\) there, \(4, 3\) here"):
        short_run(run, *AVERAGED, resume=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_run_with_averaged_weights_and_one_without(there, averaged, tmp_path):
    """Each other's checkpoints have all shapes in common."""
    run = tmp_path / "run"
    if there:
        shutil.copytree(averaged, run)
        with pytest.raises(InputError, match="other callbacks: it has EMA in place of none"):
            short_run(run, *AVERAGED, "callbacks=none", resume=True)
    else:
        short_run(run, *AVERAGED, "callbacks=none", "trainer.max_epochs=1")
        with pytest.raises(InputError, match="other callbacks: it has none in place of EMA"):
            short_run(run, *AVERAGED, resume=True)


def test_a_new_run_from_averaged_weights_says_that_they_are(averaged, tmp_path, capsys):
    start = f"ckpt_path={averaged / 'checkpoints/last.ckpt'}"
    capsys.readouterr()
    short_run(
        tmp_path, *AVERAGED, start, "optimizer.lr=1e-12", "callbacks=none", "trainer.max_epochs=1"
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(start)]
    assert len(lines) == 2
    assert "optimizer.lr=0.001, here 1e-12" in lines[0]
    assert "starts from the average" in lines[1]


def test_a_runs_own_folder_holds_anothers_checkpoint(averaged, tmp_path):
    """evaluate.py reads a run as `load_run` does."""
    run = tmp_path / "run"
    short_run(run, *AVERAGED, "model.warmup_epochs=3", "callbacks=none", "trainer.max_epochs=1")
    load_run(run)
    shutil.copy(averaged / "checkpoints/last.ckpt", run / "checkpoints/last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt: .*model.warmup_epochs=0, here 3"):
        load_run(run)
