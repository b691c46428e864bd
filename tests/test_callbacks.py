"""The choices of `callbacks=`: each against what it should do, and through a crash and a resume."""

import math

import pytest
import torch
from conftest import choices, compose_train
from independent import reconstruction_metrics
from pytorch_lightning.callbacks import Callback
from small import batches, fit, small
from test_last_checkpoint import NO_BETTER, Memory, assert_equal, copy, saved
from test_train import assert_identical, events, metrics_of, short_run

from autoencoders.data import Digits
from autoencoders.launch.config import check_settings
from autoencoders.models import AE, WAEGAN, AutoEncoder
from autoencoders.runs import load_run
from autoencoders.training import EMA, LearningRates, training_history
from autoencoders.training.checkpoint_files import read_checkpoint

EMA_RUN = ("callbacks=ema", "callbacks.ema.decay=0.6", "trainer.max_epochs=3")


class Steps(Callback):
    """Keeps the weights after each batch."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights.append(copy(pl_module))


@pytest.mark.parametrize("kind", [AE, WAEGAN])
def test_the_average_moves_once_a_batch(kind):
    torch.manual_seed(0)
    model, steps = small(kind), Steps()
    fit(model, batches(n=3), epochs=2, callbacks=[EMA(decay=0.3), steps])
    kept = [0, 2 / 11, 3 / 12, 0.3, 0.3, 0.3]  # the first move takes the weights as they are
    assert len(steps.weights) == len(kept)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average = torch.zeros(value.shape, dtype=torch.float64)
            for share, weights in zip(kept, steps.weights, strict=True):
                average = share * average + (1 - share) * weights[name].double()
            torch.testing.assert_close(value.double(), average, rtol=1e-5, atol=1e-7, msg=name)


def validation_mse(weights, kind):
    data = Digits(val_size=200)
    data.setup()
    return reconstruction_metrics(weights, data.val.values, kind)["mse"]


@pytest.mark.parametrize("model", ["vae", "wae"])
def test_the_average_is_evaluated_and_saved_beside_the_weights(model, tmp_path):
    memory = Memory()
    overrides = (f"model={model}", *EMA_RUN, "network.hidden_dim=4", "model.latent_dim=4")
    short_run(tmp_path, *overrides, "dataset.val_size=200", extra_callbacks=[memory])
    last = saved(tmp_path)
    assert_equal(last["state_dict"], memory.tested)
    assert_equal(last["current_model_state"], memory.after[-1])
    measured = metrics_of(tmp_path)["val/mse"]
    assert measured == pytest.approx(float(validation_mse(last["state_dict"], model).value), 2e-4)
    raw = float(validation_mse(last["current_model_state"], model).value)
    assert measured != pytest.approx(raw, 1e-3)


def test_images_show_the_average(tmp_path, monkeypatch):
    shown = []
    sample = AutoEncoder.sample

    def noting(self, n, *arguments, **options):
        shown.append(copy(self))
        return sample(self, n, *arguments, **options)

    monkeypatch.setattr(AutoEncoder, "sample", noting)
    memory = Memory()
    short_run(tmp_path, *EMA_RUN, extra_callbacks=[memory])
    assert_equal(shown[2], saved(tmp_path)["state_dict"])
    assert not torch.equal(shown[2]["encoder.head.weight"], memory.after[2]["encoder.head.weight"])


def crash_in(patch, name, epoch):
    """Have a step of WAE-GAN fail in an epoch."""
    step = getattr(WAEGAN, name)

    def crash(self, batch, batch_idx=0):
        if self.current_epoch >= epoch and batch_idx == 1:
            raise RuntimeError("the power fails")
        return step(self, batch, batch_idx)

    patch.setattr(WAEGAN, name, crash)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with averaged weights that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    short_run(folder, *EMA_RUN)
    return folder


@pytest.mark.parametrize(("where", "epoch"), [("training_step", 2), ("test_step", 0)])
def test_a_resumed_average_ends_as_an_undisturbed_one(where, epoch, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        crash_in(patch, where, epoch)
        with pytest.raises(RuntimeError, match="the power fails"):
            short_run(tmp_path, *EMA_RUN)
    memory = Memory()
    short_run(tmp_path, *EMA_RUN, resume=True, extra_callbacks=[memory])
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states")
    for part in parts:
        assert_identical(saved(whole)[part], saved(tmp_path)[part])
    assert_equal(saved(tmp_path)["state_dict"], memory.tested)
    assert metrics_of(whole)["test/mse"] == metrics_of(tmp_path)["test/mse"]


STOPPED = ("callbacks=early_stopping", "callbacks.early_stopping.patience=2", NO_BETTER)


def test_training_stops_once_and_stays_stopped(tmp_path, monkeypatch):
    """After its patience, in epochs; a resume finds it stopped."""
    arguments = (*STOPPED, "trainer.max_epochs=6")
    with monkeypatch.context() as patch:
        crash_in(patch, "test_step", 0)
        with pytest.raises(RuntimeError, match="the power fails"):
            short_run(tmp_path, *arguments)
    before = saved(tmp_path)
    assert before["epoch"] + 1 == 3  # the first is the best, two are no better
    memory = Memory()
    short_run(tmp_path, *arguments, resume=True, extra_callbacks=[memory])
    assert memory.after == []
    assert_equal(memory.tested, before["state_dict"])
    assert metrics_of(tmp_path)["epochs"] == 3


def test_the_learning_rates_of_both_optimizers_are_curves_over_epochs(tmp_path):
    rates = ("optimizer.lr=2e-3", "model.discriminator_optimizer.lr=5e-4", "trainer.max_epochs=4")
    short_run(tmp_path, "callbacks=lr_monitor", *rates)
    for name, rate in {"lr": 2e-3, "discriminator_lr": 5e-4}.items():
        points = events(tmp_path).Scalars(f"train/{name}")
        cosine = [rate * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
        assert [point.step for point in points] == [0, 1, 2, 3]
        assert [point.value for point in points] == pytest.approx(cosine)


def test_the_rate_of_an_extension_is_the_optimizers(tmp_path):
    """The schedule's own, until it is stepped next, is that with which the shorter run ended: 0."""
    arguments = ("callbacks=lr_monitor", "model=ae", "optimizer.lr=1e-3", "logger=none")
    short_run(tmp_path, *arguments)
    short_run(tmp_path, *arguments, "trainer.max_epochs=4", resume=True)
    rates = training_history(read_checkpoint(tmp_path / "checkpoints/last.ckpt"))["train/lr"]
    lengths = {1: 2, 2: 2, 3: 4, 4: 4}  # by epoch, that of the run
    cosine = {e: 1e-3 * (1 + math.cos(math.pi * (e - 1) / n)) / 2 for e, n in lengths.items()}
    assert rates == pytest.approx(cosine)


