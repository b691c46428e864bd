"""Images per second in training: `python train.py` against the tutorial's plain loop.

    python benchmarks/throughput.py [--models wae] [--steps 5] [--rounds 3]
    python benchmarks/throughput.py --steps 1 --rounds 1 --batch-size 8 --hidden-dim 2  # seconds

At the tutorial's network sizes and batch 256, rounds of a few steps each are interleaved and their
medians taken, in full precision and in bfloat16 where the processor computes it natively:

plain      the tutorial's loop (plain.py), in full precision
ours       `python train.py`: its data, its logging, its callbacks
bare       the model's own step in a bare loop, on a batch that is there already
floor      the step's convolutions and matrix products alone, forward and backward, one by one

On a GPU the bare step and the floor's parts are CUDA graphs, as the step of `python train.py` is;
`eager` is `python train.py trainer.strategy=eager`, which does without.
"""

import argparse
import contextlib
import io
import itertools
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import plain
import torch
from common import at_least, device, print_table, timed, train_seconds
from torch import Tensor, nn

from autoencoders.data import Batch
from autoencoders.models import WAEGAN, AutoEncoder
from autoencoders.models.base import Losses
from autoencoders.networks import Tutorial
from autoencoders.training.cuda_graph import CapturedStep
from autoencoders.training.precision import choose_precision

LATENT = 20
PRECISIONS = ["32-true", "bf16-mixed"]


class Workload(NamedTuple):
    """What every way of training is given: a model's name and sizes, and steps to time."""

    name: str
    hidden_dim: int
    batch_size: int
    steps: int

    def model(self) -> Any:
        model_class, _ = plain.STEPS[self.name]
        network = Tutorial(hidden_dim=self.hidden_dim)
        model = model_class(network=network, latent_dim=LATENT, scheduler=None)
        return model.to(device()).train()

    def train_seconds(self, *overrides: str) -> float:
        """Seconds a step of `python train.py`."""
        sizes = f"network.hidden_dim={self.hidden_dim}", f"model.latent_dim={LATENT}"
        model = f"model={self.name}"
        return train_seconds(self.steps, self.batch_size, model, *sizes, *overrides)


def native_precisions() -> list[str]:
    """Full precision, and bfloat16 if the processor computes it natively."""
    with contextlib.redirect_stdout(io.StringIO()):  # it names the key of train.py
        fastest = choose_precision("auto", "auto")
    return [precision for precision in PRECISIONS if precision in ("32-true", fastest)]


def autocast(precision: str) -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16-mixed")


def plain_seconds(work: Workload, images: Tensor) -> float:
    _, make_step = plain.STEPS[work.name]
    step = make_step(work.model().to(memory_format=torch.contiguous_format))
    batches = plain.batches(images, work.batch_size, device())
    return timed(lambda: step(next(batches)), work.steps)


def bare_seconds(model: AutoEncoder, precision: str, x: Tensor, steps: int) -> float:
    """The model's own training step without Lightning around it."""
    configured = model.configure_optimizers()
    configured = configured if isinstance(configured, list) else [configured]
    optimizers = [entry["optimizer"] for entry in configured]
    if isinstance(model, WAEGAN):
        model.optimizers = lambda: optimizers  # type: ignore[method-assign, assignment]

    def step(batch: Batch) -> Losses:
        with autocast(precision):
            losses = model.training_step(batch)
        if model.automatic_optimization:
            optimizers[0].zero_grad()
            losses["loss"].backward()
            optimizers[0].step()
        return {name: loss.detach() for name, loss in losses.items()}

    if device().type == "cuda":
        step = CapturedStep(step)
    return timed(lambda: step(Batch(x)), steps)


