"""InfoVAE's objective, its special cases and its training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.divergences import mmd
from autoencoders.models import VAE, InfoVAE


def losses_of(model_class, **arguments):
    """A model's losses; the weights, the images and all draws are the same for each call."""
    torch.manual_seed(0)
    model = small(model_class, **arguments)
    x = torch.rand(8, *SHAPE)
    torch.manual_seed(1)
    out = model(Batch(x))
    torch.manual_seed(2)
    return model.losses(Batch(x), out), out


def test_the_objective():
    arguments = {"alpha": 0.25, "reg_weight": 8.0, "kernel": "rbf", "kernel_scales": [0.5, 2.0]}
    losses, out = losses_of(InfoVAE, prior_std=1.5, **arguments)
    torch.manual_seed(2)
    prior = 1.5 * torch.randn(8, 3)
    torch.testing.assert_close(losses["penalty"], mmd(out.z, prior, 1.5, "rbf", [0.5, 2.0]))
    weighted = 0.75 * losses["kl"] + 7.25 * losses["penalty"]
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + weighted)


def test_it_is_the_vae_where_alpha_is_0_and_lambda_1():
    info, _ = losses_of(InfoVAE, alpha=0.0, reg_weight=1.0)
    vae, _ = losses_of(VAE)
    torch.testing.assert_close(info["loss"], vae["loss"])
    torch.testing.assert_close(info["kl"], vae["kl"])


def test_one_code_has_no_mmd():
    assert small(InfoVAE).penalty(torch.randn(1, 3)) == 0


def test_training_is_the_plain_loop():
    def objective(model, x):
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
        x_hat = model.decoder(z).sigmoid()
        bce = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        return bce + 0.5 * kl + 99.5 * mmd(z, torch.randn(z.shape))

    torch.manual_seed(0)
    arguments = {"alpha": 0.5, "reg_weight": 100.0, "scheduler": None, "optimizer": adam(2e-3)}
    check_training(small(InfoVAE, **arguments), objective)


@pytest.mark.parametrize(
    "argument",
    [{"alpha": 1.5}, {"alpha": float("nan")}, {"reg_weight": 0.5}, {"kernel": "linear"}],
)
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        InfoVAE(**argument)
