"""What the benchmarks share: the machine's name, small data, timing, arguments and tables."""

import argparse
import contextlib
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

ROOT = Path(__file__).parents[1]
# Steps that do not count: on a GPU libraries choose their algorithms and the step is captured.
WARM_UP = 10 if torch.cuda.is_available() else 2
sys.path.insert(0, str(ROOT))  # for train.py


def compose_run(*overrides: str) -> DictConfig:
    """The config that `python train.py <overrides>` composes."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def write_random_mnist(folder: Path, n: int) -> None:
    """MNIST's four files with n random training images: speed does not ask what they show."""
    folder.mkdir(parents=True)
    for part, count in (("train", n), ("t10k", 256)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
            content = torch.randint(10, shape, dtype=torch.uint8).numpy().tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + content)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    """Seconds, once the device has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(step: Callable[[], object], steps: int) -> float:
    """Seconds a step, after the warm-up."""
    for _ in range(WARM_UP):
        step()
    start = now()
    for _ in range(steps):
        step()
    return (now() - start) / steps


class Clock(pl.Callback):
    """Times the steps of an epoch after the warm-up."""

    def on_train_batch_end(
        self, trainer: Any, model: Any, outputs: Any, batch: Any, i: int
    ) -> None:
        if i == WARM_UP - 1:
            self.start = now()
        if trainer.is_last_batch:
            self.seconds = (now() - self.start) / (i + 1 - WARM_UP)


def train_seconds(steps: int, batch_size: int, *overrides: str, images: int = 0) -> float:
    """Seconds a step of `python train.py <overrides>`, after the warm-up.

    Args:
        images: size of the data set, by default what the steps need.
    """
    from train import train

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        images = images or (WARM_UP + steps) * batch_size
        write_random_mnist(Path(folder) / "MNIST/raw", images)
        cfg = compose_run(
            "dataset=mnist",
            f"dataset.data_dir={folder}",
            f"dataset.batch_size={batch_size}",
            "dataset.val_size=0",
            "monitor=train/loss",
            "trainer.max_epochs=1",
            "evaluate=false",
            f"+trainer.limit_train_batches={WARM_UP + steps}",
            "+trainer.limit_test_batches=1",
            *overrides,
        )
        with contextlib.redirect_stdout(nowhere):
            train(cfg, Path(folder), extra_callbacks=[clock])
    return clock.seconds


def memory_gib(name: str) -> float:
    """Of this process, as Linux counts it: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


def measured_apart(file: str, *arguments: str) -> list[float]:
    """The numbers that `python <file> --one <arguments>` prints after `measured`: in a process of
    its own, whose memory nothing else has used."""
    command = [sys.executable, file, "--one", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:  # it has said why
        sys.exit(done.returncode)
    return [float(number) for number in done.stdout.rpartition("measured ")[2].split()]


def at_least(least: int) -> Callable[[str], int]:
    """The type of a command's argument: a whole number that is no smaller."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}: must be at least {least}")
        return value

    return number


def machine() -> str:
    """The processor, its cores and torch's version."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((li.split(":")[1].strip() for li in lines if "model name" in li), name)
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    cores = os.cpu_count()
    return f"{name}, {cores} cores, torch {torch.__version__}, Python {platform.python_version()}"


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table, as the README has it, after the day and the machine."""
    print(f"\n{title} ({time.strftime('%Y-%m-%d')}; {machine()})\n")
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
