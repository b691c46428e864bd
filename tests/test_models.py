"""The public methods, the input noise, the optimizer and the arguments that all models share."""

import inspect
import math
from functools import partial

import pytest
import pytorch_lightning as pl
import scipy.stats
import torch
import torch.nn.functional as F
from conftest import exported
from hypothesis import given, settings
from hypothesis import strategies as st
from small import (
    SHAPE,
    SeedSteps,
    adam,
    batch_of,
    batches,
    check_training,
    fit,
    make_trainer,
    small,
)
from small import (
    given as given_to,
)
from torch._subclasses.fake_tensor import FakeTensorMode

import autoencoders.models
from autoencoders.distributions.likelihoods import COSTS
from autoencoders.errors import InputError
from autoencoders.models import AE, VAE, AutoEncoder
from autoencoders.models.optimizers import MilestonesLR
from autoencoders.networks import MLP, Paper

MODELS = exported(autoencoders.models, AutoEncoder)
UNCONDITIONAL = [model for model in MODELS if not model.conditional]
VECTORS = {"network": MLP(hidden_dim=8), "shape": (5,), "bounded": False}


@pytest.mark.parametrize("model_class", UNCONDITIONAL)
def test_they_are_made_of_the_networks(model_class):
    model = small(model_class).eval()
    x = torch.rand(4, *SHAPE)
    with torch.no_grad():
        mean = model.encoder(x)[:, :3]  # the first head is the posterior's mean
        x_hat = model.decoder(mean).sigmoid()
    torch.testing.assert_close(model.encode(x), mean)
    torch.testing.assert_close(model.decode(mean), x_hat)
    torch.testing.assert_close(model.reconstruct(x), x_hat)


def test_samples_are_decoded_draws_of_the_prior():
    model = small(AE, prior_std=2.5)
    z = 2.5 * torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    samples = model.sample(4, torch.Generator().manual_seed(3))
    torch.testing.assert_close(samples, model.decode(z))


def test_sample_decodes_what_a_sampler_draws():
    class Zeros:
        def draw(self, n, generator=None):
            return torch.zeros(n, 3)

    model = small(AE)
    assert torch.equal(model.sample(4, sampler=Zeros()), model.decode(torch.zeros(4, 3)))


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("cost", COSTS)
def test_the_reconstructions_term_is_the_cost(model_class, cost):
    torch.manual_seed(0)
    model = small(model_class, cost=cost)
    x = torch.rand(8, *SHAPE)
    out = model(batch_of(model, x))
    x_hat = out.logits.sigmoid().double()
    squares = ((x_hat - x) ** 2).sum((1, 2, 3))
    expected = {
        "bce": F.binary_cross_entropy(x_hat, x.double(), reduction="sum") / 8,
        "mse": squares.mean(),
        "sigma": 784 / 2 * ((2 * math.pi * squares.mean() / 784).log() + 1),
    }
    reconstruction = model.losses(batch_of(model, x), out)["reconstruction"].double()
    torch.testing.assert_close(reconstruction, expected[cost], rtol=1e-5, atol=1e-4)


# Vectors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("cost", [cost for cost in COSTS if cost != "bce"])
def test_vectors(model_class, cost):
    torch.manual_seed(0)
    model = small(model_class, **VECTORS, cost=cost)
    assert model.sample(200).min() < 0  # no sigmoid
    loader = batches(n=1, shape=(5,))
    (metrics,) = make_trainer().validate(model, loader, verbose=False)
    assert all(map(math.isfinite, metrics.values()))
    assert "val/bce" not in metrics
    x, labels = loader.dataset.tensors
    x_hat = model.reconstruct(x, labels.long())
    assert metrics["val/mse"] == pytest.approx(F.mse_loss(x_hat, x).item())


def test_cross_entropy_of_vectors_is_refused():
    with pytest.raises(ValueError, match=r"cost=bce.*allowed: mse, sigma"):
        small(AE, **VECTORS, cost="bce")


