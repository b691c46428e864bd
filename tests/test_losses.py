"""Costs and adversarial terms against torch.distributions and plain formulas."""

import math

import pytest
import torch
from torch.distributions import Bernoulli

from autoencoders.losses import (
    adversarial_penalty,
    discriminator_accuracy,
    discriminator_loss,
    reconstruction_cost,
)


@pytest.fixture
def logits_and_images():
    torch.manual_seed(0)
    return 3 * torch.randn(5, 2, 4, 4), torch.rand(5, 2, 4, 4)


def test_bce_is_the_bernoulli_likelihood(logits_and_images):
    logits, x = logits_and_images
    binary = x.round()
    expected = -Bernoulli(logits=logits).log_prob(binary).sum((1, 2, 3)).mean()
    torch.testing.assert_close(reconstruction_cost("bce", logits, binary), expected)


def test_bce_of_grey_pixels(logits_and_images):
    logits, x = logits_and_images
    p = logits.double().sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3)).mean()
    torch.testing.assert_close(reconstruction_cost("bce", logits, x), expected.float())


def test_mse_is_summed_over_pixels_and_averaged_over_images(logits_and_images):
    logits, x = logits_and_images
    expected = ((logits.sigmoid() - x) ** 2).sum((1, 2, 3)).mean()
    torch.testing.assert_close(reconstruction_cost("mse", logits, x), expected)


@pytest.mark.parametrize("cost", ["bce", "mse"])
def test_a_batch_repeated_costs_the_same(cost, logits_and_images):
    logits, x = logits_and_images
    once = reconstruction_cost(cost, logits, x)
    twice = reconstruction_cost(cost, logits.repeat(2, 1, 1, 1), x.repeat(2, 1, 1, 1))
    torch.testing.assert_close(once, twice)


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
