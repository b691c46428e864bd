"""WAE-MMD's penalty, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, batches, check_training, fit, small

from autoencoders.data import Batch
from autoencoders.divergences import mmd
from autoencoders.models import WAEMMD


def test_the_objective():
    torch.manual_seed(0)
    model = small(WAEMMD, cost="mse", reg_weight=3.0)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    torch.testing.assert_close(losses["loss"], squared + 3 * losses["penalty"])


def test_the_penalty_takes_the_models_kernel_and_prior():
    z = torch.randn(6, 3)
    model = small(WAEMMD, kernel="rbf", kernel_scales=[0.5, 2.0], prior_std=1.5)
    torch.manual_seed(0)
    penalty = model.penalty(z)
    torch.manual_seed(0)
    prior = 1.5 * torch.randn(6, 3)
    torch.testing.assert_close(penalty, mmd(z, prior, 1.5, "rbf", [0.5, 2.0]))
    assert model.penalty(z[:1]) == 0


def test_training_is_the_plain_loop():
    def objective(model, x):
        z = model.encoder(x)
        penalty = mmd(z, torch.randn(z.shape))
        x_hat = model.decoder(z).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + 100 * penalty

    torch.manual_seed(0)
    check_training(small(WAEMMD, reg_weight=100.0, scheduler=None, optimizer=adam(2e-3)), objective)


def test_a_queue_adds_codes_of_past_batches():
    """The penalty is that of all codes at once, and the batch's codes get the gradient of all."""
    model = small(WAEMMD, queue_size=10).train()
    past = model.queue.clone()
    for n in (4, 4, 4, 2):
        z = torch.randn(n, 3, requires_grad=True)
        torch.manual_seed(0)
        penalty = model.penalty(z)
        torch.manual_seed(0)
        everything = torch.cat([z.detach(), past]).requires_grad_()
        expected = mmd(everything, torch.randn(n + 10, 3))
        torch.testing.assert_close(penalty, expected)
        (gradient,) = torch.autograd.grad(penalty, z)
        (of_all,) = torch.autograd.grad(expected, everything)
        torch.testing.assert_close(gradient, of_all[:n] * (n + 10) / n)
        past = torch.cat([z.detach(), past])[:10]
        assert torch.equal(model.queue, past)


def test_a_queue_makes_the_penalty_vary_less():
    torch.manual_seed(0)
    spreads = []
    for queue_size in (0, 60):
        model = small(WAEMMD, queue_size=queue_size).train()
        penalties = [model.penalty(torch.randn(20, 3)) for _ in range(60)]
        spreads.append(torch.stack(penalties)[10:].std())
    assert spreads[1] < 0.5 * spreads[0]


def test_an_evaluation_leaves_the_queue_aside():
    model = small(WAEMMD, queue_size=10).eval()
    before = model.queue.clone()
    z = torch.randn(6, 3)
    torch.manual_seed(0)
    penalty = model.penalty(z)
    torch.manual_seed(0)
    torch.testing.assert_close(penalty, mmd(z, torch.randn(6, 3)))
    assert torch.equal(model.queue, before)


def test_a_queue_is_kept_with_the_weights():
    model = small(WAEMMD, queue_size=5, prior_std=100.0)
    assert model.queue.abs().mean() > 30  # draws from the prior
    other = small(WAEMMD, queue_size=5)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.queue, model.queue)
    assert "queue" not in small(WAEMMD).state_dict()


def test_training_fills_the_queue_with_codes():
    torch.manual_seed(0)
    model = small(WAEMMD, queue_size=12, prior_std=100.0)
    fit(model, batches(n=3))  # of 8
    assert model.queue.shape == (12, 3)
    assert model.queue.abs().max() < 30  # no draws from the prior any more


@pytest.mark.parametrize(
    "argument",
    [
        {"reg_weight": float("nan")},
        {"kernel": "linear"},
        {"kernel_scales": []},
        {"kernel_scales": [0.0]},
        {"queue_size": -1},
    ],
)
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        WAEMMD(**argument)
