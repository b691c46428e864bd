"""KL against torch.distributions, MMD against a loop over all pairs, distances along directions
against numerical integrals, total correlation against the exact one of a small mixture."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from scipy.special import hyp1f1
from scipy.stats import norm
from torch.distributions import Normal, kl_divergence

from autoencoders.divergences import (
    cramer_wold,
    kl_to_prior,
    mmd,
    random_directions,
    sliced_rbf,
    sliced_wasserstein,
    total_correlation,
)


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
        # The scales of Tolstikhin et al. 2018's code.
        constants = [2 * len(a) * prior_std**2 * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
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
    assert mmd(torch.zeros(2, 2), torch.zeros(2, 2)) == 0


def test_projections_are_sorted_in_full_precision():
    """Codes that half precision takes for equal; the parts of the prior in the codes' own type."""
    z = 1 + torch.linspace(0, 1e-3, 40, dtype=torch.double)[:, None].repeat(1, 2)
    directions = torch.eye(2, dtype=torch.double)
    expected = sliced_wasserstein(z, directions)
    edges = norm.ppf(np.linspace(0, 1, 41))
    density = norm.pdf(edges)
    means = 40 * (density[:-1] - density[1:])
    by_hand = ((z[:, 0].numpy() - means) ** 2).mean() + 1 - (means**2).mean()
    assert expected.item() == pytest.approx(by_hand, rel=1e-12)
    single, axes = z.float(), directions.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sliced_wasserstein(single, axes)
    assert mixed.item() == pytest.approx(by_hand, rel=1e-6)


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


# Sliced Wasserstein -------------------------------------------------------------------------------


def transport(values, prior_std):
    """W_2^2 between a sample of numbers and N(0, prior_std^2): the integral over the difference of
    the quantile functions, part by part."""
    values, n = sorted(values), len(values)
    total = 0.0
    for m, value in enumerate(values):
        parts = quad(
            lambda u, value=value: (value - norm.ppf(u, scale=prior_std)) ** 2, m / n, (m + 1) / n
        )
        total += parts[0]
    return total


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("prior_std", [1.0, 2.5])
def test_sliced_wasserstein_against_quadrature(prior_std, n):
    torch.manual_seed(0)
    x = 1 + 2 * torch.randn(n, 3, dtype=torch.double)
    directions = random_directions(4, like=x)
    expected = [transport((x @ v).tolist(), prior_std) for v in directions]
    ours = sliced_wasserstein(x, directions, prior_std).item()
    assert ours == pytest.approx(np.mean(expected), rel=1e-6)


def test_sliced_wasserstein_of_gaussian_codes():
    """Between N(m, s^2 I) and N(0, sigma^2 I) it is |m|^2 / latent_dim + (s - sigma)^2."""
    torch.manual_seed(0)
    mean = torch.tensor([1.0, -2.0, 0.5, 0.0])
    x = mean + 0.7 * torch.randn(10_000, 4)
    directions = random_directions(500, like=x)
    expected = (mean**2).sum() / 4 + (0.7 - 1.5) ** 2
    ours = sliced_wasserstein(x, directions, prior_std=1.5)
    assert ours.item() == pytest.approx(expected.item(), rel=0.05)


def test_directions_are_unit_vectors_all_round():
    torch.manual_seed(0)
    directions = random_directions(20_000, like=torch.zeros(1, 3, dtype=torch.double))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(20_000).double())
    assert directions.mean(0).abs().max() < 0.02
    second = directions.T @ directions / 20_000
    torch.testing.assert_close(second, torch.eye(3).double() / 3, atol=0.01, rtol=0)


# Cramer-Wold --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "error"), [(1, 0.0), (2, 0.0), (3, 0.0922), (8, 0.0221), (20, 0.0077)]
)
def test_the_gaussian_kernel_of_projections_against_kummers_function(dim, error):
    s = torch.cat([torch.zeros(1), torch.logspace(-3, 2, 500)]).double()
    difference = np.abs(sliced_rbf(s, dim).numpy() - hyp1f1(0.5, dim / 2, -s.numpy()))
    assert difference.max() == pytest.approx(error, abs=2e-4)


def along_direction(values):
    """The L2 distance, squared, of a sample's density on a line and the standard normal's, both
    smoothed: by its definition, on a grid."""
    width = (4 / (3 * len(values))) ** 0.4
    t = np.linspace(-15, 15, 2001)
    sample = norm.pdf(t[:, None], values, width**0.5).mean(1)
    prior = norm.pdf(t, 0, (1 + width) ** 0.5)
    return ((sample - prior) ** 2).sum() * (t[1] - t[0])


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("prior_std", [1.0, 2.5])
def test_cramer_wold_is_the_integral_over_directions(prior_std, dim):
    x = np.random.default_rng(0).normal(1, 1.5, (6, dim))
    angles = np.arange(60) * np.pi / 60
    around = np.stack([np.cos(angles), np.sin(angles)]) if dim == 2 else np.ones((1, 1))
    expected = np.mean([along_direction(x @ v / prior_std) for v in around.T])
    assert cramer_wold(torch.from_numpy(x), prior_std).item() == pytest.approx(expected, rel=1e-5)


