"""Costs and adversarial terms against torch.distributions and plain formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions
from torch.distributions import Normal

from autoencoders.distributions import Bernoulli, likelihoods
from autoencoders.distributions.likelihoods import make_cost
from autoencoders.losses import (
    OptimalSigma,
    SquaredError,
    adversarial_penalty,
    discriminator_accuracy,
    discriminator_loss,
)

# Every cost with every kind of data that it takes.
COSTS = [
    (name, bounded)
    for name in likelihoods.COSTS
    for bounded in (True, False)
    if bounded or name != "bce"
]


@pytest.fixture
def logits_and_images():
    torch.manual_seed(0)
    return 3 * torch.randn(5, 2, 4, 4), torch.rand(5, 2, 4, 4)


def test_bce_is_the_bernoulli_likelihood(logits_and_images):
    logits, x = logits_and_images
    binary = x.round()
    expected = -distributions.Bernoulli(logits=logits).log_prob(binary).sum((1, 2, 3)).mean()
    torch.testing.assert_close(Bernoulli().loss(logits, binary), expected)


def test_bce_of_grey_pixels(logits_and_images):
    logits, x = logits_and_images
    p = logits.double().sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean()
    torch.testing.assert_close(Bernoulli().loss(logits, x), expected.float())


def test_bce_of_far_off_logits():
    logits = torch.tensor([[200.0]], requires_grad=True)  # sigmoid rounds to 1, 1 - sigmoid to 0
    loss = Bernoulli().loss(logits, torch.zeros(1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad.item() == pytest.approx(1)


@pytest.mark.parametrize("bounded", [True, False])
def test_mse_is_summed_over_dimensions_and_averaged_over_examples(logits_and_images, bounded):
    logits, x = logits_and_images
    x_hat = 1 / (1 + (-logits).exp()) if bounded else logits
    expected = ((x_hat - x) ** 2).sum((1, 2, 3)).mean()
    torch.testing.assert_close(SquaredError(bounded).loss(logits, x), expected)


@pytest.mark.parametrize("bounded", [True, False])
def test_sigma_is_the_normal_likelihood_with_the_batchs_variance(logits_and_images, bounded):
    logits, x = logits_and_images
    x_hat = logits.sigmoid() if bounded else logits
    sigma = ((x_hat - x) ** 2).mean().sqrt()
    expected = -Normal(x_hat, sigma).log_prob(x).sum((1, 2, 3)).mean()
    torch.testing.assert_close(OptimalSigma(bounded).loss(logits, x), expected)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 6),
    features=st.integers(1, 6),
    scale=st.floats(1e-2, 1e2),
    sigma=st.floats(1e-3, 1e3),
    seed=st.integers(0, 999),
)
def test_no_other_sigma_is_likelier(n, features, scale, sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(n, features, generator=generator, dtype=torch.double)
    x_hat = torch.randn(n, features, generator=generator, dtype=torch.double)
    loss = OptimalSigma(bounded=False).loss(x_hat, x)
    other = -Normal(x_hat, sigma).log_prob(x).sum(1).mean()
    assert loss <= other + 1e-5  # the floor of the variance, 1e-8, costs less than that


def test_sigmas_gradient_is_the_normal_likelihoods(logits_and_images):
    """At the optimum the likelihood does not change with sigma, so that sigma may be held fixed."""
    logits, x = (values.double() for values in logits_and_images)
    logits.requires_grad_()
    sigma = (logits - x).square().mean().sqrt().detach()
    expected = -Normal(logits, sigma).log_prob(x).sum() / 5
    gradients = [
        torch.autograd.grad(loss, logits)[0]
        for loss in (OptimalSigma(bounded=False).loss(logits, x), expected)
    ]
    torch.testing.assert_close(*gradients)


def test_sigma_of_a_perfect_reconstruction_is_finite():
    x = torch.zeros(3, 4, requires_grad=True)
    loss = OptimalSigma(bounded=False).loss(x, torch.zeros(3, 4))
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("name", "bounded"), COSTS)
def test_the_mean_is_a_probability_where_data_are_bounded(name, bounded):
    logits = torch.linspace(-5, 5, 24).reshape(2, 3, 2, 2)
    mean = make_cost(name, bounded).mean(logits)
    torch.testing.assert_close(mean, 1 / (1 + (-logits).exp()) if bounded else logits)


@pytest.mark.parametrize("cost", [SquaredError, OptimalSigma, Bernoulli])
def test_data_are_bounded_unless_it_is_said(cost):
    torch.testing.assert_close(cost().mean(torch.tensor([2.0])).item(), 1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(("name", "bounded"), COSTS)
def test_the_loss_is_least_where_the_mean_is_x(name, bounded):
    torch.manual_seed(0)
    x = torch.rand(4, 3) * 0.8 + 0.1
    best = x.logit() if bounded else x.clone()
    cost = make_cost(name, bounded)
    torch.testing.assert_close(cost.mean(best), x)
    for step in (-0.1, 0.1):
        assert cost.loss(best + step, x) > cost.loss(best, x)


@pytest.mark.parametrize(("name", "bounded"), COSTS)
def test_a_batch_repeated_costs_the_same(name, bounded, logits_and_images):
    logits, x = logits_and_images
    cost = make_cost(name, bounded)
    twice = cost.loss(logits.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1))
    torch.testing.assert_close(cost.loss(logits, x), twice)


def test_bce_of_unbounded_data_is_refused():
    with pytest.raises(ValueError, match=r"cost=bce.*allowed: mse, sigma"):
        make_cost("bce", bounded=False)


def test_adversarial_terms_against_the_plain_formulas():
    torch.manual_seed(0)
    prior, code = torch.randn(7, dtype=torch.double), torch.randn(7, dtype=torch.double)
    d_prior, d_code = prior.sigmoid(), code.sigmoid()
    torch.testing.assert_close(
        discriminator_loss(prior, code), -(d_prior.log().mean() + (1 - d_code).log().mean())
    )
    torch.testing.assert_close(adversarial_penalty(code), -d_code.log().mean())


def test_adversarial_terms_where_the_discriminator_is_fooled():
    fooled = torch.zeros(4)
    assert discriminator_loss(fooled, fooled).item() == pytest.approx(2 * math.log(2))
    assert adversarial_penalty(fooled).item() == pytest.approx(math.log(2))


def test_far_off_logits_keep_value_and_gradient():
    # log(sigmoid(-200)) is -inf in single precision, and its gradient nan.
    logits = torch.tensor([-200.0], requires_grad=True)
    loss = adversarial_penalty(logits)
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad.item() == pytest.approx(-1)


def test_discriminator_accuracy_counts_both_sides():
    prior, code = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([-1.0, 3.0, -2.0])
    assert discriminator_accuracy(prior, code).item() == pytest.approx(4 / 6)
    undecided = torch.zeros(4)  # which is no "from the prior" of either
    assert discriminator_accuracy(undecided, undecided).item() == 0.5
