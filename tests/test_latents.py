"""Distances of codes from the prior, and what classifiers read off them."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.neighbors import KNeighborsClassifier

from autoencoders.divergences import mmd
from autoencoders.metrics import latents
from autoencoders.metrics.latents import (
    kl_bound,
    knn_accuracy,
    prior_distances,
    probe_accuracy,
    sliced_wasserstein,
)


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
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    codes, prior = normal(100), normal(100, seed=1) + 1
    blocks = [mmd(codes[i : i + 50], prior[i : i + 50]).item() for i in (0, 50)]
    assert prior_distances(codes, prior, 1.0)["mmd"] == pytest.approx(np.mean(blocks))


def test_the_mmd_does_not_depend_on_the_order_of_codes(monkeypatch):
    """Codes that are the prior's as a whole, sorted: each block alone is far from it."""
    monkeypatch.setattr(latents, "BLOCK", 200)
    codes, prior = normal(2000), normal(2000, seed=1)
    codes = codes[codes[:, 0].argsort()]
    assert abs(prior_distances(codes, prior, 1.0)["mmd"]) < 0.01
    assert mmd(codes[:200], prior[:200]).item() > 0.1


def test_the_kl_bound_is_the_divergence_where_the_density_is_the_codes_own():
    """And below it with any other density. In closed form for Gaussians, by torch."""
    own, prior, other = (
        torch.distributions.Independent(torch.distributions.Normal(mean, std), 1)
        for mean, std in (
            (torch.tensor([0.5, -1.0]), torch.tensor([0.3, 2.0])),
            (torch.zeros(2), torch.ones(2)),
            (torch.tensor([0.4, -0.5]), torch.tensor([0.5, 1.5])),
        )
    )
    torch.manual_seed(0)
    z = own.sample((200_000,))
    expected = torch.distributions.kl_divergence(own, prior).item()
    assert kl_bound(own.log_prob(z), prior.log_prob(z))["kl"] == pytest.approx(expected, rel=0.01)
    loss = torch.distributions.kl_divergence(own, other).item()
    found = kl_bound(other.log_prob(z), prior.log_prob(z))["kl"]
    assert found == pytest.approx(expected - loss, rel=0.02)


def test_a_bound_of_a_divergence_is_not_below_0():
    """A density that finds the codes less likely than the prior does, by much; NaN stays NaN."""
    assert kl_bound(torch.tensor([-2e7, 3.0]), torch.tensor([-1.0, -2.0])) == {"kl": 0}
    assert kl_bound(torch.tensor([-torch.inf, 3.0]), torch.zeros(2)) == {"kl": 0}
    assert kl_bound(torch.tensor([3.0, 6.0]), torch.tensor([1.0, -2.0])) == {"kl": 5}
    assert np.isnan(kl_bound(torch.tensor([torch.nan, 3.0]), torch.zeros(2))["kl"])