def exact_cramer_wold(x):
    """The closed form with Kummer's function in it."""
    n, dim = x.shape
    width = (4 / (3 * n)) ** 0.4
    pairs = hyp1f1(0.5, dim / 2, -cdist(x, x, "sqeuclidean") / (4 * width)).mean() / width**0.5
    cross = hyp1f1(0.5, dim / 2, -(x**2).sum(1) / (2 + 4 * width)).mean() / (width + 0.5) ** 0.5
    return (pairs + (1 + width) ** -0.5 - 2 * cross) / (2 * np.pi**0.5)


@pytest.mark.parametrize(("dim", "excess"), [(8, 0.02), (32, 0.004)])
def test_cramer_wold_in_more_dimensions(dim, excess):
    """Within the error of its approximation, and least where the codes are the prior's."""
    torch.manual_seed(0)
    draws = torch.randn(200, dim, dtype=torch.double)
    values = []
    for scale in (0.7, 1.0, 1.4):
        exact = exact_cramer_wold((scale * draws).numpy())
        values.append(cramer_wold(scale * draws).item())
        assert exact < values[-1] < exact + excess
    assert values[1] == min(values)


# Total correlation --------------------------------------------------------------------------------

MEAN = torch.tensor([[-1.0, -1.2], [0.3, 0.1], [1.5, 1.0]], dtype=torch.double)
LOG_VAR = torch.tensor([[-1.0, -0.5], [0.0, -1.5], [-0.7, 0.2]], dtype=torch.double)


def mixtures_total_correlation():
    """KL(Q_z || the product of its marginals) of the mixture of three Gaussians, on a grid."""
    t = np.linspace(-8, 8, 801)
    stds = (LOG_VAR / 2).exp().numpy()
    densities = [norm.pdf(t[:, None], MEAN[:, d].numpy(), stds[:, d]) for d in (0, 1)]
    joint = np.einsum("ak,bk->ab", *densities) / 3
    product = np.outer(*(density.mean(1) for density in densities))
    return (joint * np.log(joint / product)).sum() * (t[1] - t[0]) ** 2


def test_total_correlation_of_a_data_set_that_is_the_batch():
    torch.manual_seed(0)
    mean, log_var = MEAN.repeat(300, 1), LOG_VAR.repeat(300, 1)  # the same mixture
    estimates = []
    for _ in range(8):
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        estimates.append(total_correlation(z, mean, log_var).item())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(mixtures_total_correlation(), abs=4 * error)
    assert error < 0.01 < mixtures_total_correlation()


def test_total_correlation_against_a_loop():
    torch.manual_seed(0)
    z = torch.randn(3, 2, dtype=torch.double)

    def density(value, i, d):
        return norm.pdf(value, MEAN[i, d].item(), math.exp(LOG_VAR[i, d].item() / 2))

    terms = []
    for a, b in z.tolist():
        joint = sum(density(a, i, 0) * density(b, i, 1) for i in range(3)) / 3
        marginals = [sum(density(v, i, d) for i in range(3)) / 3 for d, v in enumerate((a, b))]
        terms.append(math.log(joint / math.prod(marginals)))
    ours = total_correlation(z, MEAN, LOG_VAR).item()
    assert ours == pytest.approx(np.mean(terms))


def test_total_correlation_of_gaussian_codes():
    """Of N(0, S) with correlation r it is -log(1 - r^2) / 2."""
    torch.manual_seed(0)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.double)
    root = torch.linalg.cholesky(covariance - 0.15 * torch.eye(2))
    mean = torch.randn(1500, 2, dtype=torch.double) @ root.T
    log_var = torch.full_like(mean, math.log(0.15))
    z = mean + 0.15**0.5 * torch.randn_like(mean)
    expected = -math.log(1 - 0.8**2) / 2
    assert total_correlation(z, mean, log_var).item() == pytest.approx(expected, abs=0.05)


def test_one_posterior_has_no_total_correlation():
    z, mean, log_var = torch.randn(3, 1, 4)
    assert total_correlation(z, mean, log_var).item() == pytest.approx(0, abs=1e-5)


# All ----------------------------------------------------------------------------------------------

OF_CODES = {
    "sliced_wasserstein": lambda z: sliced_wasserstein(z, torch.eye(3).to(z), 1.5),
    "cramer_wold": cramer_wold,
    "total_correlation": lambda z: total_correlation(z, 0.5 * z, 0.1 * z.flip(0)),
    "mmd": lambda z: mmd(z, torch.ones_like(z).cumsum(0)),
}


@pytest.mark.parametrize("name", OF_CODES)
def test_gradients_of_codes(name):
    torch.manual_seed(0)
    z = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(OF_CODES[name], z)


@pytest.mark.parametrize("name", OF_CODES)
def test_mixed_precision_rounds_no_divergence(name):
    torch.manual_seed(0)
    z = torch.randn(50, 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = OF_CODES[name](z)
    assert torch.equal(mixed, OF_CODES[name](z))
