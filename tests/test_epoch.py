"""Sums over an epoch: in batches and as a whole."""

import numpy as np
import pytest
import torch
from torch import tensor

from autoencoders.metrics.epoch import LatentMoments, MeanLosses


def test_losses_are_averaged_over_images_not_batches():
    losses = MeanLosses()
    losses.update({"loss": tensor(1.0), "kl": tensor(10.0)}, 30)
    losses.update({"loss": tensor(5.0), "kl": tensor(20.0)}, 10)
    assert losses.compute() == {"loss": tensor(2.0), "kl": tensor(12.5)}
    assert losses.so_far() == losses.compute()


def test_there_are_no_losses_before_the_first_batch_and_after_a_reset():
    losses = MeanLosses()
    assert losses.so_far() == {}
    losses.update({"loss": tensor(1.0)}, 4)
    losses.reset()
    assert losses.so_far() == {}
    losses.update({"mse": tensor(3.0), "bce": tensor(4.0)}, 2)
    assert losses.compute() == {"mse": tensor(3.0), "bce": tensor(4.0)}


def test_losses_keep_no_graph():
    losses = MeanLosses()
    losses.update({"loss": torch.ones((), requires_grad=True)}, 4)
    assert not losses.compute()["loss"].requires_grad


def test_processes_add_up():
    torch.manual_seed(0)
    z = torch.randn(2, 10, 3)
    shares = []
    for rank in range(2):
        losses, moments = MeanLosses(), LatentMoments(3)
        losses.update({"loss": z[rank].mean()}, 10)
        moments.update(z[rank], z[rank])
        shares.append((losses, moments))
    (losses, moments), (other_losses, other_moments) = shares
    losses.merge_state(other_losses)
    moments.merge_state(other_moments)
    torch.testing.assert_close(losses.compute()["loss"], z.mean())
    z = z.flatten(0, 1)
    torch.testing.assert_close(moments.compute()["z_abs_mean"], z.mean(0).abs().mean())
    torch.testing.assert_close(moments.compute()["z_std"], z.var(0, correction=0).mean().sqrt())


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


def large_codes(mean, n=3000):
    """Posterior means whose dimensions vary by 0.05, 0.2 and 1, and draws, far from the origin."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.05, 0.2, 1.0])
    means = mean + spread * torch.randn(n, 3, generator=generator)
    return means, means + torch.randn(n, 3, generator=generator)


def moments_of(means, z, batch_size=100):
    moments = LatentMoments(means.shape[1])
    for batch in zip(means.split(batch_size), z.split(batch_size), strict=True):
        moments.update(*batch)
    return moments


def check(values, means, z):
    """Against NumPy in double precision."""
    means, z = means.double().numpy(), z.double().numpy()
    assert values["z_std"].item() == pytest.approx(np.sqrt(z.var(0).mean()), rel=1e-3)
    assert values["z_abs_mean"].item() == pytest.approx(np.abs(z.mean(0)).mean(), rel=1e-5)
    assert values["active_units"].item() == (means.var(0) > 0.01).sum() == 2


@pytest.mark.parametrize("mean", [0.5, -1000.0, 10_000.0])
@pytest.mark.parametrize("batch_size", [1, 64, 3000])
def test_codes_far_from_the_origin_keep_their_spread(mean, batch_size):
    means, z = large_codes(mean)
    check(moments_of(means, z, batch_size).compute(), means, z)


def test_codes_as_large_as_floats_get_have_a_finite_spread():
    """Whose squares' sum is beyond single precision."""
    z = 1e18 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    expected = z.double().var(0, correction=0).mean().sqrt().item()
    assert moments_of(z, z).compute()["z_std"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("way", ["gathered", "merged"])
def test_processes_of_unequal_shares_add_up(way):
    """Gathered as torchmetrics does over processes, or merged one after another; the last has no
    example."""
    means, z = large_codes(1000.0)
    parts = [slice(0, 1990), slice(1990, 2000), slice(2000, 3000), slice(0, 0)]
    first, *others = shares = [moments_of(means[part], z[part]) for part in parts[:3]]
    others.append(LatentMoments(3))
    if way == "merged":
        for other in others:
            first.merge_state(other)
    else:
        states = [share.moments for share in [*shares, others[-1]]]
        first.dist_sync_fn = lambda state, group: states
        first.distributed_available_fn = lambda: True
    check(first.compute(), means, z)
