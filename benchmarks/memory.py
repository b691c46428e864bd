"""The memory and the time that an evaluation takes beside its data.

    python benchmarks/memory.py [--examples 50000] [--judged 10000] [--kinds images vectors]

An untrained model of random examples, 64x64 colour images or vectors of 2,000 numbers, is
evaluated with the prior and a mixture as samplers. The memory is that of the whole process at its
peak, less what it held when the evaluation began: PyTorch and the data.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from common import at_least, measured_apart, memory_gib, print_table

from autoencoders.data import DataModule, Examples
from autoencoders.evaluation import Settings, evaluate
from autoencoders.launch.ending import one_line_errors
from autoencoders.models import VAE
from autoencoders.networks import MLP, Strided
from autoencoders.samplers import Mixture, Prior

SHAPES = {"images": (3, 64, 64), "vectors": (2000,)}
NETWORKS: dict[str, Any] = {"images": Strided(hidden_dim=4), "vectors": MLP(hidden_dim=16)}


class Noise(DataModule):
    """Random examples of two classes.

    Args:
        judged: test examples, and as many generated ones.
    """

    label = "noise"
    class_names = ("even", "odd")

    def __init__(self, kind: str, examples: int, judged: int) -> None:
        super().__init__(batch_size=64)
        self.kind = "image" if kind == "images" else "vector"
        self.examples, self.judged = examples, judged
        self.shape = SHAPES[kind]

    def load(self) -> tuple[Examples, Examples]:
        return self.make(self.examples), self.make(self.judged)

    def make(self, n: int) -> Examples:
        if self.kind == "image":
            values = torch.empty(n, *self.shape, dtype=torch.uint8).random_(0, 256)
        else:
            values = torch.randn(n, *self.shape)
        return Examples(values, torch.arange(n) % 2)


def measure(kind: str, examples: int, judged: int) -> tuple[float, float, float]:
    """GiB at the beginning, GiB more at the peak, seconds."""
    data = Noise(kind, examples, judged)
    data.setup()
    bounded = kind == "images"
    model = VAE(
        network=NETWORKS[kind], **data.spec | {"bounded": bounded}, cost="sigma", latent_dim=8
    )
    before, start = memory_gib("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    evaluate(model, data, Settings(), {"prior": Prior(), "mixture": Mixture(10)})
    return before, memory_gib("VmHWM") - before, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=at_least(100), default=50_000, help="to train on")
    parser.add_argument("--judged", type=at_least(100), default=10_000, help="to evaluate")
    parser.add_argument("--kinds", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    examples, judged = options.examples, options.judged
    if options.one:
        print("measured", *measure(options.kinds[0], examples, judged))
        return
    rows = []
    for kind in options.kinds:
        sizes = "--examples", str(examples), "--judged", str(judged)
        before, more, seconds = measured_apart(__file__, "--kinds", kind, *sizes)
        rows.append([kind, f"{examples:,}", f"{before:.2f}", f"{more:.2f}", f"{seconds:.0f}"])
    head = ["examples", "to train on", "GiB before", "GiB more at the peak", "seconds"]
    print_table(f"Evaluation of {judged:,} examples", head, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
