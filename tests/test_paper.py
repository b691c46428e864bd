"""The paper's networks as published, and their padding against brute force.

Tolstikhin et al. 2018 for MNIST: h = 128, latent_dim = 8.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import sizes_of_maps
from torch import nn

from autoencoders.errors import InputError
from autoencoders.networks import Paper
from autoencoders.networks.paper import halve_same

MNIST = (1, 28, 28)


def same_convolution(x, kernel, stride):
    """TensorFlow's convolution with SAME padding, pixel by pixel.

    ceil(n / stride) outputs a side; (outputs - 1) stride + k - n zeros a side in total, the odd
    one at the end.

    Args:
        x: (n_in, n, n).
        kernel: (n_out, n_in, k, k).
    """
    n, k = x.shape[1], kernel.shape[2]
    outputs = math.ceil(n / stride)
    zeros = max((outputs - 1) * stride + k - n, 0)
    before = zeros // 2
    padded = np.pad(x, ((0, 0), (before, zeros - before), (before, zeros - before)))
    y = np.empty((len(kernel), outputs, outputs))
    for row in range(outputs):
        for column in range(outputs):
            top, left = row * stride, column * stride
            window = padded[:, top : top + k, left : left + k]
            y[:, row, column] = (kernel * window).sum((1, 2, 3))
    return y


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 15), n_in=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_encoders_padding_is_same(size, n_in, seed):
    torch.manual_seed(seed)
    pad, convolution = halve_same(n_in, 2, size).double()[:2]
    x = torch.randn(n_in, size, size, dtype=torch.double)
    expected = same_convolution(x.numpy(), convolution.weight.detach().numpy(), stride=2)
    y = convolution(pad(x[None]))[0].detach()
    np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("size", [28, 20])
def test_the_encoder_against_brute_force(size):
    torch.manual_seed(0)
    encoder = Paper(hidden_dim=2).encoder((1, size, size), 3).double()
    encoder(torch.rand(8, 1, size, size).double())  # running statistics other than 0 and 1
    encoder.eval()
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    image = torch.rand(1, size, size).double()
    x = image.numpy()
    for i in range(4):
        x = same_convolution(x, weights[f"features.{i}.1.weight"], stride=2)
        norm = f"features.{i}.2."
        mean, variance = weights[norm + "running_mean"], weights[norm + "running_var"]
        x = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
        x = x * weights[norm + "weight"][:, None, None] + weights[norm + "bias"][:, None, None]
        x = np.maximum(x, 0)
    expected = weights["head.weight"] @ x.flatten() + weights["head.bias"]
    np.testing.assert_allclose(encoder(image[None])[0].detach(), expected)


@pytest.mark.parametrize(("layer", "stride"), [(0, 2), (3, 2), (6, 1)])
def test_the_decoders_layers_transpose_convolutions_of_same_padding(layer, stride):
    """A transposed convolution is the adjoint: <conv(x), y> = <x, transposed(y)> for all x, y."""
    torch.manual_seed(0)
    upsample = Paper(hidden_dim=2).decoder(3, (2, 12, 12)).double().upsample
    if stride == 2:
        transposed = upsample[layer]
        kernel = transposed.weight.detach()
    else:  # written as a convolution: its kernel flipped
        transposed = upsample[layer : layer + 2]
        kernel = transposed[1].weight.detach().flip(2, 3).transpose(0, 1)
    bias = transposed.bias if stride == 2 else transposed[1].bias
    nn.init.zeros_(bias)
    for size in (3, 6, 12):
        y = torch.randn(1, kernel.shape[0], size, size, dtype=torch.double)
        grown = transposed(y).detach()
        assert grown.shape[2:] == (stride * size, stride * size)
        x = torch.randn_like(grown)
        shrunk = same_convolution(x[0].numpy(), kernel.numpy(), stride)
        assert (shrunk * y[0].numpy()).sum() == pytest.approx((x * grown).sum().item())


@pytest.fixture(scope="module")
def encoder():
    return Paper(hidden_dim=128).encoder(MNIST, 8)


@pytest.fixture(scope="module")
def decoder():
    return Paper(hidden_dim=128).decoder(8, MNIST)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_encoders_maps_and_widths(encoder):
    assert sizes_of_maps(encoder, torch.rand(2, *MNIST)) == [14, 7, 4, 2]
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [128, 256, 512, 1024]
    normalised = [m.num_features for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert normalised == [128, 256, 512, 1024]
    assert encoder.head.in_features == 4096


def test_the_decoders_maps_and_widths(decoder):
    assert sizes_of_maps(decoder, torch.rand(2, 8)) == [14, 28, 28]
    assert decoder.project[0].out_features == 1024 * 7 * 7
    widths = [m.num_features for m in decoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert widths == [512, 256]


def test_parameters_counted_by_hand(encoder, decoder):
    # Convolutions 16 (128 + 128 256 + 256 512 + 512 1024), batch normalization
    # 2 (128 + 256 + 512 + 1024), head 4,096 8 + 8.
    assert parameters(encoder) == 11_012_096 + 3_840 + 32_776
    # Linear 9 50,176; transposed convolutions 16 (1024 512 + 512 256) and their biases 512 + 256;
    # batch normalization 2 (512 + 256); last layer 16 256 + 1.
    assert parameters(decoder) == 451_584 + 10_485_760 + 768 + 1_536 + 4_097


@pytest.mark.parametrize("shape", [(1, 30, 30), (1, 2, 2), (3, 32, 28), (5,)])
def test_shapes_that_are_refused(shape):
    line = "network=paper: takes square images of 4, 8, ... pixels a side; the data set has"
    for make in (lambda: Paper().encoder(shape, 2), lambda: Paper().decoder(2, shape)):
        with pytest.raises(InputError, match=line) as error:
            make()
        assert " x ".join(map(str, shape)) in str(error.value)
