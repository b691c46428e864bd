"""bfloat16 only where the processor computes it natively."""

import pytest
import torch
from conftest import exported
from small import SHAPE, batch_of, small

from autoencoders import models
from autoencoders.errors import InputError
from autoencoders.training import precision


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_asks_the_cpu(native, chosen, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert precision.choose_precision("auto", "auto") == chosen
    (line,) = capsys.readouterr().out.splitlines()
    assert chosen in line


def test_auto_does_without_torchs_private_checks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert precision.choose_precision("auto", "cpu") == "32-true"


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_asks_the_gpu_where_one_is_used(native, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    assert precision.choose_precision("auto", "gpu") == chosen


@pytest.mark.parametrize("choice", ["32-true", "bf16-mixed"])
def test_a_choice_is_left_as_it_is(choice):
    assert precision.choose_precision(choice, "cpu") == choice


def test_16_bits_are_a_gpus(monkeypatch):
    """Lightning would compute in bfloat16 on a CPU, and the run be recorded as one of 16 bits."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert precision.choose_precision("16-mixed", "auto") == "16-mixed"
    with pytest.raises(
        InputError, match=r"trainer\.precision=16-mixed: needs .* allowed: auto, 32"
    ):
        precision.choose_precision("16-mixed", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs an NVIDIA or ROCm GPU"):
        precision.choose_precision("16-mixed", "auto")


def test_weights_stay_in_single_precision():
    with pytest.raises(InputError, match=r"trainer\.precision=64-true: .*allowed: auto, 32-true"):
        precision.choose_precision("64-true", "auto")


@pytest.mark.parametrize("model_class", exported(models, models.AutoEncoder))
def test_losses_are_computed_in_full_precision(model_class):
    torch.manual_seed(0)
    model, x = small(model_class), torch.rand(8, *SHAPE)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(batch_of(model, x))
        losses = model.losses(batch_of(model, x), out)
    assert out.logits.dtype == out.z.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in losses.values())
    p = out.logits.double().sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1).mean()
    torch.testing.assert_close(losses["reconstruction"].double(), expected, rtol=1e-5, atol=0)
