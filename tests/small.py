"""Small models and short training that the tests of models share."""

import copy
import itertools
from functools import partial

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, TensorDataset

from autoencoders.data import Batch
from autoencoders.networks import Tutorial

SHAPE = (1, 28, 28)
CLASSES = 4


def small(model_class, **arguments):
    """A model with few parameters."""
    known = {"network": Tutorial(hidden_dim=2), "latent_dim": 3}
    known |= {"classes": CLASSES} if model_class.conditional else {}
    return model_class(**known | arguments)


def given(model, n):
    """What a model must be given of n examples beside x."""
    return {"labels": torch.arange(n) % CLASSES} if model.conditional else {}


def batch_of(model, x):
    """Examples as the model takes them."""
    return Batch(x, **given(model, len(x)))


def adam(lr, **options):
    """A model's optimizer."""
    return partial(torch.optim.Adam, lr=lr, **options)


def batches(n=4, size=8, shape=SHAPE):
    """A loader of n batches of random values in [0, 1], in a fixed order."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n * size, *shape, generator=generator)
    return DataLoader(TensorDataset(x, torch.zeros(n * size)), size, collate_fn=_batch)


def _batch(pairs):
    x, labels = zip(*pairs, strict=True)
    return Batch(torch.stack(x), torch.stack(labels).long())


def make_trainer(epochs=1, **options):
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def fit(model, loader, epochs=1, **options):
    """Train a model, and return the trainer."""
    trainer = make_trainer(epochs, **options)
    trainer.fit(model, loader)
    return trainer


def sizes_of_maps(network, x):
    """The height of every convolution's output."""
    heights = []
    hooks = [
        module.register_forward_hook(lambda *call: heights.append(call[2].shape[2]))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return heights


def biases_without_effect(module):
    """The biases that batch normalization subtracts again: their gradients are rounding alone."""
    return {
        f"{name}.{before}.bias"
        for name, part in module.named_modules()
        if isinstance(part, nn.Sequential)
        for (before, _), (_, after) in itertools.pairwise(part.named_children())
        if isinstance(after, _BatchNorm)
    }


def assert_same_parameters(model, reference):
    ignored = biases_without_effect(model)
    for name, parameter in model.named_parameters():
        if name not in ignored:
            expected = reference.get_parameter(name)
            torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-5, msg=name)


class SeedSteps(pl.Callback):
    """Seeds each training step by its number."""

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        torch.manual_seed(batch_idx)


def check_training(model, objective):
    """Training is Adam on `objective(model, x)`, which is written without the model's methods.

    Args:
        model: with a constant schedule.
    """
    # The plain loop keeps the channels first, the model last: no step may depend on it.
    reference = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    start = copy.deepcopy(model)
    optimizer = model.optimizer(reference.parameters())
    for seed, (x, *_) in enumerate(batches()):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        objective(reference, x).backward()
        optimizer.step()

    fit(model, batches(), callbacks=[SeedSteps()])
    assert_same_parameters(model, reference)
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    assert sum((after - before).abs().sum().item() for after, before in pairs) > 1
