"""The face, the objective and the training step of every model."""

import copy
import math

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from autoencoders.divergences import mmd
from autoencoders.models import AE, VAE, WAEGAN, WAEMMD

MODELS = (AE, VAE, WAEGAN, WAEMMD)
SMALL = {"hidden_dim": 2, "latent_dim": 3}
# Batch normalization subtracts these biases again: their gradients are rounding alone.
SUBTRACTED = ("decoder.upsample.0.bias", "decoder.upsample.3.bias")


def batches(n=4, size=8):
    """A loader of n batches of random images in a fixed order."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n * size, 1, 28, 28, generator=generator)
    return DataLoader(TensorDataset(images, torch.zeros(n * size)), size)


def fit(model, loader, epochs=1, **options):
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(model, loader)
    return trainer


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 28), (3, 32), (3, 64)])
def test_face(model_class, channels, image_size):
    model = model_class(channels=channels, image_size=image_size, **SMALL)
    x = torch.rand(1, channels, image_size, image_size)  # one image must do
    model.eval()
    assert model.encode(x).shape == (1, 3)
    for images in (model.decode(torch.randn(1, 3)), model.reconstruct(x), model.sample(1)):
        assert images.shape == x.shape
        assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("model_class", MODELS)
def test_sampling_while_training_leaves_the_model_as_it_was(model_class):
    model = model_class(**SMALL).train()
    before = copy.deepcopy(model.state_dict())
    model.sample(5)
    model.reconstruct(torch.rand(5, 1, 28, 28))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model_class", MODELS)
def test_a_generator_fixes_the_samples(model_class):
    model = model_class(**SMALL)
    first, second = (model.sample(4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_priors_standard_deviation():
    model = AE(**SMALL, prior_std=2.5)
    z = model.sample_prior(20_000, torch.Generator().manual_seed(0))
    assert z.std().item() == pytest.approx(2.5, rel=0.02)


@pytest.mark.parametrize("model_class", MODELS)
def test_gradients_reach_every_parameter(model_class):
    torch.manual_seed(0)
    model = model_class(**SMALL)
    x = torch.rand(8, 1, 28, 28)
    losses = model.losses(x, model(x))
    (losses["loss"] + losses.get("discriminator_loss", 0)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name not in SUBTRACTED:
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("cost", ["bce", "mse"])
def test_objectives_add_up(cost):
    torch.manual_seed(0)
    x = torch.rand(8, 1, 28, 28)
    for model, term, weight in (
        (AE(**SMALL, cost=cost), None, 0),
        (VAE(**SMALL, cost=cost, beta=4.0), "kl", 4),
        (WAEGAN(**SMALL, cost=cost, reg_weight=7.84), "penalty", 7.84),
        (WAEMMD(**SMALL, cost=cost, reg_weight=3.0), "penalty", 3),
    ):
        out = model(x)
        losses = model.losses(x, out)
        if cost == "bce":
            c = F.binary_cross_entropy(out.logits.sigmoid(), x, reduction="sum") / 8
        else:
            c = ((out.logits.sigmoid() - x) ** 2).sum() / 8
        regulariser = weight * losses[term] if term else 0
        torch.testing.assert_close(losses["loss"], c + regulariser)


def test_the_vae_draws_from_its_posterior():
    torch.manual_seed(0)
    model = VAE(**SMALL).eval()
    x = torch.rand(1, 1, 28, 28)
    mean, log_var = model.posterior(x)
    z = model(x.expand(5000, -1, -1, -1)).z
    torch.testing.assert_close(z.mean(0), mean[0], atol=0.05, rtol=0)
    torch.testing.assert_close(z.std(0), (log_var[0] / 2).exp(), rtol=0.05, atol=0)
    assert torch.equal(model.encode(x), mean)


def test_input_noise_is_for_training_alone():
    model = AE(**SMALL, input_noise=0.5)
    x = torch.zeros(4, 1, 28, 28)
    assert model.train().perturb(x).std().item() == pytest.approx(0.5, rel=0.1)
    assert torch.equal(model.eval().perturb(x), x)


def test_wae_mmds_penalty_takes_its_kernel(monkeypatch):
    prior = torch.randn(6, 3)
    z = torch.randn(6, 3)
    model = WAEMMD(**SMALL, kernel="rbf", kernel_scales=[0.5, 2.0], prior_std=1.5)
    monkeypatch.setattr(model, "sample_prior", lambda n: prior)
    expected = mmd(z, prior, 1.5, "rbf", [0.5, 2.0])
    torch.testing.assert_close(model.penalty(z), expected)
    assert model.penalty(z[:1]) == 0


# WAE-GAN's step ---------------------------------------------------------------------------------


def plain_wae_gan_steps(model, loader, priors, lr, discriminator_lr, reg_weight):
    """Algorithm 1 of Tolstikhin et al. 2018 step by step, encoding anew for each use."""
    encoder, decoder, discriminator = model.encoder, model.decoder, model.discriminator
    autoencoder = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(autoencoder, lr)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), discriminator_lr)
    for (x, _), z in zip(loader, priors, strict=True):
        codes = encoder(x).detach()
        real, fake = discriminator(z).sigmoid(), discriminator(codes).sigmoid()
        d_optimizer.zero_grad()
        (-reg_weight * (real.log() + (1 - fake).log()).mean()).backward()
        d_optimizer.step()

        x_hat = decoder(encoder(x)).sigmoid()
        reconstruction = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        penalty = -discriminator(encoder(x)).sigmoid().log().mean()
        optimizer.zero_grad()
        (reconstruction + reg_weight * penalty).backward()
        optimizer.step()


def test_one_encoding_gives_the_update_of_three():
    torch.manual_seed(0)
    rates = {"lr": 2e-3, "discriminator_lr": 1e-3, "reg_weight": 7.84}
    model = WAEGAN(**SMALL, **rates, schedule="constant")
    reference = copy.deepcopy(model)
    start = copy.deepcopy(model)
    loader, priors = batches(), list(torch.randn(4, 8, 3))
    plain_wae_gan_steps(reference, loader, priors, **rates)

    draws = iter(priors)
    model.sample_prior = lambda n: next(draws)
    encodings = []
    model.encoder.register_forward_hook(lambda *call: encodings.append(call))
    fit(model, loader)
    assert len(encodings) == len(loader)
    moved = 0.0
    for name, parameter in model.named_parameters():
        if name in SUBTRACTED:
            continue
        expected = reference.get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-5, msg=name)
        moved += (parameter - start.get_parameter(name)).abs().sum().item()
    assert moved > 1  # four steps went somewhere


def plain_losses(model, x):
    """The objectives as their formulas have them, from the networks alone."""
    if isinstance(model, VAE):
        mean, log_var = model.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        regulariser = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(x)
    else:
        z = model.encoder(x)
        penalised = isinstance(model, WAEMMD)
        regulariser = 100 * mmd(z, torch.randn(z.shape)) if penalised else 0.0
    x_hat = model.decoder(z).sigmoid()
    return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x) + regulariser


@pytest.mark.parametrize(
    ("model_class", "weight"), [(AE, {}), (VAE, {"beta": 1.0}), (WAEMMD, {"reg_weight": 100.0})]
)
def test_training_is_the_plain_loop(model_class, weight):
    torch.manual_seed(0)
    model = model_class(**SMALL, **weight, schedule="constant", lr=2e-3)
    # The plain loop keeps the channels first, the model last: no step may depend on it.
    reference = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    loader = batches()
    optimizer = torch.optim.Adam(reference.parameters(), lr=2e-3)
    for seed, (x, _) in enumerate(loader):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        plain_losses(reference, x).backward()
        optimizer.step()

    class SeedSteps(pl.Callback):
        def on_train_batch_start(self, trainer, model, batch, batch_idx):
            torch.manual_seed(batch_idx)

    fit(model, loader, callbacks=[SeedSteps()])
    for name, parameter in model.named_parameters():
        if name not in SUBTRACTED:
            expected = reference.get_parameter(name)
            torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-5, msg=name)


def test_each_step_moves_its_own_player():
    class Watched(WAEGAN):
        def step_discriminator(self, z):
            return self.watch("D", lambda: WAEGAN.step_discriminator(self, z))

        def step_autoencoder(self, x, out):
            return self.watch("QG", lambda: WAEGAN.step_autoencoder(self, x, out))

        def watch(self, player, step):
            before = {name: p.clone() for name, p in self.named_parameters()}
            result = step()
            after = dict(self.named_parameters())
            moved = {name.split(".")[0] for name in before if (before[name] != after[name]).any()}
            self.moves.append((player, moved))
            return result

    torch.manual_seed(0)
    model = Watched(**SMALL)
    model.moves = []
    fit(model, batches(n=2))
    assert model.moves == [("D", {"discriminator"}), ("QG", {"encoder", "decoder"})] * 2
    assert all(p.requires_grad for p in model.parameters())


# The optimizer ----------------------------------------------------------------------------------


def learning_rates(model, epochs):
    """Each epoch's learning rates, as the optimizers had them while training."""
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            seen.append([o.param_groups[0]["lr"] for o in trainer.optimizers])

    fit(model, batches(n=1), epochs, callbacks=[Watch()])
    return seen


