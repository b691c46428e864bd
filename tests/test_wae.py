"""WAE-GAN's objective and the steps of its two players."""

import copy

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, assert_same_parameters, batches, fit, small

from autoencoders.data import Batch
from autoencoders.errors import InputError
from autoencoders.models import WAEGAN


def test_the_objective():
    torch.manual_seed(0)
    model = small(WAEGAN, cost="mse", reg_weight=7.84)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    squared = ((out.logits.sigmoid() - x) ** 2).sum() / 8
    penalty = -model.discriminator(out.z).sigmoid().log().mean()
    torch.testing.assert_close(losses["penalty"], penalty)
    torch.testing.assert_close(losses["loss"], squared + 7.84 * penalty)


def plain_steps(model, loader, priors, lr, discriminator_lr, reg_weight, discriminator_steps=1):
    """Algorithm 1 of Tolstikhin et al. 2018 step by step, encoding anew for each use."""
    encoder, decoder, discriminator = model.encoder, model.decoder, model.discriminator
    autoencoder = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(autoencoder, lr)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), discriminator_lr)
    priors = iter(priors)
    for x, *_ in loader:
        for _ in range(discriminator_steps):
            codes = encoder(x).detach()
            real, fake = discriminator(next(priors)).sigmoid(), discriminator(codes).sigmoid()
            d_optimizer.zero_grad()
            (-reg_weight * (real.log() + (1 - fake).log()).mean()).backward()
            d_optimizer.step()

        x_hat = decoder(encoder(x)).sigmoid()
        reconstruction = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        penalty = -discriminator(encoder(x)).sigmoid().log().mean()
        optimizer.zero_grad()
        (reconstruction + reg_weight * penalty).backward()
        optimizer.step()


def of_rates(lr, discriminator_lr, **arguments):
    """A small WAE-GAN of these learning rates, which stay."""
    rates = {"optimizer": adam(lr), "discriminator_optimizer": {"lr": discriminator_lr}}
    return small(WAEGAN, **rates, scheduler=None, **arguments)


@pytest.mark.parametrize("steps", [1, 3])
def test_one_encoding_gives_the_update_of_several(steps, monkeypatch):
    torch.manual_seed(0)
    rates = {"lr": 2e-3, "discriminator_lr": 1e-3, "reg_weight": 7.84, "discriminator_steps": steps}
    model = of_rates(**rates)
    reference = copy.deepcopy(model)
    start = copy.deepcopy(model)
    loader, priors = batches(), list(torch.randn(4 * steps, 8, 3))
    plain_steps(reference, loader, priors, **rates)

    draws = iter(priors)
    monkeypatch.setattr(model.prior, "draw", lambda n, device: next(draws))
    encodings = []
    model.encoder.register_forward_hook(lambda *call: encodings.append(call))
    fit(model, loader)
    assert len(encodings) == len(loader)
    assert_same_parameters(model, reference)
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    assert sum((a - b).abs().sum().item() for a, b in pairs) > 1  # four steps went somewhere


def clip(gradients, most):
    norm = sum((gradient.double() ** 2).sum() for gradient in gradients).sqrt().item()
    return [gradient * min(1, most / norm) for gradient in gradients]


def accumulated_steps(model, loader, priors, most, lr, discriminator_lr, reg_weight):
    """Steps after every second batch and after the last, of gradients no longer than `most`."""
    encoder, decoder, discriminator = model.encoder, model.decoder, model.discriminator
    players = [
        (list(discriminator.parameters()), discriminator_lr),
        ([*encoder.parameters(), *decoder.parameters()], lr),
    ]
    optimizers = [torch.optim.Adam(parameters, rate) for parameters, rate in players]
    sums = [None, None]

    def d_loss(x, z):
        real, fake = discriminator(z).sigmoid(), discriminator(encoder(x).detach()).sigmoid()
        return -reg_weight * (real.log() + (1 - fake).log()).mean()

    def loss(x, z):
        codes = encoder(x)
        nats = F.binary_cross_entropy(decoder(codes).sigmoid(), x, reduction="sum") / len(x)
        return nats - reg_weight * discriminator(codes).sigmoid().log().mean()

    for i, ((x, *_), z) in enumerate(zip(loader, priors, strict=True)):
        for player, objective in enumerate((d_loss, loss)):
            parameters = players[player][0]
            new = torch.autograd.grad(objective(x, z) / 2, parameters)
            old = sums[player] or [torch.zeros_like(gradient) for gradient in new]
            sums[player] = [a + b for a, b in zip(old, new, strict=True)]
            if i % 2 == 1 or i == len(priors) - 1:
                for parameter, gradient in zip(parameters, clip(sums[player], most), strict=True):
                    parameter.grad = gradient
                optimizers[player].step()
                sums[player] = None


def test_gradients_are_accumulated_and_clipped(monkeypatch):
    torch.manual_seed(0)
    rates = {"lr": 2e-3, "discriminator_lr": 1e-3, "reg_weight": 7.84}
    model = of_rates(**rates)
    reference, unclipped = copy.deepcopy(model), copy.deepcopy(model)
    loader, priors = batches(n=5), list(torch.randn(5, 8, 3))
    accumulated_steps(reference, loader, priors, most=0.5, **rates)
    accumulated_steps(unclipped, loader, priors, most=1e9, **rates)

    draws = iter(priors)
    monkeypatch.setattr(model.prior, "draw", lambda n, device: next(draws))
    fit(model, loader, gradient_clip_val=0.5, accumulate_grad_batches=2)
    assert_same_parameters(model, reference)
    with pytest.raises(AssertionError):
        assert_same_parameters(model, unclipped)
    for optimizer in model.optimizers():
        assert {state["step"].item() for state in optimizer.state.values()} == {3}


def test_several_steps_of_the_discriminator_do_not_accumulate():
    model = small(WAEGAN, discriminator_steps=2)
    with pytest.raises(InputError, match=r"discriminator_steps=2: .*accumulate_grad_batches=3"):
        fit(model, batches(n=3), accumulate_grad_batches=3)


def test_each_step_moves_its_own_player():
    class Watched(WAEGAN):
        def step_discriminator(self, z):
            return self.watch("D", lambda: WAEGAN.step_discriminator(self, z))

        def step_autoencoder(self, batch, out):
            return self.watch("QG", lambda: WAEGAN.step_autoencoder(self, batch, out))

        def watch(self, player, step):
            before = {name: p.clone() for name, p in self.named_parameters()}
            result = step()
            after = dict(self.named_parameters())
            moved = {name.split(".")[0] for name in before if (before[name] != after[name]).any()}
            self.moves.append((player, moved))
            return result

    torch.manual_seed(0)
    model = small(Watched)
    model.moves = []
    fit(model, batches(n=2))
    assert model.moves == [("D", {"discriminator"}), ("QG", {"encoder", "decoder"})] * 2
    assert all(p.requires_grad for p in model.parameters())


def test_the_discriminators_width_and_rate():
    model = of_rates(lr=0.5, discriminator_lr=0.25, discriminator_dim=7)
    assert model.discriminator.layers[0].out_features == 7
    rates = [player["optimizer"].defaults["lr"] for player in model.configure_optimizers()]
    assert rates == [0.5, 0.25]


@pytest.mark.parametrize(
    "argument",
    [
        {"reg_weight": -1},
        {"discriminator_optimizer": 0.1},
        {"discriminator_dim": 0},
        {"discriminator_steps": 0},
    ],
)
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        WAEGAN(**argument)
