"""Sample quality against scipy, torchmetrics and brute force."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from autoencoders.data import Examples
from autoencoders.metrics import distances
from autoencoders.metrics.base import Quantity
from autoencoders.metrics.distances import (
    entropy,
    frechet_distance,
    kernel_distance,
    nearest,
    overlap,
)
from autoencoders.metrics.samples import METRICS, ExampleSets, Sample, frechet


@pytest.fixture
def two_sets():
    """Features of 60 and 50 points that overlap in part, (60, 5) and (50, 5)."""
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    other = 0.5 + 0.8 * torch.randn(50, 5, generator=generator, dtype=torch.float64)
    return real, other


class AsFeatures(nn.Module):
    """Stands in for an extractor where the features are given."""

    num_features = 5

    def forward(self, x):
        return x


def test_frechet_distance_against_scipy(two_sets):
    real, other = (x.numpy() for x in two_sets)
    cov, other_cov = np.cov(real.T), np.cov(other.T)
    root = scipy.linalg.sqrtm(cov @ other_cov).real
    difference = real.mean(0) - other.mean(0)
    expected = difference @ difference + np.trace(cov + other_cov - 2 * root)
    assert frechet_distance(*two_sets) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_against_torchmetrics(two_sets):
    reference = FrechetInceptionDistance(feature=AsFeatures())
    reference.update(two_sets[0], real=True)
    reference.update(two_sets[1], real=False)
    assert frechet_distance(*two_sets) == pytest.approx(reference.compute().item(), rel=1e-5)


def test_kernel_distance_against_torchmetrics(two_sets):
    real, other = two_sets[0][:50], two_sets[1]
    reference = KernelInceptionDistance(feature=AsFeatures(), subsets=1, subset_size=50)
    reference.update(real, real=True)
    reference.update(other, real=False)
    assert kernel_distance(real, other) == pytest.approx(reference.compute()[0].item(), rel=1e-5)


def test_kernel_distance_against_brute_force(two_sets, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 7)
    x, y = (points.tolist() for points in two_sets)

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / 5 + 1) ** 3

    def mean(a, b):
        pairs = [
            kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if a is not b or i != j
        ]
        return sum(pairs) / len(pairs)

    expected = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert kernel_distance(*two_sets) == pytest.approx(expected, rel=1e-9)


def test_overlap_against_brute_force(two_sets, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 7)
    real, other = (x.numpy() for x in two_sets)
    k = 3

    def radius(points, i):
        return sorted(np.linalg.norm(points - points[i], axis=1))[k]

    def inside(point, points):
        return [np.linalg.norm(point - p) <= radius(points, i) for i, p in enumerate(points)]

    found = overlap(*two_sets, neighbours=k)
    in_real = np.array([inside(y, real) for y in other])
    assert found.precision == pytest.approx(in_real.any(1).mean())
    assert found.recall == pytest.approx(np.mean([any(inside(x, other)) for x in real]))
    assert found.density == pytest.approx(in_real.sum() / (k * len(other)))
    assert found.coverage == pytest.approx(in_real.any(0).mean())
    assert 0 < found.precision < 1
    assert 0 < found.recall < 1


def test_identical_sets_score_as_identical(two_sets):
    real = two_sets[0]
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(real, real) < 1e-12
    found = overlap(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_a_set_shifted_further_scores_worse(two_sets):
    real = two_sets[0]
    shifted = [real + shift for shift in (0.0, 0.5, 1.0, 2.0)]
    for distance in (frechet_distance, kernel_distance):
        values = [distance(real, other) for other in shifted]
        assert values == sorted(values)
        assert len(set(values)) == 4
    precisions = [overlap(real, other).precision for other in shifted]
    assert precisions == sorted(precisions, reverse=True)
    assert precisions[0] > precisions[-1]


def test_a_missing_mode_costs_recall_and_coverage_and_not_precision():
    generator = torch.Generator().manual_seed(0)
    modes = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    real = torch.cat([modes[:100], modes[100:] + 50])
    found = overlap(real, torch.cat([modes[:100] + 0.01, modes[:100] - 0.01]))
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_overlap_of_too_few_points(two_sets):
    with pytest.raises(ValueError, match="more than 5 points"):
        overlap(two_sets[0], two_sets[1][:5])


def test_a_distance_needs_two_points(two_sets):
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match="at least two points"):
            distance(two_sets[0], two_sets[1][:1])


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_features_that_are_no_numbers_have_no_distance(two_sets, value):
    two_sets[1][3, 2] = value
    for measure in (frechet_distance, kernel_distance, overlap):
        with pytest.raises(ValueError, match="points are NaN or infinite"):
            measure(*two_sets)


def test_features_too_large_for_a_product_of_covariances(two_sets):
    with pytest.raises(ValueError, match="whose covariances can be multiplied"):
        frechet_distance(*(1e100 * points for points in two_sets))


def test_overlap_does_not_depend_on_the_origin_or_the_unit(two_sets):
    expected = overlap(*two_sets)
    assert overlap(*(points + 1e8 for points in two_sets)) == pytest.approx(expected)
    assert overlap(*(1e18 * points for points in two_sets)) == pytest.approx(expected)


def test_overlap_of_sets_with_many_equal_points():
    """Such as rows of a table of few values: balls without width hold the points at their centre.
    And one point far out leaves those of the others."""
    generator = torch.Generator().manual_seed(0)
    places = 10 + torch.randn(20, 96, generator=generator, dtype=torch.float64)
    real = places[torch.arange(400) % 20]
    generated = places[torch.arange(300) % 12]
    generated[7] = 1e12
    found = overlap(real, generated)
    assert found.precision == pytest.approx(299 / 300)
    assert found.recall == pytest.approx(12 / 20)
    assert found.density == pytest.approx(299 / 300 * 20 / 5)  # all twenty at a place
    assert found.coverage == pytest.approx(12 / 20)


@pytest.mark.parametrize("metric", [*METRICS, frechet(Quantity("fd", "FD", "lower"))])
def test_a_metric_returns_what_its_list_names(metric, two_sets):
    real, generated = (Sample(points.float(), points, points.softmax(1)) for points in two_sets)
    found = metric.compute(ExampleSets(generated, real, two_sets[0].float(), 3))
    assert list(found) == [quantity.key for quantity in metric.quantities]


def test_the_list_of_metrics_does_not_take_generated_for_real(two_sets):
    real, generated = (Sample(points.float(), points) for points in two_sets)
    found = {}
    for metric in METRICS:
        found |= metric.compute(ExampleSets(generated, real, two_sets[0].float(), 3))
    expected = overlap(*two_sets, neighbours=3)._asdict()
    assert expected["precision"] != expected["recall"]
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("block", [3, 1000])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_nearest_against_brute_force(block, dtype, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", block)
    monkeypatch.setattr(distances, "NUMBERS", 160 * block)
    generator = torch.Generator().manual_seed(0)
    images, others = (
        torch.randint(256, (n, 1, 4, 4), generator=generator).to(dtype) for n in (8, 70)
    )
    images[5] = others[7]  # a memorised one
    least, indices = nearest(images, others)
    differences = images.double()[:, None] - others.double()[None]
    differences /= 255 if dtype == torch.uint8 else 1
    expected = (differences**2).mean((2, 3, 4)).sqrt()
    torch.testing.assert_close(least.double(), expected.min(1).values, rtol=1e-5, atol=1e-6)
    assert torch.equal(indices, expected.argmin(1))
    assert (least[5], indices[5]) == (0, 7)


def test_nearest_of_values_far_from_the_origin():
    """Such as counts: their squares are a million times their differences'."""
    train = 5000 + torch.randn(3000, 20, generator=torch.Generator().manual_seed(0))
    copied = torch.arange(0, 3000, 100)
    distances, indices = nearest(train[copied], train)
    assert torch.equal(indices, copied)
    assert distances.max() == 0