# The input noise ----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(input_noise=st.floats(1e-3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_input_noise_ends_at_two_standard_deviations(input_noise, seed):
    torch.manual_seed(seed)
    model = AutoEncoder(network=MLP(hidden_dim=1), shape=(500,), input_noise=input_noise)
    x = torch.zeros(20, 500)
    noise = model.train().perturb(x)
    assert noise.abs().max().item() <= 2 * input_noise * (1 + 1e-5)
    assert torch.equal(x, torch.zeros(20, 500))  # not changed in place


def test_input_noises_distribution():
    torch.manual_seed(0)
    model = small(AE, input_noise=0.01)
    x = torch.full((64, *SHAPE), 0.5)
    noise = (model.train().perturb(x) - x).flatten().numpy() / 0.01
    reference = scipy.stats.truncnorm(-2, 2)
    for moment in (1, 2, 3, 4):
        expected = reference.moment(moment)
        assert (noise**moment).mean() == pytest.approx(expected, abs=0.02 * moment)
    assert noise.std() == pytest.approx(0.8796, abs=0.01)  # not 1
    assert scipy.stats.kstest(noise, reference.cdf).statistic < 0.01


def test_input_noise_is_for_training_alone():
    model = small(AE, input_noise=0.5)
    x = torch.rand(4, *SHAPE)
    assert torch.equal(model.eval().perturb(x), x)
    assert torch.equal(small(AE).train().perturb(x), x)


@pytest.mark.parametrize("model_class", MODELS)
def test_no_step_looks_at_a_value_on_the_host(model_class):
    """A CUDA graph cannot hold such a step. Fake tensors have no values, and raise when asked."""
    model = small(model_class, input_noise=0.1)
    with FakeTensorMode(allow_non_fake_inputs=True):
        x = torch.rand(8, *SHAPE)
        losses = model.losses(batch_of(model, x), model(batch_of(model, x)))
        losses["loss"].backward()


