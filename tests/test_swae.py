"""SWAE's penalty, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.divergences import sliced_wasserstein
from autoencoders.models import SWAE


def penalty_of(z, projections, prior_std=1.0):
    directions = torch.randn(projections, z.shape[1])
    directions = directions / (directions**2).sum(1, keepdim=True).sqrt()
    return sliced_wasserstein(z, directions, prior_std)


def test_the_objective():
    torch.manual_seed(0)
    model = small(SWAE, cost="mse", reg_weight=3.0, projections=7, prior_std=1.5)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    torch.manual_seed(1)
    losses = model.losses(Batch(x), out)
    torch.manual_seed(1)
    torch.testing.assert_close(losses["penalty"], penalty_of(out.z, 7, 1.5))
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    torch.testing.assert_close(losses["loss"], squared + 3 * losses["penalty"])


def test_directions_are_drawn_anew():
    model = small(SWAE, projections=2)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    assert model.losses(Batch(x), out)["penalty"] != model.losses(Batch(x), out)["penalty"]


def test_training_is_the_plain_loop():
    def objective(model, x):
        z = model.encoder(x)
        x_hat = model.decoder(z).sigmoid()
        bce = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        return bce + 20 * penalty_of(z, 50)

    torch.manual_seed(0)
    check_training(small(SWAE, reg_weight=20.0, scheduler=None, optimizer=adam(2e-3)), objective)


@pytest.mark.parametrize("argument", [{"reg_weight": -1}, {"projections": 0}])
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        SWAE(**argument)
