"""What all families of networks share, for every family that there is."""

import inspect

import pytest
import torch
from conftest import attempt, exported
from hypothesis import given, settings
from hypothesis import strategies as st

import autoencoders.networks
from autoencoders.networks import Network

NETWORKS = exported(autoencoders.networks, Network)


@pytest.mark.parametrize("network", NETWORKS)
@settings(max_examples=40, deadline=None)
@given(channels=st.integers(1, 3), size=st.integers(1, 40), extra=st.sampled_from([0, 0, 1]))
def test_any_image_is_encoded_and_decoded_or_refused(network, channels, size, extra):
    """The encoder and the decoder take the same shapes, and their line says what they do not."""
    shape = (channels, size, size + extra)
    family = network(hidden_dim=1)
    encoder, refusal = attempt(family.encoder, shape, 2)
    decoder, same_refusal = attempt(family.decoder, 2, shape)
    assert refusal == same_refusal
    if refusal:
        assert "network=" in refusal
        assert " x ".join(map(str, shape)) in refusal
    else:
        x = torch.rand(2, *shape)
        assert decoder.eval()(encoder.eval()(x)).shape == x.shape


@pytest.mark.parametrize("network", NETWORKS)
def test_sizes_are_at_least_one(network):
    fields = inspect.signature(network).parameters
    for name in [name for name, field in fields.items() if isinstance(field.default, int)]:
        for value in (0, -1, 2.5):
            with pytest.raises(ValueError, match=name):
                network(**{name: value})
