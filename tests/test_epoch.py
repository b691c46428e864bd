"""Sums over an epoch: in batches and as a whole."""

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