# What is reported ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
def test_validation_reports_the_objectives_terms_over_all_images(model_class):
    torch.manual_seed(0)
    model = small(model_class).eval()
    x = torch.rand(12, *SHAPE)
    known = given_to(model, 12)
    pairs = list(zip(x, known.get("labels", torch.zeros(12)), strict=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    (metrics,) = make_trainer().validate(model, loader, verbose=False)
    expected = {
        f"val/{name}" for name in model.losses(batch_of(model, x), model(batch_of(model, x)))
    }
    assert expected < set(metrics)
    x_hat = model.reconstruct(x, **known)
    assert metrics["val/mse"] == pytest.approx(((x_hat - x) ** 2).mean().item())
    bce = F.binary_cross_entropy(x_hat, x, reduction="sum").item() / 12
    assert metrics["val/bce"] == pytest.approx(bce)
    assert ("val/mse_sampled" in metrics) == (model.posterior_type.random)


# The optimizer ------------------------------------------------------------------------------------


def learning_rates(model, epochs):
    """Each epoch's learning rates, as the optimizers had them while training: (epochs, players)."""
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            seen.append([o.param_groups[0]["lr"] for o in trainer.optimizers])

    fit(model, batches(n=1), epochs, callbacks=[Watch()])
    return torch.tensor(seen)


@pytest.mark.parametrize("model_class", MODELS)
def test_a_schedule_steps_for_every_optimizer(model_class):
    schedule = partial(MilestonesLR, factors=[(2, 0.5), (3, 0.2)])
    model = small(model_class, optimizer=adam(0.1), scheduler=schedule)
    rates = learning_rates(model, 4)
    assert rates[0, 0].item() == pytest.approx(0.1)
    expected = torch.tensor([1, 1, 0.5, 0.1])[:, None].expand_as(rates)
    torch.testing.assert_close(rates / rates[0], expected)


def test_the_cosine_schedule():
    rates = learning_rates(small(AE, optimizer=adam(1.0)), 4)[:, 0]
    expected = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates.tolist() == pytest.approx(expected)


def test_the_constant_schedule():
    rates = learning_rates(small(AE, optimizer=adam(0.5), scheduler=None), 3)
    assert rates[:, 0].tolist() == [0.5] * 3


class Losses(pl.Callback):
    """Keeps the losses that training steps return, by epoch."""

    def __init__(self):
        self.by_epoch = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.by_epoch.append({name: value.item() for name, value in outputs.items()})


@pytest.mark.parametrize("model_class", MODELS)
def test_the_warm_up_weighs_all_but_the_reconstruction(model_class):
    """With weights that do not move, a loss with a warm-up beside one without."""
    losses = []
    for warmup_epochs in (3, 0):
        torch.manual_seed(0)
        still = {"optimizer": adam(1e-30), "scheduler": None}
        model = small(model_class, warmup_epochs=warmup_epochs, **still)
        kept = Losses()
        fit(model, batches(n=1), epochs=5, callbacks=[SeedSteps(), kept])
        losses.append(kept.by_epoch)
    for share, warm, full in zip((0.25, 0.5, 0.75, 1, 1), *losses, strict=True):
        for name in full.keys() - {"loss"}:
            assert warm[name] == full[name], name
        added = full["loss"] - full["reconstruction"]
        expected = full["reconstruction"] + share * added
        assert warm["loss"] == pytest.approx(expected, rel=1e-5)
        assert (added == 0) == (model_class is AE)


def test_the_warm_up_reaches_the_weights():
    """Adam on the cost and half of the KL divergence, in the first of one epoch's warm-up."""

    def objective(model, x):
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
        x_hat = model.decoder(z).sigmoid()
        return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + 0.5 * 8 * kl

    torch.manual_seed(0)
    model = small(VAE, beta=8.0, warmup_epochs=1, scheduler=None, optimizer=adam(2e-3))
    check_training(model, objective)


def test_the_warm_up_is_for_training_alone():
    torch.manual_seed(0)
    model = small(VAE, warmup_epochs=5).eval()
    (metrics,) = make_trainer().validate(model, batches(n=1), verbose=False)
    assert metrics["val/loss"] == pytest.approx(metrics["val/reconstruction"] + metrics["val/kl"])


@pytest.mark.parametrize("model_class", MODELS)
def test_every_player_has_the_models_optimizer(model_class):
    model = small(model_class, optimizer=adam(1e-3, betas=(0.5, 0.9)), scheduler=None)
    configured = model.configure_optimizers()
    for player in configured if isinstance(configured, list) else [configured]:
        assert player["optimizer"].defaults["betas"] == (0.5, 0.9)


# Arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", MODELS)
def test_hyperparameters_are_the_arguments(model_class):
    own = inspect.signature(model_class.__init__).parameters
    names = {*own, *inspect.signature(AutoEncoder.__init__).parameters} - {"self", "common"}
    hparams = small(model_class, optimizer=adam(0.25)).hparams
    assert set(hparams) == names
    expected = {"_target_": "torch.optim.adam.Adam", "_partial_": True, "lr": 0.25}
    assert hparams.optimizer == expected
    assert hparams.network == {
        "_target_": "autoencoders.networks.tutorial.Tutorial",
        "hidden_dim": 2,
    }


def test_a_network_that_cannot_make_the_shape():
    with pytest.raises(InputError, match=r"network=paper.*1 x 30 x 30.*network=mlp"):
        AE(network=Paper(), shape=(1, 30, 30))


@pytest.mark.parametrize(
    "argument",
    [
        {"latent_dim": 0},
        {"latent_dim": 2.5},
        {"network": "tutorial"},
        {"shape": (0, 28, 28)},
        {"prior_std": 0},
        {"cost": "l1"},
        {"input_noise": -0.1},
        {"scheduler": "linear"},
        {"optimizer": torch.optim.Adam},
        {"kind": "sound"},
        {"classes": -1},
        {"warmup_epochs": -1},
        {"nonsense": 1.0},
    ],
)
@pytest.mark.parametrize("model_class", MODELS)
def test_arguments_outside_their_range_are_named(model_class, argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        small(model_class, **argument)
