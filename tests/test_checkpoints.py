"""Checkpoints are written whole and read without running what they carry."""

import os
import pickle

import pytest
import torch
from small import small

from autoencoders.errors import InputError
from autoencoders.models import AE, VAE
from autoencoders.networks import Tutorial
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.starting_points import load_weights


def test_weights_start_a_model(tmp_path):
    trained, fresh = small(AE), small(AE)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "a.ckpt")
    load_weights(fresh, tmp_path / "a.ckpt")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(fresh.reconstruct(x), trained.reconstruct(x))


@pytest.mark.parametrize(
    "other", [small(VAE), small(AE, latent_dim=4), small(AE, network=Tutorial(hidden_dim=3))]
)
def test_another_model_or_shape_is_refused(other, tmp_path):
    torch.save({"state_dict": other.state_dict()}, tmp_path / "a.ckpt")
    hint = "choose model=, network=, their sizes and dataset= as there"
    with pytest.raises(InputError, match=rf"a\.ckpt: is of another .* than this AE: .*{hint}"):
        load_weights(small(AE), tmp_path / "a.ckpt")


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
