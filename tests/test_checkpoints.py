"""Checkpoints are written whole and read without running what they carry."""

import errno
import os
import pickle
from collections import defaultdict
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import validate_call
from pytorch_lightning.callbacks import Callback
from small import adam, batch_of, batches, make_trainer, small
from test_train import short_run
from torch import nn

import autoencoders.models
from autoencoders.data import Digits
from autoencoders.errors import InputError
from autoencoders.models import AE, CVAE, VAE, WAEGAN, VampVAE
from autoencoders.networks import MLP, Tutorial
from autoencoders.runs import load_run
from autoencoders.training import AtomicCheckpointIO
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.starting_points import load_weights


def test_weights_start_a_model(tmp_path):
    trained, fresh = small(AE), small(AE)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "a.ckpt")
    load_weights(fresh, read_checkpoint(tmp_path / "a.ckpt"))
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(fresh.reconstruct(x), trained.reconstruct(x))


@pytest.mark.parametrize(
    "other", [small(VAE), small(AE, latent_dim=4), small(AE, network=Tutorial(hidden_dim=3))]
)
def test_another_model_or_shape_is_refused(other, tmp_path):
    torch.save({"state_dict": other.state_dict()}, tmp_path / "a.ckpt")
    hint = "choose model=, network=, their sizes and dataset= as there"
    with pytest.raises(InputError, match=rf"a\.ckpt: is of another .* than this AE: .*{hint}"):
        load_weights(small(AE), read_checkpoint(tmp_path / "a.ckpt"))


class Malicious:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (self.victim,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    victim = str(tmp_path / "victim")
    torch.save({"state_dict": {}, "extra": Malicious(victim)}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="not a checkpoint that can be read safely"):
        read_checkpoint(tmp_path / "a.ckpt")
    assert not os.path.exists(victim)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checkpoint that can be read safely"),
        (b"PK\x03\x04 half a zip", "not a checkpoint that can be read safely"),
        (pickle.dumps([1, 2]), "not a checkpoint that can be read safely"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_checkpoint(tmp_path / "a.ckpt")
    assert str(tmp_path / "a.ckpt") in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files_of_torchs_are_refused(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="expected a checkpoint with a state_dict"):
        read_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "b.ckpt")


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    """root may read everything, so that the mode of a file would not show it."""
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a.ckpt"))

    monkeypatch.setattr(torch, "load", denied)
    with pytest.raises(InputError, match=r"a\.ckpt: cannot be read: Permission denied$"):
        read_checkpoint(tmp_path / "a.ckpt")


class Weather(Enum):
    RAIN = "rain"
    SUN = "sun"


class Level(IntEnum):
    HIGH = 2


class Typed(AE):
    """A model whose hyper-parameters are of types that pydantic makes."""

    @validate_call
    def __init__(
        self,
        *,
        weather: Weather = Weather.RAIN,
        level: Level = Level.HIGH,
        home: Path = Path("a/b"),
        both: tuple[Weather, Path] = (Weather.SUN, Path("c")),
        by_level: dict[Level, Weather] = {Level.HIGH: Weather.SUN},  # noqa: B006
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.save_hyperparameters("weather", "level", "home", "both", "by_level")


class Free(AE):
    """A model that takes anything."""

    def __init__(self, *, anything: Any = None, **common: Any) -> None:
        super().__init__(**common)
        self.save_hyperparameters("anything")


def save(model, path, *callbacks, data=None):
    """Train for a batch and save."""
    options = {"plugins": [AtomicCheckpointIO()], "limit_train_batches": 1}
    trainer = make_trainer(1, callbacks=list(callbacks), **options)
    trainer.fit(model, batches(1) if data is None else data)
    trainer.save_checkpoint(path)


def test_hyper_parameters_that_pydantic_makes_are_made_again(tmp_path):
    given = {
        "weather": Weather.SUN,
        "level": Level.HIGH,
        "home": Path("/home"),
        "both": (Weather.RAIN, Path("d")),
        "by_level": {Level.HIGH: Weather.RAIN},
    }
    save(small(Typed, **given), tmp_path / "a.ckpt")
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)["hyper_parameters"]
    plain = {"weather": "sun", "level": 2, "home": "/home", "both": ("rain", "d")}
    assert {name: stored[name] for name in given} == {**plain, "by_level": {2: "rain"}}
    assert stored["optimizer"]["betas"] == (0.9, 0.999)
    again = Typed(**stored)
    assert again.network == Tutorial(hidden_dim=2)
    assert again.optimizer.func is torch.optim.Adam
    assert {name: again.hparams[name] for name in given} == given


def test_a_run_of_such_a_model_is_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoders.models, "Typed", Typed, raising=False)
    target = ("model=ae", "model._target_=autoencoders.models.Typed", "+model.weather=sun")
    short_run(tmp_path, *target, "network=mlp", "trainer.max_epochs=1")
    assert load_run(tmp_path).model.hparams.weather is Weather.SUN