@pytest.mark.parametrize("unit", [1e-30, 1e18, 1e30])
def test_distances_from_the_prior_follow_the_unit(unit):
    """Also where its square is beyond single precision: the MMD has none, the others theirs."""
    codes, prior = normal(300) + 0.5, normal(300, seed=1)
    expected = prior_distances(codes, prior, 1.0)
    found = prior_distances(unit * codes, unit * prior, unit)
    assert found["mmd"] == pytest.approx(expected["mmd"], rel=1e-4)
    assert found["sliced_wasserstein"] == pytest.approx(unit * expected["sliced_wasserstein"])
    assert found["frechet"] == pytest.approx(unit**2 * expected["frechet"], rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_classifiers_read_codes_of_any_size():
    labels = torch.arange(300) % 3
    codes = 10 * torch.eye(20)[labels] + normal(300, 20)
    for unit in (1e-30, 1e18, 1e37):
        apart = (unit * codes[:200], labels[:200], unit * codes[200:], labels[200:])
        assert knn_accuracy(*apart) == {"knn_accuracy": 1.0}
        assert probe_accuracy(*apart) == {"probe_accuracy": 1.0}


@pytest.mark.filterwarnings("error")
def test_codes_that_are_all_one_have_distances_and_accuracies():
    """As far from N(0, 1) as the moments of one point are: (mean, std) = (3, 0)."""
    codes, labels = torch.full((400, 1), 3.0), torch.arange(400) % 2
    prior = normal(400, 1, seed=1)
    found, draws = prior_distances(codes, prior, 1.0), prior.double().numpy()
    expected = (3 - draws.mean()) ** 2 + draws.var(ddof=1)
    assert found["frechet"] == pytest.approx(expected, rel=1e-5)
    expected = np.sqrt(((3 - draws) ** 2).mean())
    assert found["sliced_wasserstein"] == pytest.approx(expected, rel=1e-5)
    assert found["mmd"] > 1
    known = (codes, labels, codes, labels)
    assert knn_accuracy(*known) == {"knn_accuracy": 0.5}
    assert probe_accuracy(*known) == {"probe_accuracy": 0.5}


def test_what_classifiers_read_off_codes():
    labels = torch.arange(300) % 3
    codes = 10 * torch.eye(3)[labels] + normal(300)
    apart = (codes[:200], labels[:200], codes[200:], labels[200:])
    assert knn_accuracy(*apart) == {"knn_accuracy": 1.0}
    assert probe_accuracy(*apart) == {"probe_accuracy": 1.0}
    noise = (normal(200), labels[:200], normal(100, seed=1), labels[200:])
    train, train_labels, test, test_labels = (part.numpy() for part in noise)
    expected = KNeighborsClassifier(10).fit(train, train_labels).score(test, test_labels)
    assert knn_accuracy(*noise) == {"knn_accuracy": expected}
    assert 0.15 < probe_accuracy(*noise)["probe_accuracy"] < 0.55


def test_too_few_codes_or_classes():
    with pytest.raises(ValueError, match="at least two points"):
        prior_distances(normal(1), normal(1), 1.0)
    with pytest.raises(ValueError, match="4 codes need as many draws from the prior, not 3"):
        prior_distances(normal(4), normal(3), 1.0)
    with pytest.raises(ValueError, match="points are NaN or infinite"):
        prior_distances(torch.full((4, 3), torch.inf), normal(4), 1.0)
    one_class = torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="at least two classes"):
        probe_accuracy(normal(4), one_class, normal(2), one_class[:2])
    assert knn_accuracy(normal(4), one_class, normal(2), one_class[:2]) == {"knn_accuracy": 1.0}


@pytest.mark.parametrize("metric", latents.PRIOR_METRICS)
def test_a_metric_of_codes_and_the_prior_returns_what_its_list_names(metric):
    assert list(metric.compute(normal(40), normal(40, seed=1), 1.0)) == [
        quantity.key for quantity in metric.quantities
    ]


@pytest.mark.parametrize("metric", latents.LABEL_METRICS)
def test_a_metric_of_labelled_codes_returns_what_its_list_names(metric):
    labels = torch.arange(40) % 2
    assert list(metric.compute(normal(40), labels, normal(40, seed=1), labels)) == [
        quantity.key for quantity in metric.quantities
    ]


@pytest.mark.parametrize("accuracy", [knn_accuracy, probe_accuracy])
def test_codes_without_a_label_are_left_out(accuracy):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    z = torch.randn(200, 2, generator=generator) + 3 * labels[:, None]
    some = labels.clone()
    some[::3] = -1
    known = some >= 0
    (found,) = accuracy(z[:100], some[:100], z[100:], some[100:]).values()
    (expected,) = accuracy(
        z[:100][known[:100]],
        labels[:100][known[:100]],
        z[100:][known[100:]],
        labels[100:][known[100:]],
    ).values()
    assert found == expected > 0.8
