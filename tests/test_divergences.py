"""KL against torch.distributions, MMD against a loop over all pairs."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from autoencoders.divergences import KERNEL_SCALES, kl_to_prior, mmd


@pytest.mark.parametrize("prior_std", [0.5, 1.0, 3.0])
def test_kl_and_its_gradients_against_torch_distributions(prior_std):
    torch.manual_seed(0)
    mean = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    log_var = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    ours = kl_to_prior(mean, log_var, prior_std)
    posterior = Normal(mean, (log_var / 2).exp())
    theirs = kl_divergence(posterior, Normal(0.0, prior_std)).sum(1).mean()
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(
        torch.autograd.grad(ours, (mean, log_var)),
        torch.autograd.grad(theirs, (mean, log_var)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_kl_is_zero_only_at_the_prior():
    zeros = torch.zeros(2, 3)
    assert kl_to_prior(zeros, zeros + math.log(4), prior_std=2.0).item() == pytest.approx(0)
    assert kl_to_prior(zeros + 0.1, zeros + math.log(4), prior_std=2.0) > 0


def brute_force_mmd(x, y, prior_std, kernel):
    """The U-statistic of Gretton et al. 2012, equation 3, pair by pair."""

    def k(a, b):
        squared = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
        constants = [2 * len(a) * prior_std**2 * s for s in KERNEL_SCALES]
        if kernel == "imq":
            return sum(c / (c + squared) for c in constants)
        return sum(math.exp(-squared / c) for c in constants)

    def within(points):
        n = len(points)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        return sum(k(points[i], points[j]) for i, j in pairs) / (n * (n - 1))

    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
@pytest.mark.parametrize("prior_std", [1.0, 2.5])
def test_mmd_against_brute_force(kernel, prior_std):
    torch.manual_seed(0)
    x, y = torch.randn(5, 3, dtype=torch.double), 1 + torch.randn(7, 3, dtype=torch.double)
    expected = brute_force_mmd(x.tolist(), y.tolist(), prior_std, kernel)
    assert mmd(x, y, prior_std, kernel).item() == pytest.approx(expected)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_mmd_has_mean_zero_where_both_samples_are_of_one_distribution(kernel):
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 2, 20, 4, generator=generator)
    estimates = torch.stack([mmd(x, y, kernel=kernel) for x, y in draws])
    standard_error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean()) < 3 * standard_error
    assert estimates.min() < 0  # unbiased, so not clipped


def test_mmd_grows_with_the_shift():
    torch.manual_seed(0)
    x, y = torch.randn(200, 4), torch.randn(200, 4)
    values = [mmd(x, y + shift).item() for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_mmds_gradient(kernel):
    torch.manual_seed(0)
    x = torch.randn(4, 2, dtype=torch.double, requires_grad=True)
    y = torch.randn(4, 2, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: mmd(x, y, kernel=kernel), x)


def test_mmds_gradient_is_finite_where_codes_coincide():
    x = torch.ones(3, 2, requires_grad=True)
    mmd(x, torch.zeros(3, 2)).backward()
    assert x.grad.isfinite().all()


def test_mmd_needs_pairs():
    with pytest.raises(ValueError, match="at least two points in each sample, got 1 and 5"):
        mmd(torch.zeros(1, 2), torch.zeros(5, 2))


@pytest.mark.parametrize("shares", [1, 2, 4])
def test_processes_that_share_a_batch_estimate_the_same_mmd(shares):
    """Under DDP each process estimates MMD^2 on its share of the batch, and the gradients are
    averaged: the mean of the shares' estimates has the expectation of the whole batch's."""
    d, n, repeats, shift = 3, 32, 600, 0.7
    generator = torch.Generator().manual_seed(shares)
    estimates = []
    for _ in range(repeats):
        x = shift + torch.randn(n, d, generator=generator)
        y = torch.randn(n, d, generator=generator)
        parts = zip(x.chunk(shares), y.chunk(shares), strict=True)
        estimates.append(
            torch.stack([mmd(a, b, kernel="rbf", scales=(1.0,)) for a, b in parts]).mean()
        )
    found = torch.stack(estimates)
    # Differences of two draws are Gaussian with variance 2, and the kernel exp(-|u|^2 / 2d) too.
    width = 2 * d
    near = (1 + 4 / width) ** (-d / 2)
    expected = 2 * near * (1 - math.exp(-d * shift**2 / (width + 4)))
    error = found.std() / repeats**0.5
    assert abs(found.mean() - expected) < 4 * error
