"""The auto-encoder's objective and training."""

import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.models import AE


def test_the_objective_is_the_reconstruction():
    torch.manual_seed(0)
    model = small(AE, cost="mse")
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    torch.testing.assert_close(losses["loss"], ((out.logits.sigmoid() - x) ** 2).sum() / 8)
    assert torch.equal(out.z, out.posterior.mean)


def test_training_is_the_plain_loop():
    def objective(model, x):
        x_hat = model.decoder(model.encoder(x)).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)

    torch.manual_seed(0)
    check_training(small(AE, scheduler=None, optimizer=adam(2e-3)), objective)
