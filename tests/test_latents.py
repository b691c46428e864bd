"""Distances of codes from the prior, and what classifiers read off them."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.neighbors import KNeighborsClassifier

from autoencoders.divergences import mmd
from autoencoders.metrics import latents
from autoencoders.metrics.latents import prior_distances, readability, sliced_wasserstein


def normal(n, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_sliced_wasserstein_in_one_dimension_against_scipys_quantiles():
    x, y = normal(500, 1), 2 + 3 * normal(500, 1, seed=1)
    # The squared distance of order 2 is the mean squared difference of quantiles.
    expected = np.sqrt(np.mean((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2))
    assert sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-5)
    # and bounds that of order 1 from above.
    assert sliced_wasserstein(x, y) >= scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])


def test_sliced_wasserstein_of_a_shift_is_the_shift_over_root_d():
    x, shift = normal(400, 6), torch.tensor([3.0, 0, 0, 0, 0, 4.0])
    # A random direction sees |shift|^2 / d of the squared shift on average.
    expected = 5 / np.sqrt(6)
    assert sliced_wasserstein(x, x + shift, projections=20_000) == pytest.approx(expected, rel=0.02)
    assert sliced_wasserstein(x, x) == 0


def test_prior_distances_order_codes_by_how_far_they_are(monkeypatch):
    prior = normal(600, seed=1)
    near, shifted, shrunk = (
        prior_distances(codes, prior, 1.0)
        for codes in (normal(600), normal(600) + 0.5, 0.5 * normal(600))
    )
    for name in ("mmd", "sliced_wasserstein", "frechet"):
        assert near[name] < shifted[name]
        assert near[name] < shrunk[name]
    assert abs(near["mmd"]) < 0.02


def test_the_blocked_mmd_is_the_mean_over_blocks(monkeypatch):
    monkeypatch.setattr(latents, "BLOCK", 50)
    codes, prior = normal(100), normal(100, seed=1) + 1
    blocks = [mmd(codes[i : i + 50], prior[i : i + 50]).item() for i in (0, 50)]
    assert prior_distances(codes, prior, 1.0)["mmd"] == pytest.approx(np.mean(blocks))


def test_readability_of_codes():
    labels = torch.arange(300) % 3
    centres = 10 * torch.eye(3)
    codes = centres[labels] + normal(300)
    found = readability(codes[:200], labels[:200], codes[200:], labels[200:])
    assert found == {"knn_accuracy": 1.0, "probe_accuracy": 1.0}
    noise = readability(normal(200), labels[:200], normal(100, seed=1), labels[200:])
    reference = KNeighborsClassifier(10).fit(normal(200).numpy(), labels[:200].numpy())
    expected = reference.score(normal(100, seed=1).numpy(), labels[200:].numpy())
    assert noise["knn_accuracy"] == expected
    assert 0.15 < noise["probe_accuracy"] < 0.55