UNREADABLE = {
    "ndarray": np.arange(3),
    "float32": np.float32(2),
    "Linear": nn.Linear(1, 1),
    "range": range(3),
    "defaultdict": defaultdict(list, a=[{1: range(3)}]),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_hyper_parameter_that_cannot_be_read_back_is_named(kind, tmp_path):
    for value, key in ((UNREADABLE[kind], ""), ([1, {"b": UNREADABLE[kind]}], r"\.1\.b")):
        line = rf"^model\.anything{key}: a checkpoint cannot keep a \S*{kind}, .*; make it"
        with pytest.raises(InputError, match=line) as error:
            save(small(Free, anything=value), tmp_path / "a.ckpt")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "a.ckpt").exists()


class Keeps(Callback):
    """Keeps something in the checkpoint, from an epoch on."""

    def __init__(self, value, epoch=0):
        self.value, self.epoch, self.trained = value, epoch, 0

    def on_train_batch_end(self, *_):
        self.trained += 1

    def on_train_epoch_end(self, trainer, pl_module):
        self.epoch -= 1

    def state_dict(self):
        return {"best": self.value if self.epoch <= 0 else 0.0}


def test_what_a_callback_keeps_is_read_back_before_training(tmp_path):
    keeps = Keeps(np.float64(2))
    with pytest.raises(InputError, match=r"^callbacks\.Keeps\.best: .*numpy\.float64"):
        short_run(tmp_path, "model=ae", "network=mlp", extra_callbacks=[keeps])
    assert keeps.trained == 0


def test_what_a_callback_keeps_later_leaves_the_last_good_checkpoint(tmp_path):
    keeps = Keeps(np.float64(2), epoch=2)
    with pytest.raises(InputError, match=r"^callbacks\.Keeps\.best: "):
        short_run(tmp_path, "model=ae", "network=mlp", extra_callbacks=[keeps])
    assert read_checkpoint(tmp_path / "checkpoints/last.ckpt")["epoch"] == 0


def test_what_a_data_module_keeps(tmp_path):
    class Counting(Digits):
        def state_dict(self):
            return {"seen": np.int64(3)}

    with pytest.raises(InputError, match=r"^\S*Counting\.seen: .*numpy\.int64"):
        save(AE(network=MLP(hidden_dim=2)), tmp_path / "a.ckpt", data=Counting(batch_size=9))


@pytest.mark.parametrize("model_class", [AE, CVAE, VampVAE, WAEGAN])
def test_lightning_alone_loads_a_model(model_class, tmp_path):
    """Without its data, its network or its config: the checkpoint says what it is of."""
    torch.manual_seed(0)
    own = {"network": MLP(hidden_dim=4, layers=1), "shape": (5,), "kind": "vector"}
    model = small(model_class, **own, bounded=False, cost="mse", optimizer=adam(0.5))
    save(model, tmp_path / "a.ckpt", data=batches(1, shape=(5,)))
    loaded = model_class.load_from_checkpoint(tmp_path / "a.ckpt")
    assert (loaded.shape, loaded.kind, loaded.bounded) == ((5,), "vector", False)
    assert loaded.network == own["network"]
    assert loaded.optimizer.keywords == {"lr": 0.5}
    batch = batch_of(model, torch.randn(7, 5))
    assert torch.equal(
        loaded.encode(batch.x, batch.labels), model.eval().encode(batch.x, batch.labels)
    )
