"""The Gaussian mixture against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from autoencoders.distributions import NormalPrior
from autoencoders.samplers import Mixture
from autoencoders.samplers.mixture import MOST

PRIOR = NormalPrior(2, 1.0)


def two_clusters(n=1000):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=generator) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]])
    x[: n // 4] += torch.tensor([6.0, -2.0])
    return x


def assert_same_mixture(mixture, reference):
    np.testing.assert_allclose(mixture.weights, reference.weights_)
    np.testing.assert_allclose(mixture.means, reference.means_)
    np.testing.assert_allclose(mixture.covariances, reference.covariances_)


def test_the_fit_is_scikit_learns():
    z = two_clusters()
    mixture = Mixture(components=2).fit(z, PRIOR, seed=3)
    reference = GaussianMixture(2, random_state=3).fit(z.double().numpy())
    assert_same_mixture(mixture, reference)


def test_draws_are_as_likely_as_scikit_learns():
    reference = GaussianMixture(2, random_state=0).fit(two_clusters().double().numpy())
    mixture = Mixture(components=2).fit(two_clusters(), PRIOR, seed=0)
    draws = mixture.draw(20_000, torch.Generator().manual_seed(1)).double().numpy()
    theirs, _ = reference.sample(20_000)
    assert abs(reference.score(draws) - reference.score(theirs)) < 0.03
    np.testing.assert_allclose(draws.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(theirs.T), atol=0.2)


def test_fewer_codes_than_components():
    assert len(Mixture(components=10).fit(two_clusters(6), PRIOR).weights) == 6


def test_only_so_many_codes_are_fitted(monkeypatch):
    sizes = []
    fit = GaussianMixture.fit

    def count(self, points):
        sizes.append(len(points))
        return fit(self, points)

    monkeypatch.setattr(GaussianMixture, "fit", count)
    z = torch.randn(MOST + 500, 1, generator=torch.Generator().manual_seed(0))
    Mixture(components=1).fit(z, NormalPrior(1, 1.0))
    assert sizes == [MOST]


@pytest.mark.parametrize("components", [0, -1, 2.5])
def test_components_below_one(components):
    with pytest.raises(ValueError, match="components"):
        Mixture(components=components)
