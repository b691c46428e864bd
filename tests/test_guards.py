"""What keeps a run reproducible, and what ends one that has nothing to train on."""

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small import adam, batches, make_trainer, small

from autoencoders.errors import InputError
from autoencoders.models import AE, VAE
from autoencoders.training import RequireBatches, SeedEpochs


class Draws(Callback):
    """Keeps by epoch what the first batch of training and of validation would draw."""

    def __init__(self):
        self.train, self.val = {}, {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.train.setdefault(trainer.current_epoch, next_draw())

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.val.setdefault(trainer.current_epoch, next_draw())


def next_draw():
    with torch.random.fork_rng(devices=[]):
        return tuple(torch.rand(2).tolist())


def train_seeded(seed, epochs, model=None, ckpt_path=None):
    draws = Draws()
    callbacks = [SeedEpochs(seed), draws]
    trainer = make_trainer(epochs, num_sanity_val_steps=0, callbacks=callbacks)
    model = model or small(VAE, scheduler=None)
    loaders = batches(n=2), batches(n=1)
    for loader in loaders:
        loader.generator = torch.Generator()  # of its own, as the data modules' have
    trainer.fit(model, *loaders, ckpt_path=ckpt_path, weights_only=True)
    return draws, trainer


def test_each_epoch_draws_its_own_numbers_and_draws_them_again_on_resume(tmp_path):
    undisturbed, _ = train_seeded(0, 3)
    begun, trainer = train_seeded(0, 1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    torch.rand(100)  # whatever else the process draws
    resumed, _ = train_seeded(0, 3, ckpt_path=tmp_path / "a.ckpt")
    assert undisturbed.train == begun.train | resumed.train
    assert len(set(undisturbed.train.values())) == 3
    assert len(set(undisturbed.val.values())) == 1  # so that epochs compare

    other, _ = train_seeded(1, 3)
    assert not set(other.train.values()) & set(undisturbed.train.values())


def test_the_codes_noise_differs_between_epochs(monkeypatch):
    """Where nothing else does: the weights stay, and the batches come in the same order."""
    noise = []
    forward = VAE.forward

    def noting(self, x):
        out = forward(self, x)
        if self.training:
            noise.append((out.z - out.posterior.mean).detach())
        return out

    monkeypatch.setattr(VAE, "forward", noting)
    train_seeded(0, 2, small(VAE, optimizer=adam(1e-12)))
    assert len(noise) == 4
    assert not torch.allclose(noise[0], noise[2], rtol=0.1)
    assert not torch.allclose(noise[1], noise[3], rtol=0.1)


def test_a_run_without_a_batch_is_no_run():
    trainer = make_trainer(callbacks=[RequireBatches()])
    with pytest.raises(InputError, match="no batch to train on"):
        trainer.fit(small(AE), batches(n=0))
