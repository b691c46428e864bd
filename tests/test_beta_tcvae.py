"""beta-TCVAE's objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small
from torch.distributions import Normal

from autoencoders.data import Batch
from autoencoders.models import BetaTCVAE


def correlation_of(z, mean, log_var):
    """log Q_z(z) - sum of log Q_z(z_d), Q_z the mixture of the batch's posteriors."""
    log_q = Normal(mean, (0.5 * log_var).exp()).log_prob(z[:, None])
    joint, marginals = log_q.sum(2).exp().mean(1), log_q.exp().mean(1)
    return (joint.log() - marginals.log().sum(1)).mean()


def test_the_objective():
    torch.manual_seed(0)
    model = small(BetaTCVAE, cost="mse", beta=4.0, prior_std=2.0)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    mean, log_var = out.posterior.mean, out.posterior.log_var
    torch.testing.assert_close(losses["total_correlation"], correlation_of(out.z, mean, log_var))
    kl = 0.5 * ((log_var.exp() + mean**2) / 4 - 1 - (log_var.exp() / 4).log()).sum() / 8
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    torch.testing.assert_close(losses["loss"], squared + kl + 3 * losses["total_correlation"])


def test_training_is_the_plain_loop():
    def objective(model, x):
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
        x_hat = model.decoder(z).sigmoid()
        bce = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        return bce + kl + 5 * correlation_of(z, mean, log_var)

    torch.manual_seed(0)
    check_training(small(BetaTCVAE, beta=6.0, scheduler=None, optimizer=adam(2e-3)), objective)


def test_beta_below_zero():
    with pytest.raises(ValueError, match="beta"):
        BetaTCVAE(beta=-1)
