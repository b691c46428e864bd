"""CWAE's penalty, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.divergences import cramer_wold
from autoencoders.models import CWAE


def test_the_objective():
    torch.manual_seed(0)
    model = small(CWAE, cost="mse", reg_weight=3.0, prior_std=1.5)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    torch.testing.assert_close(losses["penalty"], cramer_wold(out.z / 1.5).log())
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    torch.testing.assert_close(losses["loss"], squared + 3 * losses["penalty"])


def test_training_is_the_plain_loop():
    def objective(model, x):
        z = model.encoder(x)
        x_hat = model.decoder(z).sigmoid()
        bce = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        return bce + 20 * cramer_wold(z).log()

    torch.manual_seed(0)
    check_training(small(CWAE, reg_weight=20.0, scheduler=None, optimizer=adam(2e-3)), objective)


def test_a_weight_below_zero():
    with pytest.raises(ValueError, match="reg_weight"):
        CWAE(reg_weight=-1)
