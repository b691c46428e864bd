"""The time and the memory that data sets take before the first training step, and for an epoch.

    python benchmarks/preparation.py [--examples 20000] [--kinds avatars folder table npy h5ad pbmc]
        [--columns 2000]

Avatars are composed, photographs of 178x218 pixels (CelebA's size) are decoded from JPEG and cut to
64x64. Matrices: `table` is a sparse .npz of counts (5,000 columns, one number in ten), `npy` one of
normal numbers, `h5ad` one of sparse counts (one in ten); both have `--columns` columns. `pbmc`
always has its 700 cells. The memory is what the process has of its own at the peak, less what it
held before (PyTorch); pages of files that are mapped into memory are the system's to take back.
`again` is a second run's time, which finds what was kept. An epoch is of the batches alone, without
a model.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import at_least, measured_apart, memory_gib, print_table
from PIL import Image
from scipy import sparse

from autoencoders.data import PBMC, Avatars, DataModule, Folder, Table
from autoencoders.launch.ending import one_line_errors

PHOTOGRAPH, GENES, DENSITY = (178, 218), 5000, 0.1
BLOCK = 10_000  # rows that are made at once


def avatars(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    return lambda: Avatars(images=examples, data_dir=place)


def folder(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    """Random photographs: coarse noise made large, which compresses as pictures do."""
    generator = np.random.default_rng(0)
    (place / "photographs").mkdir()
    for i in range(examples):
        noise = Image.fromarray(generator.integers(256, size=(12, 10, 3), dtype=np.uint8))
        noise.resize(PHOTOGRAPH, Image.Resampling.BICUBIC).save(place / f"photographs/{i}.jpg")
    return lambda: Folder(path=place / "photographs", data_dir=place)


def table(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    generator = np.random.default_rng(0)
    counts = sparse.random(examples, GENES, DENSITY, "csr", np.float32, generator)
    counts.data = np.ceil(10 * counts.data)
    sparse.save_npz(place / "counts.npz", counts)
    return lambda: Table(path=place / "counts.npz")


def npy(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    generator = np.random.default_rng(0)
    shape = (examples, columns)
    values = np.lib.format.open_memmap(place / "m.npy", "w+", np.float32, shape)
    for start in range(0, examples, BLOCK):
        rows = values[start : start + BLOCK]
        rows[:] = generator.standard_normal(rows.shape, np.float32)
    values.flush()
    return lambda: Table(path=place / "m.npy", features=None)


def h5ad(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    import anndata

    generator = np.random.default_rng(0)
    counts = sparse.random(examples, columns, DENSITY, "csr", np.float32, generator)
    counts.data = np.ceil(10 * counts.data)
    anndata.AnnData(counts).write_h5ad(place / "m.h5ad")
    return lambda: Table(path=place / "m.h5ad", features=None)


def pbmc(place: Path, examples: int, columns: int) -> Callable[[], DataModule]:
    return PBMC


KINDS = {kind.__name__: kind for kind in (avatars, folder, table, npy, h5ad, pbmc)}


class Peak(threading.Thread):
    """The most memory that this process has had of its own, in GiB, since it was started."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.gib, self.done = 0.0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.gib = max(self.gib, memory_gib("RssAnon"))


def prepare(make: Callable[[], DataModule]) -> tuple[float, DataModule]:
    """Seconds, and the data."""
    start = time.perf_counter()
    data = make()
    data.prepare_data()
    data.setup()
    return time.perf_counter() - start, data


def epoch(data: DataModule) -> float:
    """Seconds that all training batches take."""
    start = time.perf_counter()
    for batch in data.train_dataloader():
        data.on_after_batch_transfer(batch, 0)
    return time.perf_counter() - start


def measure(
    kind: str, place: Path, examples: int, columns: int
) -> tuple[float, float, float, float]:
    """Seconds, seconds again, seconds an epoch, GiB more at the peak."""
    make = KINDS[kind](place, examples, columns)
    before = memory_gib("RssAnon")
    peak = Peak()
    peak.start()
    first, data = prepare(make)
    batches = epoch(data)
    del data
    again, _ = prepare(make)
    peak.done.set()
    return first, again, batches, max(0.0, peak.gib - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=at_least(30), default=20_000)
    parser.add_argument("--columns", type=at_least(2), default=2000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    examples, columns = options.examples, options.columns
    if options.one:
        print("measured", *measure(options.kinds[0], options.one, examples, columns))
        return
    rows = []
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as place:
            sizes = "--examples", str(examples), "--columns", str(columns)
            measured = measured_apart(__file__, place, "--kinds", kind, *sizes)
        first, again, batches, more = measured
        rows.append([kind, f"{first:.1f}", f"{again:.1f}", f"{batches:.1f}", f"{more:.2f}"])
    head = ["`dataset=`", "seconds", "again", "an epoch of batches", "GiB more at the peak"]
    print_table(f"Preparing {examples:,} examples", head, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
