"""Multilayer perceptrons."""

import pytest
import torch
import torch.nn.functional as F
from small import biases_without_effect
from torch import nn

from autoencoders.networks import MLP

NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}
SHAPES = [(5,), (1,), (2, 3), (3, 7, 4)]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_gradients(norm, shape):
    torch.manual_seed(0)
    network = MLP(hidden_dim=8, norm=norm)
    encoder, decoder = network.encoder(shape, 6), network.decoder(6, shape)
    codes = encoder(torch.randn(9, *shape))
    x_hat = decoder(codes)
    assert codes.shape == (9, 6)
    assert x_hat.shape == (9, *shape)
    x_hat.square().sum().backward()
    for part in (encoder, decoder):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            if name not in biases_without_effect(part):
                assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("norm", NORMS)
def test_one_example_in_evaluation(norm):
    network = MLP(hidden_dim=8, norm=norm, dropout=0.5)
    encoder, decoder = network.encoder((5,), 2).eval(), network.decoder(2, (5,)).eval()
    x = torch.randn(4, 5)
    x_hat = decoder(encoder(x))
    torch.testing.assert_close(decoder(encoder(x[:1])), x_hat[:1])


def test_two_layers_written_out():
    torch.manual_seed(0)
    encoder = MLP(hidden_dim=8, norm="layer").encoder((2, 3), 4)
    weights = encoder.state_dict()
    x = torch.randn(5, 2, 3)
    h = x.flatten(1)
    for i in (0, 4):
        h = F.linear(h, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"])
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        h = h.relu()
    expected = F.linear(h, weights["layers.8.weight"], weights["layers.8.bias"])
    torch.testing.assert_close(encoder(x), expected)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layers", [1, 3])
def test_every_hidden_layer_has_the_width_and_the_norm(norm, layers):
    network = MLP(hidden_dim=8, layers=layers, norm=norm)
    for part, out in ((network.encoder((2, 3), 4), 4), (network.decoder(4, (2, 3)), 6)):
        linear = [m for m in part.modules() if isinstance(m, nn.Linear)]
        assert [layer.out_features for layer in linear] == [8] * layers + [out]
        assert sum(isinstance(m, NORMS[norm]) for m in part.modules()) == layers


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    encoder = MLP(hidden_dim=4000, layers=1, norm="none", dropout=0.3).encoder((5,), 2)
    x = torch.randn(1, 5)
    assert not torch.equal(encoder(x), encoder(x))
    hidden = []
    encoder.layers[-1].register_forward_hook(lambda module, args, out: hidden.append(args[0]))
    encoder(x)
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))
    trained, evaluated = hidden[0], hidden[1]
    positive = evaluated > 0
    assert (trained[positive] == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    kept = positive & (trained > 0)
    torch.testing.assert_close(trained[kept], evaluated[kept] / 0.7)


def test_no_dropout_by_default():
    encoder = MLP(norm="layer").encoder((5,), 2)
    x = torch.randn(3, 5)
    assert torch.equal(encoder(x), encoder(x))


@pytest.mark.parametrize(
    "argument", [{"norm": "instance"}, {"dropout": 1.0}, {"dropout": -0.1}, {"layers": 0}]
)
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        MLP(**argument)
