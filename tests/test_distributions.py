"""The prior and the posteriors against torch.distributions."""

import math

import pytest
import torch
from torch import distributions
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from autoencoders.distributions import (
    Bernoulli,
    MixturePrior,
    NormalPosterior,
    NormalPrior,
    PointPosterior,
)


@pytest.fixture
def posterior():
    torch.manual_seed(0)
    mean = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    log_var = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    return NormalPosterior(mean, log_var)


def test_the_encoders_output_is_the_mean_and_then_the_log_variance():
    out = torch.arange(12.0).reshape(2, 6)
    posterior = NormalPosterior.of(out)
    assert posterior.mean.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert posterior.log_var.tolist() == [[3, 4, 5], [9, 10, 11]]


@pytest.mark.parametrize("prior_std", [0.5, 1.0, 3.0])
def test_kl_and_its_gradients(posterior, prior_std):
    ours = posterior.kl(NormalPrior(4, prior_std), posterior.draw())
    reference = Normal(posterior.mean, (posterior.log_var / 2).exp())
    theirs = kl_divergence(reference, Normal(0.0, prior_std)).sum(1).mean()
    torch.testing.assert_close(ours, theirs)
    parameters = (posterior.mean, posterior.log_var)
    for a, b in zip(
        torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_draws_have_the_posteriors_moments():
    torch.manual_seed(0)
    mean, std = torch.tensor([-1.0, 0.0, 5.0]), torch.tensor([0.1, 1.0, 3.0])
    n = 40_000
    z = NormalPosterior(mean.expand(n, 3), (2 * std.log()).expand(n, 3)).draw()
    assert z.shape == (n, 3)
    torch.testing.assert_close(
        ((z.mean(0) - mean) / std).abs().max().item(), 0.0, atol=0.02, rtol=0
    )
    torch.testing.assert_close(z.std(0), std, rtol=0.02, atol=0)
    correlations = torch.corrcoef(z.T) - torch.eye(3)
    assert correlations.abs().max() < 0.02  # dimensions are independent
    neighbours = torch.stack([z[:-1, 1], z[1:, 1]])
    assert abs(torch.corrcoef(neighbours)[0, 1]) < 0.02  # and so are the batch's examples


def test_gradients_reach_both_parameters_through_a_draw(posterior):
    z = posterior.draw()
    of_mean, of_log_var = torch.autograd.grad(z.sum(), (posterior.mean, posterior.log_var))
    assert torch.equal(of_mean, torch.ones_like(z))  # z = mean + exp(log_var / 2) eps
    torch.testing.assert_close(of_log_var, (z - posterior.mean).detach() / 2)


def test_two_draws_differ_where_the_posterior_is_random(posterior):
    for drawn in (posterior, PointPosterior(torch.randn(3, 2))):
        assert torch.equal(drawn.draw(), drawn.draw()) is not type(drawn).random


@pytest.mark.parametrize("kind", [PointPosterior, NormalPosterior])
def test_heads_are_what_the_encoder_must_put_out(kind):
    out = torch.randn(5, kind.heads * 3)
    posterior = kind.of(out)
    assert posterior.mean.shape == posterior.draw().shape == (5, 3)
    assert torch.equal(posterior.mean, out[:, :3])


def test_a_points_draw_is_its_mean():
    mean = torch.randn(3, 2, requires_grad=True)
    z = PointPosterior.of(mean).draw()
    assert torch.equal(z, mean)
    (gradient,) = torch.autograd.grad(z.sum(), mean)
    assert torch.equal(gradient, torch.ones(3, 2))


@pytest.mark.parametrize("std", [0.3, 1.0, 2.5])
def test_the_priors_moments(std):
    z = NormalPrior(3, std).draw(40_000, torch.Generator().manual_seed(0))
    assert z.shape == (40_000, 3)
    assert (z / std).mean(0).abs().max() < 0.02
    torch.testing.assert_close(z.std(0), torch.full((3,), std), rtol=0.02, atol=0)
    kurtosis = (z / std).pow(4).mean()
    assert kurtosis.item() == pytest.approx(3, abs=0.1)


def test_a_generator_fixes_the_priors_draws_and_leaves_the_global_one():
    prior = NormalPrior(3, 2.0)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = prior.draw(5, torch.Generator().manual_seed(7), "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    second = prior.draw(5, torch.Generator().manual_seed(7))
    other = prior.draw(5, torch.Generator().manual_seed(8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    torch.testing.assert_close(
        first, 2 * torch.randn(5, 3, generator=torch.Generator().manual_seed(7))
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cpu_generator_draws_the_same_on_a_gpu():
    prior = NormalPrior(3, 2.0)
    there = prior.draw(5, torch.Generator().manual_seed(7), "cuda")
    assert there.device.type == "cuda"
    assert torch.equal(there.cpu(), prior.draw(5, torch.Generator().manual_seed(7)))
    assert prior.draw(5, device="cuda").device.type == "cuda"


def test_kl_of_the_prior_itself_is_zero():
    prior = NormalPrior(3, 2.0)
    same = NormalPosterior(torch.zeros(2, 3), torch.full((2, 3), math.log(4)))
    assert same.kl(prior, same.draw()).item() == pytest.approx(0, abs=1e-6)


def mixture(k=3, d=2):
    generator = torch.Generator().manual_seed(0)
    means, log_vars = torch.randn(2, k, d, generator=generator, dtype=torch.double)
    return MixturePrior(3 * means, log_vars)


def reference_of(prior):
    components = Independent(Normal(prior.means, (prior.log_vars / 2).exp()), 1)
    weights = Categorical(torch.ones(len(prior.means), dtype=torch.double))
    return MixtureSameFamily(weights, components)


def test_a_mixtures_density():
    prior, z = mixture(), 4 * torch.randn(1200, 2, dtype=torch.double)  # in several blocks
    torch.testing.assert_close(prior.log_prob(z), reference_of(prior).log_prob(z))


def test_a_mixtures_draws_and_scale():
    prior = mixture()
    reference = reference_of(prior)
    z = prior.draw(100_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), reference.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), reference.variance, atol=0, rtol=0.02)
    assert prior.scale == pytest.approx(reference.variance.mean().sqrt().item())
    again = prior.draw(5, torch.Generator().manual_seed(0))
    assert torch.equal(again, prior.draw(5, torch.Generator().manual_seed(0)))


def test_a_normal_priors_density_and_scale():
    z = torch.randn(7, 3, dtype=torch.double)
    expected = Normal(0.0, 2.5).log_prob(z).sum(1)
    torch.testing.assert_close(NormalPrior(3, 2.5).log_prob(z), expected)
    assert NormalPrior(3, 2.5).scale == 2.5


def test_kl_without_a_closed_form_is_estimated_without_bias():
    """Of one normal component, whose divergence has one; the estimate's mean comes to it."""
    mean, log_var = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[0.2, -0.7]]).double()
    component = MixturePrior(torch.tensor([[1.0, 0.0]]).double(), torch.zeros(1, 2).double())
    n = 200_000
    posterior = NormalPosterior(mean.expand(n, 2), log_var.expand(n, 2))
    torch.manual_seed(0)
    estimate = posterior.kl(component, posterior.draw())
    exact = kl_divergence(
        Normal(mean, (log_var / 2).exp()), Normal(component.means, torch.ones(1, 2).double())
    ).sum()
    assert estimate.item() == pytest.approx(exact.item(), rel=0.01)


def test_a_frozen_mixture_passes_no_gradient_on():
    means = torch.zeros(2, 3, requires_grad=True)
    prior = MixturePrior(means, torch.zeros(2, 3))
    assert prior.log_prob(torch.zeros(1, 3)).requires_grad
    frozen = prior.frozen()
    with torch.no_grad():
        means += 1
    assert not frozen.log_prob(torch.zeros(1, 3)).requires_grad
    assert frozen.means.sum() == 0


def test_a_bernoullis_density_and_draws():
    torch.manual_seed(0)
    logits, x = torch.randn(5, 1, 2, 2), torch.rand(5, 1, 2, 2).round()
    reference = distributions.Bernoulli(logits=logits)
    likelihood = Bernoulli()
    torch.testing.assert_close(likelihood.log_prob(logits, x), reference.log_prob(x).sum((1, 2, 3)))
    torch.testing.assert_close(likelihood.loss(logits, x), -likelihood.log_prob(logits, x).mean())
    draws = torch.stack([likelihood.sample(logits) for _ in range(4000)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(draws.mean(0), reference.mean, atol=0.04, rtol=0)
