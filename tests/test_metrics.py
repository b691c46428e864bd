"""Moments of the aggregate posterior, in parts and as a whole."""

import torch

from autoencoders.metrics.training import LatentMoments


def test_moments_over_batches_are_those_of_the_whole():
    torch.manual_seed(0)
    mean = torch.randn(50, 4) * torch.tensor([0.01, 0.05, 0.2, 2.0]) + 0.3
    z = mean + torch.randn(50, 4)
    moments = LatentMoments(4)
    for batch in (slice(0, 20), slice(20, 21), slice(21, 50)):
        moments.update(mean[batch], z[batch])
    values = moments.compute()
    torch.testing.assert_close(values["z_abs_mean"], z.mean(0).abs().mean())
    torch.testing.assert_close(values["z_std"], z.var(0, correction=0).mean().sqrt())
    assert values["active_units"] == 2  # standard deviations of 0.2 and 2, above sqrt(0.01)


def test_a_reset_forgets():
    moments = LatentMoments(2)
    moments.update(torch.full((3, 2), 100.0), torch.full((3, 2), 100.0))
    moments.reset()
    moments.update(torch.zeros(3, 2), torch.zeros(3, 2))
    assert moments.compute()["z_abs_mean"] == 0
