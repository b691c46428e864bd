"""The VampPrior: the mixture that it is, and the objective that holds codes to it."""

import math

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, batches, check_training, fit, small
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from autoencoders.data import Batch
from autoencoders.models import VampVAE
from autoencoders.samplers import Prior

K = 5


def vamp(**arguments):
    torch.manual_seed(0)
    return small(VampVAE, pseudo_inputs=K, **arguments)


def mixture_of(model):
    """The posteriors of the pseudo-inputs, in evaluation mode."""
    with torch.no_grad():
        out = model.eval().encoder(model.pseudo_inputs.sigmoid()).double()
    mean, log_var = out.chunk(2, dim=1)
    components = Independent(Normal(mean, (log_var / 2).exp()), 1)
    return MixtureSameFamily(Categorical(torch.ones(K).double()), components)


def test_the_prior_is_the_mixture_of_the_pseudo_inputs_posteriors():
    model = vamp()
    fit(model, batches(n=2))  # the prior moves with the weights
    z = torch.randn(9, 3, dtype=torch.double)
    reference = mixture_of(model)
    torch.testing.assert_close(model.prior.log_prob(z), reference.log_prob(z), rtol=1e-4, atol=1e-4)
    draws = model.prior.draw(50_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0).double(), reference.mean, atol=0.05, rtol=0)
    assert model.prior.scale == pytest.approx(reference.variance.mean().sqrt().item(), rel=1e-4)


def test_the_sampler_of_the_prior_is_that_mixture_after_its_file(tmp_path):
    model = vamp()
    z = torch.randn(9, 3, dtype=torch.double)
    expected = mixture_of(model).log_prob(z)
    Prior().fit(z, model.prior).save(tmp_path / "prior.safetensors")
    with torch.no_grad():
        model.pseudo_inputs += 3  # another prior now, and the file still the first
    loaded = Prior.load(tmp_path / "prior.safetensors")
    torch.testing.assert_close(loaded.log_prob(z), expected, rtol=1e-4, atol=1e-4)


def test_training_is_the_plain_loop():
    def objective(model, x):
        inputs = torch.cat([x, model.pseudo_inputs.sigmoid()])
        mean, log_var = model.encoder(inputs).chunk(2, dim=1)
        own, others = mean[: len(x)], mean[len(x) :]
        variances, their_variances = log_var[: len(x)].exp(), log_var[len(x) :].exp()
        z = own + variances.sqrt() * torch.randn_like(own)

        def log_normal(z, mean, variance):
            squares = (z - mean) ** 2 / variance
            return -0.5 * (squares + variance.log() + math.log(2 * math.pi)).sum(-1)

        log_q = log_normal(z, own, variances)
        log_p = torch.stack(
            [log_normal(z, m, v) for m, v in zip(others, their_variances, strict=True)]
        )
        kl = (log_q - (log_p.exp().mean(0)).log()).mean()
        x_hat = model.decoder(z).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + kl

    check_training(vamp(scheduler=None), objective)


def test_gradients_reach_the_pseudo_inputs():
    model = vamp()
    batch = Batch(torch.rand(8, *SHAPE))
    model.losses(batch, model(batch))["kl"].backward()
    assert model.pseudo_inputs.grad.abs().sum() > 0