@pytest.mark.parametrize("model_class", [VAE, WAEGAN])
def test_the_step_schedule_steps(model_class):
    model = model_class(**SMALL, lr=1.0, schedule="step", lr_steps=[(2, 0.5), (3, 0.2)])
    seen = learning_rates(model, 4)
    assert [rates[0] for rates in seen] == pytest.approx([1, 1, 0.5, 0.1])
    if model_class is WAEGAN:
        assert [rates[1] for rates in seen] == pytest.approx([1e-3, 1e-3, 5e-4, 1e-4])


def test_the_cosine_schedule_against_torchs():
    seen = learning_rates(AE(**SMALL, lr=1.0, schedule="cosine"), 4)
    expected = [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert [rates[0] for rates in seen] == pytest.approx(expected)


def test_the_constant_schedule():
    seen = learning_rates(AE(**SMALL, lr=0.5, schedule="constant"), 3)
    assert [rates[0] for rates in seen] == [0.5] * 3


def test_adams_decay_rates():
    model = WAEGAN(**SMALL, betas=(0.5, 0.9), schedule="constant")
    for configured in model.configure_optimizers():
        assert configured["optimizer"].defaults["betas"] == (0.5, 0.9)


# Arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_class", "argument"),
    [
        (AE, {"latent_dim": 0}),
        (AE, {"hidden_dim": 2.5}),
        (AE, {"prior_std": 0}),
        (AE, {"cost": "l1"}),
        (AE, {"schedule": "linear"}),
        (AE, {"architecture": "resnet"}),
        (AE, {"lr": float("inf")}),
        (AE, {"betas": (0.9, 1.0)}),
        (AE, {"lr_steps": [(0, 0.5)]}),
        (AE, {"lr_steps": [(3, 0.5)]}),
        (AE, {"schedule": "step"}),
        (AE, {"image_size": 27}),
        (AE, {"beta": 1.0}),
        (VAE, {"beta": -1}),
        (WAEGAN, {"reg_weight": -1}),
        (WAEGAN, {"discriminator_lr": 0}),
        (WAEMMD, {"reg_weight": float("nan")}),
        (WAEMMD, {"kernel": "linear"}),
        (WAEMMD, {"kernel_scales": []}),
        (WAEMMD, {"kernel_scales": [0.0]}),
    ],
)
def test_arguments_outside_their_range_are_named(model_class, argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        model_class(**argument)
