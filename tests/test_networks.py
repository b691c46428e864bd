"""Shapes, published widths and gradients of the networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoencoders.networks import Decoder, Discriminator, Encoder


@pytest.mark.parametrize("architecture", ["tutorial", "paper"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 64)])
def test_shapes_and_gradients(architecture, channels, size):
    encoder = Encoder(channels, size, 4, 6, architecture)
    decoder = Decoder(channels, size, 4, 6, architecture)
    codes = encoder(torch.rand(3, channels, size, size))
    logits = decoder(codes)
    assert codes.shape == (3, 6)
    assert logits.shape == (3, channels, size, size)
    logits.square().sum().backward()
    for network in (encoder, decoder):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            # Batch normalization subtracts these biases again: their gradients are rounding.
            if name not in ("upsample.0.bias", "upsample.3.bias"):
                assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("architecture", ["tutorial", "paper"])
def test_one_image_in_evaluation(architecture):
    encoder = Encoder(1, 28, 4, 6, architecture).eval()
    decoder = Decoder(1, 28, 4, 6, architecture).eval()
    assert decoder(encoder(torch.rand(1, 1, 28, 28))).shape == (1, 1, 28, 28)
    assert Discriminator(6, 4)(torch.rand(1, 6)).shape == (1,)


def sizes_of_maps(network, x):
    """The height of every convolution's output."""
    heights = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda *call: heights.append(call[2].shape[2]))
    network(x)
    return heights


def test_the_tutorials_maps_and_widths():
    encoder, decoder = Encoder(1, 28, 40, 20), Decoder(1, 28, 40, 20)
    assert sizes_of_maps(encoder, torch.rand(2, 1, 28, 28)) == [14, 7, 3, 1]
    assert sizes_of_maps(decoder, torch.rand(2, 20)) == [10, 13, 28]
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [40, 80, 160, 320]
    assert all(c.bias is None for c in convolutions)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in encoder.modules()) == 3
    assert decoder.project[0].out_features == 320 * 7 * 7
    widths = [m.out_channels for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [160, 80, 1]


def test_the_papers_maps_and_widths():
    encoder, decoder = Encoder(1, 28, 128, 8, "paper"), Decoder(1, 28, 128, 8, "paper")
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [128, 256, 512, 1024]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in encoder.modules()) == 4
    assert sizes_of_maps(decoder, torch.rand(2, 8)) == [14, 28, 28]
    assert decoder.project[0].out_features == 1024 * 7 * 7


def test_the_papers_last_layer_is_a_transposed_convolution():
    # Stride 1 and padding "same" as TensorFlow has it: 1 before and 2 after in the convolution
    # that it transposes, of which torch's symmetric padding leaves one row and column too many.
    pad, convolution = Decoder(1, 28, 4, 6, "paper").upsample[-2:]
    x = torch.randn(2, 8, 28, 28)
    weight = convolution.weight.flip(2, 3).transpose(0, 1)
    expected = F.conv_transpose2d(x, weight, convolution.bias, padding=1)[:, :, :28, :28]
    torch.testing.assert_close(convolution(pad(x)), expected)


@pytest.mark.parametrize(("hidden_dim", "width"), [(40, 160), (128, 512)])
def test_the_discriminator_has_four_hidden_layers(hidden_dim, width):
    linear = [m for m in Discriminator(8, hidden_dim).modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in linear] == [width] * 4 + [1]


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda size: Encoder(1, size, 4, 6), 15),
        (lambda size: Decoder(1, size, 4, 6), 14),
        (lambda size: Decoder(1, size, 4, 6), 29),
        (lambda size: Decoder(1, size, 4, 6, "paper"), 30),
    ],
)
def test_sizes_that_the_strides_cannot_reach(build, size):
    with pytest.raises(ValueError, match=f"image_size={size}"):
        build(size)