class OneCycle(AE):
    """With a rate that changes after every batch."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = one_cycle(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class Plain(AE):
    """With an optimizer alone."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.25)


class Plateau(AE):
    """With a schedule that looks at a metric."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.25)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "train/loss", "strict": False},
        }


def one_cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-4, total_steps=6)


class Rates(Callback):
    """Keeps each batch's learning rate, and after each epoch what is logged of it."""

    def __init__(self):
        self.used, self.logged = [], []

    def on_train_batch_start(self, trainer, *_):
        self.used.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_end(self, trainer, *_):
        self.logged.append(float(trainer.callback_metrics["train/lr"]))


def test_a_schedule_of_ones_own_that_steps_with_the_batches():
    """Against torch's, stepped by hand."""
    rates = Rates()
    fit(small(OneCycle), batches(n=3), epochs=2, callbacks=[LearningRates(), rates])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    scheduler, expected = one_cycle(optimizer), []
    for _ in range(6):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates.used == pytest.approx(expected)
    assert rates.logged == pytest.approx([expected[3]])  # with which the last epoch begins


@pytest.mark.parametrize("kind", [Plain, Plateau])
def test_a_rate_without_a_schedule_of_ours(kind):
    rates = Rates()
    fit(small(kind), batches(n=3), epochs=2, callbacks=[LearningRates(), rates])
    assert rates.used == [0.25] * 6
    assert rates.logged == [0.25]


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("[[100,0.5]]", "scheduler: epochs [100] not reached within trainer.max_epochs=2"),
        ("[[1,0.5],[2,0.1]]", "scheduler: epochs [2] not reached within trainer.max_epochs=2"),
        ("[[1,0.5]]", None),
    ],
)
def test_a_step_that_no_epoch_reaches_is_named(steps, line, tmp_path, capsys):
    factors = ("scheduler=milestones", f"scheduler.factors={steps}")
    short_run(tmp_path, "model=ae", *factors)
    lines = [text for text in capsys.readouterr().out.splitlines() if "not reached" in text]
    assert lines == ([line] if line else [])


SWA = (
    "+trainer.callbacks=[{_target_: pytorch_lightning.callbacks.StochasticWeightAveraging,"
    " swa_lrs: 0.01, swa_epoch_start: 1}]"
)


def test_stochastic_weight_averaging_trains_as_many_epochs_as_asked(tmp_path, monkeypatch, capsys):
    """The pass in which batch normalization gathers the average's statistics is none of them."""

    def trained(name):
        """Epochs as metrics.json has them, as a checkpoint does, and by images seen."""
        metrics = metrics_of(tmp_path / name)
        images = metrics["images_per_second"] * metrics["train_seconds"]
        epoch = saved(tmp_path / name)["epoch"] + 1
        return metrics["epochs"], epoch, load_run(tmp_path / name).epochs, round(images / (3 * 16))

    arguments = ("model=ae", "logger=none", SWA)
    short_run(tmp_path / "a", *arguments)
    assert trained("a") == (2, 2, 2, 2)
    lines = [
        line.split(":")[0] for line in capsys.readouterr().out.splitlines() if ": loss" in line
    ]
    assert lines == ["Epoch 1/2", "Epoch 2/2", "Averaging"]
    with monkeypatch.context() as patch:
        patch.setattr(AutoEncoder, "test_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            short_run(tmp_path / "b", *arguments)
    short_run(tmp_path / "b", *arguments, resume=True)
    assert_identical(saved(tmp_path / "a")["state_dict"], saved(tmp_path / "b")["state_dict"])

    capsys.readouterr()
    short_run(tmp_path / "a", *arguments, "trainer.max_epochs=5", resume=True)
    assert trained("a") == (5, 5, 5, 5)
    lines = [
        line.split(":")[0] for line in capsys.readouterr().out.splitlines() if ": loss" in line
    ]
    assert lines == ["Epoch 3/5", "Epoch 4/5", "Epoch 5/5", "Averaging"]


def test_several_at_once(tmp_path):
    names = choices("callbacks")
    cfg = compose_train(f"callbacks=[{','.join(names)}]")
    check_settings(cfg)
    assert set(cfg.callbacks) == set(names) - {"none"}
    assert cfg.callbacks.early_stopping.monitor == "val/mse"
    assert compose_train().callbacks == {}
