"""What all families of networks share, for every family that there is."""

import inspect

import pytest
import torch
from conftest import attempt, exported
from hypothesis import given, settings
from hypothesis import strategies as st
from small import biases_without_effect

import autoencoders.networks
from autoencoders.networks import Network

NETWORKS = exported(autoencoders.networks, Network)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_shapes_and_gradients(network, shape):
    torch.manual_seed(0)
    family = network(hidden_dim=4)
    encoder, decoder = family.encoder(shape, 6), family.decoder(6, shape)
    codes = encoder(torch.rand(5, *shape))
    logits = decoder(codes)
    assert codes.shape == (5, 6)
    assert logits.shape == (5, *shape)
    logits.square().sum().backward()
    for part in (encoder, decoder):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            if name not in biases_without_effect(part):
                assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", NETWORKS)
def test_one_example_in_evaluation(network):
    family = network(hidden_dim=4)
    encoder, decoder = family.encoder((1, 28, 28), 6).eval(), family.decoder(6, (1, 28, 28)).eval()
    images = torch.rand(3, 1, 28, 28)
    logits = decoder(encoder(images))
    alone = decoder(encoder(images[:1]))
    assert alone.shape == (1, 1, 28, 28)
    torch.testing.assert_close(alone, logits[:1])


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
def test_what_leaves_a_network_has_the_precision_of_what_entered(network):
    family = network(hidden_dim=4)
    encoder, decoder = family.encoder((1, 28, 28), 6), family.decoder(6, (1, 28, 28))
    with torch.autocast("cpu", torch.bfloat16):
        z = encoder(torch.rand(2, 1, 28, 28))
        assert z.dtype == torch.float32
        assert decoder(z).dtype == torch.float32


@pytest.mark.parametrize("network", NETWORKS)
def test_sizes_are_at_least_one(network):
    fields = inspect.signature(network).parameters
    for name in [name for name, field in fields.items() if isinstance(field.default, int)]:
        for value in (0, -1, 2.5):
            with pytest.raises(ValueError, match=name):
                network(**{name: value})
