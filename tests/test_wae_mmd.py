"""WAE-MMD's penalty, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, check_training, small

from autoencoders.divergences import mmd
from autoencoders.models import WAEMMD


def test_the_objective():
    torch.manual_seed(0)
    model = small(WAEMMD, cost="mse", reg_weight=3.0)
    x = torch.rand(8, *SHAPE)
    out = model(x)
    losses = model.losses(x, out)
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    torch.testing.assert_close(losses["loss"], squared + 3 * losses["penalty"])


def test_the_penalty_takes_the_models_kernel_and_prior():
    z = torch.randn(6, 3)
    model = small(WAEMMD, kernel="rbf", kernel_scales=[0.5, 2.0], prior_std=1.5)
    torch.manual_seed(0)
    penalty = model.penalty(z)
    torch.manual_seed(0)
    prior = 1.5 * torch.randn(6, 3)
    torch.testing.assert_close(penalty, mmd(z, prior, 1.5, "rbf", [0.5, 2.0]))
    assert model.penalty(z[:1]) == 0


def test_training_is_the_plain_loop():
    def objective(model, x):
        z = model.encoder(x)
        penalty = mmd(z, torch.randn(z.shape))
        x_hat = model.decoder(z).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + 100 * penalty

    torch.manual_seed(0)
    check_training(small(WAEMMD, reg_weight=100.0, schedule="constant", lr=2e-3), objective)


@pytest.mark.parametrize(
    "argument",
    [
        {"reg_weight": float("nan")},
        {"kernel": "linear"},
        {"kernel_scales": []},
        {"kernel_scales": [0.0]},
    ],
)
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        WAEMMD(**argument)
