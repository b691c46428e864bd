"""The conditional VAE: what its networks are given."""

import pytest
import torch
import torch.nn.functional as F
from small import CLASSES, SHAPE, check_training, small

from autoencoders.data import Batch
from autoencoders.errors import InputError
from autoencoders.models import CVAE
from autoencoders.networks import MLP

LABELS = torch.tensor([3, 0, 2])


def test_labels_reach_the_encoder_as_planes_and_the_decoder_as_numbers():
    torch.manual_seed(0)
    model = small(CVAE).eval()
    x, z = torch.rand(3, *SHAPE), torch.randn(3, 3)
    planes = torch.zeros(3, CLASSES, 28, 28)
    planes[torch.arange(3), LABELS] = 1
    codes = torch.cat([z, F.one_hot(LABELS, CLASSES).float()], 1)
    with torch.no_grad():
        mean = model.encoder(torch.cat([x, planes], 1))[:, :3]
        x_hat = model.decoder(codes).sigmoid()
    torch.testing.assert_close(model.encode(x, LABELS), mean)
    torch.testing.assert_close(model.decode(z, LABELS), x_hat)
    assert not torch.allclose(model.decode(z, LABELS), model.decode(z, LABELS.flip(0)))


def test_vectors_are_given_the_label_as_more_features():
    torch.manual_seed(0)
    network = MLP(hidden_dim=4)
    model = small(CVAE, network=network, shape=(5,), kind="vector", bounded=False, cost="mse")
    x = torch.randn(3, 5)
    y = F.one_hot(LABELS, CLASSES).float()
    with torch.no_grad():
        mean = model.eval().encoder(torch.cat([x, y], 1))[:, :3]
    torch.testing.assert_close(model.encode(x, LABELS), mean)
    assert model.reconstruct(x, LABELS).shape == (3, 5)


def test_samples_of_a_class_and_of_all():
    torch.manual_seed(0)
    model = small(CVAE)
    of_class = model.sample(3, torch.Generator().manual_seed(0), label=2)
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(of_class, model.decode(z, torch.tensor([2, 2, 2])))

    seen = []
    model.logits = lambda z, given: seen.append(given.labels) or model.decoder(z.new_zeros(1, 7))
    model.sample(4000, torch.Generator().manual_seed(0))
    shares = torch.bincount(seen[0], minlength=CLASSES) / 4000
    assert (shares - 1 / CLASSES).abs().max() < 0.03
    with pytest.raises(ValueError, match="label=4: no such class; allowed: 0 to 3"):
        model.sample(1, label=4)


def test_training_is_the_plain_loop():
    def objective(model, x):
        planes = torch.zeros(len(x), CLASSES, 28, 28)
        planes[:, 0] = 1  # the loader's labels
        mean, log_var = model.encoder(torch.cat([x, planes], 1)).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
        x_hat = model.decoder(torch.cat([z, planes[:, :, 0, 0]], 1)).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + kl

    torch.manual_seed(0)
    check_training(small(CVAE, scheduler=None), objective)


def test_what_lacks_labels_is_refused():
    with pytest.raises(InputError, match=r"model=cvae: takes data with classes.*model=vae"):
        CVAE(network=MLP(hidden_dim=4))
    with pytest.raises(ValueError, match="needs the labels"):
        small(CVAE)(Batch(torch.rand(2, *SHAPE)))


def test_an_example_without_a_label_is_given_none():
    model = small(CVAE)
    batch = Batch(torch.rand(3, *SHAPE), torch.tensor([1, -1, 0]))
    expected = torch.zeros(3, CLASSES)
    expected[0, 1] = expected[2, 0] = 1
    assert torch.equal(model.one_hot(batch), expected)
