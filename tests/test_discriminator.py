"""The latent discriminator."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoencoders.networks import Discriminator


@pytest.mark.parametrize("n", [1, 5])
def test_shape(n):
    assert Discriminator(6, 4)(torch.rand(n, 6)).shape == (n,)


def test_four_hidden_layers_written_out():
    torch.manual_seed(0)
    discriminator = Discriminator(3, 16)
    linear = [m for m in discriminator.modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in linear] == [16] * 4 + [1]
    z = torch.randn(5, 3)
    h = z
    for layer in linear[:-1]:
        h = F.linear(h, layer.weight, layer.bias).clamp_min(0)
    expected = (h @ linear[-1].weight.T + linear[-1].bias)[:, 0]
    torch.testing.assert_close(discriminator(z), expected)


def test_precision_is_kept_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert Discriminator(3, 4)(torch.randn(2, 3)).dtype == torch.float32


@pytest.mark.parametrize(("latent_dim", "width"), [(20, 160), (8, 512)])
def test_parameters_counted_by_hand(latent_dim, width):
    parameters = sum(p.numel() for p in Discriminator(latent_dim, width).parameters())
    assert parameters == (latent_dim + 1) * width + 3 * (width + 1) * width + width + 1
