"""The mixture sampler against scikit-learn, and samplers as `sample` takes them."""

import numpy as np
import torch
from sklearn.mixture import GaussianMixture

from autoencoders.models import AE
from autoencoders.samplers import Mixture


def two_clusters(n=1000):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=generator) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]])
    x[: n // 4] += torch.tensor([6.0, -2.0])
    return x


def test_the_fit_is_scikit_learns():
    codes = two_clusters()
    mixture = Mixture.fit(codes, components=2, seed=3)
    reference = GaussianMixture(2, random_state=3).fit(codes.double().numpy())
    np.testing.assert_allclose(mixture.weights, reference.weights_)
    np.testing.assert_allclose(mixture.means, reference.means_)
    np.testing.assert_allclose(mixture.covariances, reference.covariances_)


def test_draws_are_as_likely_as_scikit_learns():
    reference = GaussianMixture(2, random_state=0).fit(two_clusters().double().numpy())
    mixture = Mixture.fit(two_clusters(), components=2, seed=0)
    draws = mixture.draw(20_000, torch.Generator().manual_seed(1)).double().numpy()
    theirs, _ = reference.sample(20_000)
    assert abs(reference.score(draws) - reference.score(theirs)) < 0.03
    np.testing.assert_allclose(draws.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(theirs.T), atol=0.2)


def test_draws_repeat_for_a_seed():
    mixture = Mixture.fit(two_clusters(), components=2)
    first, again, other = (mixture.draw(9, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_mixture_survives_its_file(tmp_path):
    mixture = Mixture.fit(two_clusters(), components=2)
    mixture.save(tmp_path / "mixture.safetensors")
    again = Mixture.load(tmp_path / "mixture.safetensors")
    draws = [m.draw(5, torch.Generator().manual_seed(0)) for m in (mixture, again)]
    assert torch.equal(*draws)


def test_fewer_codes_than_components():
    assert len(Mixture.fit(two_clusters(6), components=10).weights) == 6


def test_sample_decodes_what_a_sampler_draws():
    class Zeros:
        def draw(self, n, generator=None):
            return torch.zeros(n, 3)

    model = AE(latent_dim=3, hidden_dim=2).eval()
    x = model.sample(4, sampler=Zeros())
    assert torch.equal(x, model.decode(torch.zeros(4, 3)))