def test_the_nearest_among_rows_of_a_store(monkeypatch):
    """Read block by block, never as a whole."""
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(256, (300, 1, 4, 4), generator=generator, dtype=torch.uint8)
    rows = torch.randperm(300, generator=generator)[:200]
    examples = Examples(stored, rows=rows)
    monkeypatch.setattr(distances, "NUMBERS", 16 * 30)
    monkeypatch.setattr(Examples, "values", property(lambda self: pytest.fail("copied")))
    found = nearest(stored[:50], examples.blockwise)
    expected = nearest(stored[:50], stored[rows])
    assert all(map(torch.equal, found, expected))


def test_one_example_far_out_leaves_the_others_their_nearest():
    train = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    generated = torch.cat([train[:20], torch.full((2, 5), 1e18), torch.full((1, 5), 1e30)])
    distances, indices = nearest(generated, train)
    assert torch.equal(indices[:20], torch.arange(20))
    assert distances[:20].max() == 0
    assert distances[20:].tolist() == pytest.approx([1e18, 1e18, 1e30], rel=1e-6)


def test_nearest_holds_a_block_at_once(monkeypatch):
    """However many examples there are, no tensor is larger than a block of training examples."""
    monkeypatch.setattr(distances, "BLOCK", 5)
    monkeypatch.setattr(distances, "NUMBERS", 800)
    largest = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
                largest.append(result.numel())
            return result

    others = torch.randint(256, (3000, 1, 4, 4), dtype=torch.uint8)
    with Sizes():
        nearest(others[:7], others)
    assert max(largest) == 800  # not 3000 * 16


def test_entropy_of_a_histogram():
    assert entropy(torch.full((10,), 0.1)) == pytest.approx(np.log(10))
    assert entropy(torch.tensor([1.0, 0.0])) == 0