def floor_seconds(model: AutoEncoder, precision: str, x: Tensor, steps: int) -> float:
    """Each convolution and matrix product of the model's step, timed by itself and added up."""
    calls: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, inputs, _: calls.append((m, inputs[0].detach())))
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    with autocast(precision), torch.no_grad():
        out = model(Batch(x))
        if isinstance(model, WAEGAN):  # D sees prior and codes in its step, codes in the other's
            for _ in range(3):
                model.discriminator(out.z)
    for hook in hooks:
        hook.remove()

    total = 0.0
    for module, inputs in calls:
        inputs = inputs.requires_grad_(inputs.shape != x.shape)  # images take no gradient
        with autocast(precision):
            gradient = torch.ones_like(module(inputs))

        def both(module: nn.Module = module, inputs: Tensor = inputs, g: Tensor = gradient) -> None:
            with autocast(precision):
                y = module(inputs)
            y.backward(g)
            module.zero_grad()  # the step overwrites gradients, and does not add to them
            inputs.grad = None

        total += timed(_captured(both) if device().type == "cuda" else both, steps)
    return total


def _captured(call: Callable[[], None]) -> Callable[[], None]:
    """The same as one launch, so that the GPU's time counts and not Python's."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def rates(work: Workload, precisions: list[str], images: Tensor) -> dict[str, float]:
    """One round: images per second of each way, one after the other."""
    x = (images[: work.batch_size] / 255).to(device())
    seconds = {"plain": plain_seconds(work, images)}
    for precision in precisions:
        model, override = work.model(), f"trainer.precision={precision}"
        seconds[f"bare {precision}"] = bare_seconds(model, precision, x, work.steps)
        seconds[f"ours {precision}"] = work.train_seconds(override)
        if device().type == "cuda":
            eager = work.train_seconds(override, "trainer.strategy=eager")
            seconds[f"eager {precision}"] = eager
        seconds[f"floor {precision}"] = floor_seconds(model, precision, x, work.steps)
    return {way: work.batch_size / of_step for way, of_step in seconds.items()}


def ratio(rounds: list[dict[str, float]], a: str, b: str | None = None) -> float:
    """The median over rounds of a, or of a / b."""
    return statistics.median(each[a] / (each[b] if b else 1) for each in rounds)


def rows_of(work: Workload, precisions: list[str], rounds: int) -> list[list[str]]:
    """The table's rows of one model."""
    images = torch.randint(256, (20 * work.batch_size, 1, 28, 28), dtype=torch.uint8)
    found = [rates(work, precisions, images) for _ in range(rounds)]
    rows = [[work.name, "plain loop", f"{ratio(found, 'plain'):.0f}", "1.00", "", ""]]
    ways = ["ours", "eager"] if device().type == "cuda" else ["ours"]
    for precision, way in itertools.product(precisions, ways):
        ours = f"{way} {precision}"
        rows.append(
            [
                work.name,
                precision if way == "ours" else ours,
                f"{ratio(found, ours):.0f}",
                f"{ratio(found, ours, 'plain'):.2f}",
                f"{ratio(found, f'bare {precision}', ours) - 1:+.1%}",
                f"{ratio(found, ours, f'floor {precision}'):.0%}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = 200 if torch.cuda.is_available() else 5
    parser.add_argument("--steps", type=at_least(1), default=steps, help="steps a round")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="rounds, interleaved")
    parser.add_argument("--models", nargs="+", default=list(plain.STEPS), choices=plain.STEPS)
    parser.add_argument("--batch-size", type=at_least(2), default=256)
    parser.add_argument("--hidden-dim", type=at_least(1), default=40)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS)
    options = parser.parse_args()

    hidden_dim, batch_size = options.hidden_dim, options.batch_size
    precisions = options.precisions or native_precisions()
    rows = []
    for name in options.models:
        work = Workload(name, hidden_dim, batch_size, options.steps)
        rows += rows_of(work, precisions, options.rounds)
    head = ["model", "precision", "images/s", "x plain", "over the bare step", "share of the floor"]
    title = f"Training, batch {batch_size}, hidden_dim {hidden_dim}, latent_dim {LATENT}"
    print_table(title, head, rows)


if __name__ == "__main__":
    main()
