"""The tutorial's networks as published: h = 40, latent_dim = 20, MNIST."""

import pytest
import torch
from small import sizes_of_maps
from torch import nn

from autoencoders.errors import InputError
from autoencoders.networks import Tutorial

MNIST = (1, 28, 28)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def encoder():
    return Tutorial(hidden_dim=40).encoder(MNIST, 20)


@pytest.fixture(scope="module")
def decoder():
    return Tutorial(hidden_dim=40).decoder(20, MNIST)


def test_the_encoders_maps_and_widths(encoder):
    assert sizes_of_maps(encoder, torch.rand(2, *MNIST)) == [14, 7, 3, 1]
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [40, 80, 160, 320]
    assert all(c.bias is None for c in convolutions)
    # None follows the first convolution.
    normalised = [m.num_features for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert normalised == [80, 160, 320]
    assert encoder.head.in_features == 320


def test_the_decoders_maps_and_widths(decoder):
    assert sizes_of_maps(decoder, torch.rand(2, 20)) == [10, 13, 28]
    assert decoder.project[0].out_features == 320 * 7 * 7
    widths = [m.out_channels for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [160, 80, 1]


def test_parameters_counted_by_hand(encoder, decoder):
    # Convolutions 16 (40 + 40 80 + 80 160 + 160 320), batch normalization 2 (80 + 160 + 320),
    # head 320 20 + 20.
    assert parameters(encoder) == 1_075_840 + 1_120 + 6_420
    # Linear 21 15,680, transposed convolutions 16 (320 160 + 160 80 + 80) and their biases 241,
    # batch normalization 2 (160 + 80).
    assert parameters(decoder) == 329_280 + 1_025_280 + 241 + 480


@pytest.mark.parametrize("shape", [(1, 14, 14), (1, 29, 29), (3, 32, 30), (5,), (28, 28)])
def test_shapes_that_are_refused(shape):
    line = "network=tutorial: takes square images of 16, 18, ... pixels a side; the data set has"
    for make in (lambda: Tutorial().encoder(shape, 2), lambda: Tutorial().decoder(2, shape)):
        with pytest.raises(InputError, match=line) as error:
            make()
        assert " x ".join(map(str, shape)) in str(error.value)
