"""The steps of models that make them themselves, against a plain loop."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from small import batches, fit, small
from torch.optim.lr_scheduler import LambdaLR

from autoencoders.models.manual import ManualSteps
from autoencoders.networks import MLP

RATE = 1e-2


class TwoPlayers(ManualSteps):
    """The encoder draws codes to 0, the decoder learns from them.

    Neither's gradient knows of the other's step, nor one example of the next: several batches give
    exactly the gradient of a large one. Steps go against the gradient itself, since Adam would not
    notice one of twice the length.
    """

    label = "two players"

    def training_step(self, batch, batch_idx=0):
        x = batch.x
        z = self.encoder(x)
        size = z.square().sum() / len(x)
        reconstruction = self.cost.loss(self.decoder(z.detach()), x)
        for optimizer, loss in zip(self.optimizers(), (size, reconstruction), strict=True):
            self.descend(optimizer, loss)
        return {"loss": size + reconstruction, "reconstruction": reconstruction}

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), RATE) for part in (self.encoder, self.decoder)]


def two_players():
    torch.manual_seed(0)
    network = MLP(hidden_dim=8, norm="none")
    return small(TwoPlayers, network=network, scheduler=None).double()


def descend(model, loader, longest=math.inf):
    """A step of both players on each batch.

    Returns:
        The lengths of the encoder's and of the decoder's gradients, before they are clipped.
    """
    lengths = [], []
    for x, *_ in loader:
        x = x.double()
        z = model.encoder(x)
        x_hat = model.decoder(z.detach()).sigmoid()
        nats = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        losses = (z**2).sum() / len(x), nats
        players = model.encoder, model.decoder
        for player, loss, of_player in zip(players, losses, lengths, strict=True):
            parameters = list(player.parameters())
            gradients = torch.autograd.grad(loss, parameters)
            length = math.sqrt(sum((gradient**2).sum() for gradient in gradients))
            of_player.append(length)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= RATE * min(1, longest / length) * gradient
    return lengths


def assert_same_way(model, reference, start):
    """Equal parameters, which have gone somewhere."""
    for name, parameter in model.named_parameters():
        assert (parameter - start.get_parameter(name)).abs().max() > 1e-5, name
        # Lightning adds 1e-6 to the length that it clips by.
        expected = reference.get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("longest", [None, 1.0])
def test_accumulated_gradients_are_those_of_one_large_batch(longest):
    start = two_players()
    reference, model = copy.deepcopy(start), copy.deepcopy(start)
    of_encoder, of_decoder = descend(reference, batches(n=3, size=16), longest or math.inf)
    if longest:  # the decoder's are clipped, the encoder's would be at twice their length
        assert longest / 2 < min(of_encoder) < max(of_encoder) < longest < min(of_decoder)

    options = {"accumulate_grad_batches": 2, "gradient_clip_val": longest}
    fit(model, batches(n=6, size=8), precision="64-true", **options)
    assert_same_way(model, reference, start)


def test_a_step_without_a_trainer(monkeypatch):
    """In a loop of one's own, which brings the optimizers."""
    start = two_players()
    reference, model = copy.deepcopy(start), copy.deepcopy(start)
    descend(reference, batches(n=3))
    optimizers = model.configure_optimizers()
    monkeypatch.setattr(model, "optimizers", lambda: optimizers)
    for batch in batches(n=3):
        losses = model.training_step(batch._replace(x=batch.x.double()))
        assert all(loss.isfinite() for loss in losses.values())
    assert_same_way(model, reference, start)


def test_learning_rates_of_some_players_alone():
    class Scheduled(TwoPlayers):
        def configure_optimizers(self):
            optimizers = super().configure_optimizers()
            return optimizers, [LambdaLR(optimizers[0], lambda epoch: 0.5**epoch)]

    model = small(Scheduled, network=MLP(hidden_dim=8))
    fit(model, batches(n=1), epochs=2)
    assert [o.param_groups[0]["lr"] for o in model.optimizers()] == [RATE / 4, RATE]
