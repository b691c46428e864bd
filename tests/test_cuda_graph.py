"""The training step as one CUDA graph: what it computes, what it counts, when it steps aside."""

import json
import warnings

import pytest
import torch
from conftest import SMALL, choices, compose_train
from pytorch_lightning.callbacks import Callback
from torch import nn

from autoencoders import training
from autoencoders.data import Batch
from autoencoders.training import cuda_graph
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.cuda_graph import (
    WARM_UP,
    CapturedStep,
    CudaGraphStrategy,
    choose_strategy,
)
from train import train

MODELS = choices("model")
SHORT = (
    *(*SMALL, "trainer.max_epochs=2", "evaluate=false"),
    *("+trainer.limit_train_batches=8", "dataset.batch_size=180"),
)
pytestmark = pytest.mark.usefixtures("no_figures")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class PlainStep(CapturedStep):
    """Stands in for a GPU's: every step runs as it is."""

    def __call__(self, batch):
        return self.step(batch)


class ReplayedStep(CapturedStep):
    """Stands in for a GPU's from its first replay on: the step's Python runs once."""

    def __call__(self, batch):
        self.replayed = hasattr(self, "terms")
        if not self.replayed:
            self.terms = self.step(batch)
        return self.terms


def left_by(run):
    metrics = json.loads((run / "metrics.json").read_text())
    return {**read_checkpoint(run / "checkpoints/last.ckpt"), "metrics": metrics}


@pytest.mark.parametrize("model", ["vae", "wae"])  # automatic optimization, and its own
def test_the_strategy_trains_as_lightnings_own_does(model, tmp_path, monkeypatch):
    cfg = compose_train(f"model={model}", "trainer.accelerator=cpu", *SHORT)
    train(cfg, tmp_path / "lightning")
    monkeypatch.setattr(cuda_graph, "CapturedStep", PlainStep)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    strategy = CudaGraphStrategy(device="cpu")
    monkeypatch.setattr(training, "choose_strategy", lambda trainer, reason: strategy)
    train(cfg, tmp_path / "ours")
    ours, reference = left_by(tmp_path / "ours"), left_by(tmp_path / "lightning")
    for name, value in reference["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    assert ours["metrics"]["test/loss"] == reference["metrics"]["test/loss"]
    assert ours["global_step"] == reference["global_step"] > 0


def test_a_replay_counts_all_of_the_optimizers_steps(tmp_path, monkeypatch):
    steps = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, *_):
            steps.append(trainer.global_step)

    monkeypatch.setattr(cuda_graph, "CapturedStep", ReplayedStep)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    strategy = CudaGraphStrategy(device="cpu")
    monkeypatch.setattr(training, "choose_strategy", lambda trainer, reason: strategy)
    wae = ("model=wae", "model.discriminator_steps=3", "trainer.accelerator=cpu")
    train(compose_train(*wae, *SHORT), tmp_path, extra_callbacks=[Watch()])
    assert len(steps) > 2
    assert steps == [4 * (i + 1) for i in range(len(steps))]


def test_where_the_strategy_is_chosen(monkeypatch):
    def chosen(*overrides):
        return choose_strategy(compose_train(*overrides).trainer)

    monkeypatch.setattr(cuda_graph, "on_gpu", lambda accelerator: False)
    assert chosen() == "auto"
    monkeypatch.setattr(cuda_graph, "on_gpu", lambda accelerator: True)
    assert isinstance(chosen(), CudaGraphStrategy)
    assert chosen("trainer.strategy=eager") == "auto"
    assert choose_strategy(compose_train().trainer, "LBFGS looks at its numbers") == "auto"
    assert chosen("+trainer.gradient_clip_val=1") == "auto"
    assert chosen("+trainer.accumulate_grad_batches=2") == "auto"
    assert chosen("trainer.precision=16-mixed") == "auto"
    scheduler = "pytorch_lightning.callbacks.GradientAccumulationScheduler"
    assert chosen(f"+trainer.callbacks=[{{_target_: {scheduler}, scheduling: {{0: 2}}}}]") == "auto"
    for several in ("2", "'0,1'", "[0,1]"):
        assert chosen(f"trainer.devices={several}") == "ddp_find_unused_parameters_true"
    assert chosen("trainer.devices=2", "trainer.strategy=ddp") == "ddp"
    assert chosen("trainer.devices=[1]") == chosen("trainer.devices='0'") == "auto"
    assert chosen("+trainer.num_nodes=2") == "ddp_find_unused_parameters_true"
    assert chosen("trainer=ddp") == "ddp_find_unused_parameters_true"


@pytest.fixture
def linear():
    """A step of gradient descent on |Wx|^2, and W."""
    layer = nn.Linear(3, 2, bias=False).cuda()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(batch):
        loss = (layer(batch.x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    return step, layer, optimizer


def batches(n, size=4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, 3, generator=generator).cuda()
    return [Batch(x, torch.zeros(size).cuda())] * n


@needs_gpu
def test_a_captured_step_is_the_step(linear):
    step, layer, optimizer = linear
    start = layer.weight.detach().clone()
    sizes = [4] * (WARM_UP + 3) + [2, 4, 4]

    def weights_after(call, forget):
        layer.weight.data.copy_(start)
        optimizer.param_groups[0]["lr"] = 0.1
        for i, size in enumerate(sizes):
            if i == WARM_UP + 2:
                optimizer.param_groups[0]["lr"] = 0.01
                forget()
            call(batches(1, size)[0])
        return layer.weight.detach().clone()

    captured = CapturedStep(step)
    ours = weights_after(captured, captured.forget)
    assert captured.replayed
    torch.testing.assert_close(ours, weights_after(step, lambda: None))


@needs_gpu
def test_a_step_that_cannot_be_captured_runs_without(linear):
    step, layer, _ = linear

    def looking(batch):
        terms = step(batch)
        assert terms["loss"].item() >= 0
        return terms

    captured = CapturedStep(looking)
    for batch in batches(WARM_UP):
        captured(batch)
    with pytest.warns(UserWarning, match="cannot be captured"):
        captured(batches(1)[0])
    before = layer.weight.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured(batches(1)[0])
    assert not torch.equal(layer.weight, before)
    assert torch.randn(3, device="cuda").isfinite().all()


@needs_gpu
@pytest.mark.parametrize("model", MODELS)
def test_a_graph_trains_as_the_eager_step_does(model, tmp_path):
    for strategy in ("auto", "eager"):
        cfg = compose_train(
            f"model={model}", f"trainer.strategy={strategy}", "trainer.precision=32-true", *SHORT
        )
        train(cfg, tmp_path / strategy)
    ours, reference = left_by(tmp_path / "auto"), left_by(tmp_path / "eager")
    assert ours["global_step"] == reference["global_step"]
    for name, rel in (("train/loss", 1e-3), ("test/mse", 1e-2)):
        assert ours["metrics"][name] == pytest.approx(reference["metrics"][name], rel=rel)
