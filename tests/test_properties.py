"""Whatever the files and keys hold, they are used or refused in one line."""

import string

import pytest
import torch
from conftest import compose_train, write_idx
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoencoders.errors import describe
from autoencoders.idx import read_idx

QUICK = settings(
    max_examples=60,
    deadline=None,  # a slow machine is no failure
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.text(string.ascii_letters + " .-", max_size=8),
    st.lists(st.floats(-1, 2), max_size=3),
)
KEYS = (
    *("latent_dim", "hidden_dim", "architecture", "cost", "prior_std", "input_noise", "lr"),
    *("betas", "schedule", "lr_steps", "reg_weight", "discriminator_lr"),
)


@QUICK
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_an_idx_file_is_read_back_as_it_was_written(shape, seed, tmp_path):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    write_idx(tmp_path / "values", values)
    assert torch.equal(read_idx(tmp_path / "values"), values)


def attempt(call, *arguments, **options):
    """What a call returns, and the line that refuses its input: one of them is None."""
    try:
        return call(*arguments, **options), None
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        return None, line


@QUICK
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(content, tmp_path):
    path = tmp_path / "anything"
    path.write_bytes(content)
    values, refusal = attempt(read_idx, path)
    if values is None:
        assert str(path) in refusal
        assert "\n" not in refusal
    else:
        assert values.dtype == torch.uint8
        assert values.numel() == len(content) - 4 - 4 * content[3]


@QUICK
@given(position=st.integers(0, 19), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_damaged_file_is_never_read_as_another_size(position, value, cut, tmp_path):
    path = tmp_path / "damaged"
    write_idx(path, torch.arange(24).reshape(2, 3, 4))
    content = bytearray(path.read_bytes())
    content[position] = value
    content = content[: len(content) - cut]
    path.write_bytes(content)
    values, refusal = attempt(read_idx, path)
    assert refusal or values.numel() == len(content) - 4 - 4 * content[3]


@pytest.fixture(scope="module")
def config():
    return compose_train("model=wae", "model.hidden_dim=2").model


@QUICK
@given(key=st.sampled_from(KEYS), value=SCALARS)
def test_a_models_key_is_taken_or_refused_in_one_line(key, value, config):
    """A constructor takes a value and keeps it, or names the key; nothing else happens."""
    changed = config.copy()
    changed[key] = value
    model, refusal = attempt(instantiate, changed, _convert_="all")
    if model is None:
        assert "\n" not in refusal
        assert key in refusal or "schedule" in refusal
    else:
        assert model(torch.rand(2, 1, 28, 28)).logits.shape == (2, 1, 28, 28)
