"""The Gaussian mixture against scikit-learn's and scipy's."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch.utils._python_dispatch import TorchDispatchMode

from autoencoders.distributions import NormalPrior
from autoencoders.samplers import Mixture, mixture

PRIOR = NormalPrior(2, 1.0)


def two_clusters(n=1000):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=generator) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]])
    x[: n // 4] += torch.tensor([6.0, -2.0])
    return x


class Truth:
    """Three Gaussians of known density, wide apart, in units that are far from 1."""

    weights = np.array([0.5, 0.3, 0.2])
    means = 1e3 * np.array([[0.0, 0.0], [8.0, 1.0], [-3.0, 9.0]])
    covariances = 1e6 * np.array([[[1, 0.8], [0.8, 1]], [[0.3, 0], [0, 2]], [[1, 0], [0, 1]]])

    @classmethod
    def draw(cls, n):
        rng = np.random.default_rng(0)
        normals = zip(cls.means, cls.covariances, rng.multinomial(n, cls.weights), strict=True)
        points = [rng.multivariate_normal(mean, cov, count) for mean, cov, count in normals]
        return torch.from_numpy(np.concatenate(points)).float()


def log_density(z, weights, means, covariances):
    normals = zip(means, covariances, strict=True)
    parts = np.stack([multivariate_normal(m, c).logpdf(z) for m, c in normals], 1)
    return logsumexp(parts, axis=1, b=weights)


def test_the_fit_is_scikit_learns():
    z = two_clusters()
    fitted = Mixture(components=2).fit(z, PRIOR, seed=3)
    reference = GaussianMixture(2, random_state=3).fit(z.double().numpy())
    ours, theirs = fitted.weights.argsort(), reference.weights_.argsort()
    np.testing.assert_allclose(fitted.weights[ours], reference.weights_[theirs], atol=1e-3)
    np.testing.assert_allclose(fitted.means[ours], reference.means_[theirs], atol=0.01)
    np.testing.assert_allclose(fitted.covariances[ours], reference.covariances_[theirs], atol=0.01)


def test_many_components_are_as_likely_as_scikit_learns_on_codes_held_out():
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(12, 5, generator=generator)
    mixing = 0.5 * torch.eye(5) + 0.1 * torch.randn(12, 5, 5, generator=generator)
    kind = torch.randint(12, (6000,), generator=generator)
    noise = torch.randn(6000, 5, 1, generator=generator)
    z = centres[kind] + (mixing[kind] @ noise).squeeze(2)
    fitted = Mixture(components=12).fit(z[:5000])
    reference = GaussianMixture(12, random_state=0).fit(z[:5000].double().numpy())
    ours = fitted.log_prob(z[5000:]).mean().item()
    assert ours > reference.score(z[5000:].double().numpy()) - 0.05


def test_draws_are_as_likely_as_scikit_learns():
    reference = GaussianMixture(2, random_state=0).fit(two_clusters().double().numpy())
    fitted = Mixture(components=2).fit(two_clusters(), PRIOR, seed=0)
    draws = fitted.draw(20_000, torch.Generator().manual_seed(1)).double().numpy()
    theirs, _ = reference.sample(20_000)
    assert abs(reference.score(draws) - reference.score(theirs)) < 0.03
    np.testing.assert_allclose(draws.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(theirs.T), atol=0.2)


def test_the_number_of_components_is_chosen():
    """And codes held out from the fit are then as likely as under the true density."""
    codes = Truth.draw(6000)[torch.randperm(6000, generator=torch.Generator().manual_seed(0))]
    fitted = Mixture().fit(codes[:5000])
    assert len(fitted.weights) == 3
    truth = log_density(codes[5000:], Truth.weights, Truth.means, Truth.covariances).mean()
    assert fitted.log_prob(codes[5000:]).mean().item() == pytest.approx(truth, abs=0.02)


def test_components_are_added_until_the_likelihood_falls(monkeypatch):
    tried = []
    fit = mixture.expectation_maximisation

    def recorded(x, components, seed):
        tried.append((components, len(x)))
        return fit(x, components, seed)

    monkeypatch.setattr(mixture, "expectation_maximisation", recorded)
    Mixture().fit(Truth.draw(3000))
    assert tried[-1][0] < 100  # far above three
    assert [k for k, _ in tried[1:]] == list(mixture.CHOICES[: len(tried) - 1])
    assert {n for _, n in tried} == {2700}
    tried.clear()
    Mixture(components=10).fit(Truth.draw(3000))
    assert tried == [(10, 3000)]


def test_the_density_is_that_of_the_file(tmp_path):
    fitted = Mixture(components=4).fit(two_clusters())
    fitted.save(tmp_path / "mixture.safetensors")
    z = 3 * torch.randn(700, 2, generator=torch.Generator().manual_seed(1))
    expected = log_density(z, **load_file(tmp_path / "mixture.safetensors"))
    np.testing.assert_allclose(fitted.log_prob(z), expected, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 6, 30])
def test_few_codes(n):
    assert len(Mixture(components=10).fit(two_clusters(n), PRIOR).weights) == min(n, 10)
    assert Mixture().fit(two_clusters(n)).draw(4).isfinite().all()


@pytest.mark.parametrize("components", [None, 3])
def test_a_dimension_without_spread_keeps_its_value(components):
    z = two_clusters()
    z[:, 1] = 5
    fitted = Mixture(components=components).fit(z)
    assert fitted.draw(9)[:, 1].tolist() == [5] * 9
    assert fitted.log_prob(z).isfinite().all()
    assert fitted.draw(5000)[:, 0].std() == pytest.approx(z[:, 0].std().item(), rel=0.1)
    assert Mixture(components=components).fit(torch.full((50, 2), 7.0)).draw(3).eq(7).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_codes_that_are_not_finite(value):
    z = two_clusters()
    z[3, 1] = value
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        Mixture(components=3).fit(z)


def test_the_order_of_blocks_leaves_the_fit_as_likely(monkeypatch):
    """Updates after each block lead to where updates after all codes do."""
    z = Truth.draw(3000)
    whole = Mixture(components=3).fit(z).log_prob(z).mean().item()
    monkeypatch.setattr(mixture, "BLOCK", 100)
    assert Mixture(components=3).fit(z).log_prob(z).mean().item() == pytest.approx(whole, abs=1e-3)


def test_large_codes_are_taken_in_parts(monkeypatch):
    """With the same fit and draws, and no tensor larger than the codes: all products of two of a
    code's 20 coordinates would be ten times as many numbers."""
    z = torch.randn(3000, 20, generator=torch.Generator().manual_seed(0))
    whole = Mixture(components=6).fit(z)
    monkeypatch.setattr(mixture, "NUMBERS", 10_000)
    largest = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest.append(result.numel())
            return result

    with Sizes():
        parts = Mixture(components=6).fit(z)
        draws = parts.draw(3000, torch.Generator().manual_seed(1))
    assert max(largest) == z.numel()
    torch.testing.assert_close(parts.covariances, whole.covariances)
    torch.testing.assert_close(draws, whole.draw(3000, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("components", [0, -1, 2.5])
def test_components_below_one(components):
    with pytest.raises(ValueError, match="components"):
        Mixture(components=components)
