"""Images per second in training: `python train.py` against the tutorial's plain loop.

    python benchmarks/throughput.py [--models wae] [--steps 5] [--rounds 3]

At the tutorial's network sizes and batch 256, rounds of a few steps each are interleaved and their
medians taken:

plain      the tutorial's loop (plain.py), in full precision
ours       `python train.py`: its data, its logging, its callbacks
bare       the model's own step in a bare loop, on a batch that is there already
floor      the step's convolutions and matrix products alone, forward and backward, one by one

On a GPU the bare step and the floor's parts are CUDA graphs, as the step of `python train.py` is;
`eager` is `python train.py trainer.strategy=eager`, which does without.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable

import plain
import torch
from common import device, print_table, timed, train_seconds
from torch import Tensor, nn

from autoencoders.models import WAEGAN, AutoEncoder
from autoencoders.models.base import Batch, Losses
from autoencoders.networks import Tutorial
from autoencoders.training.cuda_graph import CapturedStep

BATCH = 256
HIDDEN, LATENT = 40, 20
SIZES = {"network": Tutorial(hidden_dim=HIDDEN), "latent_dim": LATENT}
SIZES_OVERRIDES = [f"network.hidden_dim={HIDDEN}", f"model.latent_dim={LATENT}"]


def autocast(precision: str) -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16, enabled=precision == "bf16-mixed")


def plain_seconds(name: str, images: Tensor, steps: int) -> float:
    model_class, make_step = plain.STEPS[name]
    model = model_class(**SIZES).to(device(), memory_format=torch.contiguous_format).train()
    step, batches = make_step(model), plain.batches(images, BATCH, device())
    return timed(lambda: step(next(batches)), steps)


def bare_seconds(model: AutoEncoder, precision: str, x: Tensor, steps: int) -> float:
    """The model's own training step without Lightning around it."""
    configured = model.configure_optimizers()
    configured = configured if isinstance(configured, list) else [configured]
    optimizers = [entry["optimizer"] for entry in configured]
    if isinstance(model, WAEGAN):
        model.optimizers = lambda: optimizers  # type: ignore[method-assign, assignment]
        model.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]

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
    return timed(lambda: step((x, x)), steps)


def floor_seconds(model: AutoEncoder, precision: str, x: Tensor, steps: int) -> float:
    """Each convolution and matrix product of the model's step, timed by itself and added up."""
    calls: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda m, inputs, _: calls.append((m, inputs[0].detach())))
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    with autocast(precision), torch.no_grad():
        out = model(x)
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


def rates(name: str, precisions: list[str], images: Tensor, steps: int) -> dict[str, float]:
    """One round: images per second of each way, one after the other."""
    x = (images[:BATCH] / 255).to(device())
    found = {"plain": plain_seconds(name, images, steps)}
    for precision in precisions:
        model_class = plain.STEPS[name][0]
        settings = SIZES | {"schedule": "constant"}
        model = model_class(**settings).to(device()).train()
        found[f"bare {precision}"] = bare_seconds(model, precision, x, steps)
        found[f"ours {precision}"] = train_seconds(
            steps, BATCH, f"model={name}", f"trainer.precision={precision}", *SIZES_OVERRIDES
        )
        if device().type == "cuda":
            eager = (f"trainer.precision={precision}", "trainer.strategy=eager")
            found[f"eager {precision}"] = train_seconds(
                steps, BATCH, f"model={name}", *eager, *SIZES_OVERRIDES
            )
        found[f"floor {precision}"] = floor_seconds(model, precision, x, steps)
    return {key: BATCH / seconds for key, seconds in found.items()}


def ratio(rounds: list[dict[str, float]], a: str, b: str | None = None) -> float:
    """The median over rounds of a, or of a / b."""
    return statistics.median(each[a] / (each[b] if b else 1) for each in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = 200 if torch.cuda.is_available() else 5
    parser.add_argument("--steps", type=int, default=steps, help="steps a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, interleaved")
    parser.add_argument("--models", nargs="+", default=["ae", "vae", "wae"], choices=plain.STEPS)
    options = parser.parse_args()

    images = torch.randint(256, (20 * BATCH, 1, 28, 28), dtype=torch.uint8)
    precisions = ["32-true", "bf16-mixed"]
    rows = []
    for name in options.models:
        rounds = [rates(name, precisions, images, options.steps) for _ in range(options.rounds)]
        rows.append([name, "plain loop", f"{ratio(rounds, 'plain'):.0f}", "1.00", "", ""])
        ways = ["ours", "eager"] if device().type == "cuda" else ["ours"]
        for precision, way in itertools.product(precisions, ways):
            ours = f"{way} {precision}"
            rows.append(
                [
                    name,
                    precision if way == "ours" else ours,
                    f"{ratio(rounds, ours):.0f}",
                    f"{ratio(rounds, ours, 'plain'):.2f}",
                    f"{ratio(rounds, f'bare {precision}', ours) - 1:+.1%}",
                    f"{ratio(rounds, ours, f'floor {precision}'):.0%}",
                ]
            )
    head = ["model", "precision", "images/s", "x plain", "over the bare step", "share of the floor"]
    print_table(f"Training, batch {BATCH}, hidden_dim {HIDDEN}, latent_dim {LATENT}", head, rows)


if __name__ == "__main__":
    main()
