"""The variational auto-encoder's posterior, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.models import VAE


def test_codes_are_drawn_from_the_posterior():
    torch.manual_seed(0)
    model = small(VAE).eval()
    x = torch.rand(1, *SHAPE)
    mean, log_var = model.encoder(x).chunk(2, dim=1)
    z = model(Batch(x.expand(5000, -1, -1, -1))).z
    torch.testing.assert_close(z.mean(0), mean[0], atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), (log_var[0] / 2).exp(), rtol=0.05, atol=0)
    assert torch.equal(model.encode(x), mean)


@pytest.mark.parametrize("prior_std", [1.0, 2.0])
def test_the_objective(prior_std):
    torch.manual_seed(0)
    model = small(VAE, beta=4.0, prior_std=prior_std)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    mean, log_var = model.encoder(x).chunk(2, dim=1)
    variance = log_var.exp()
    kl = 0.5 * ((variance + mean**2) / prior_std**2 - 1 - (variance / prior_std**2).log())
    torch.testing.assert_close(losses["kl"], kl.sum() / 8)
    bce = F.binary_cross_entropy(out.logits.sigmoid(), x, reduction="sum") / 8
    torch.testing.assert_close(losses["loss"], bce + 4 * kl.sum() / 8)


def test_training_is_the_plain_loop():
    def objective(model, x):
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
        x_hat = model.decoder(z).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + kl

    torch.manual_seed(0)
    check_training(small(VAE, scheduler=None, optimizer=adam(2e-3)), objective)


def test_beta_below_zero():
    with pytest.raises(ValueError, match="beta"):
        VAE(beta=-1)
