"""The time and the memory that data sets take before the first training step.

    python benchmarks/preparation.py [--examples 20000] [--kinds avatars folder table pbmc]

Avatars are composed, photographs of 178x218 pixels (CelebA's size) are decoded from JPEG and cut to
64x64, and a sparse matrix of counts (.npz, 5,000 columns, one number in ten) is normalised; `pbmc`
always has its 700 cells. The memory is that of the whole process at its peak, less what it held
before: PyTorch. `again` is a second run's time, which finds images as they were kept.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import at_least, measured_apart, memory_gib, print_table
from PIL import Image
from scipy import sparse

from autoencoders.data import PBMC, Avatars, DataModule, Folder, Table
from autoencoders.errors import one_line_errors

PHOTOGRAPH, GENES, DENSITY = (178, 218), 5000, 0.1


def avatars(place: Path, examples: int) -> Callable[[], DataModule]:
    return lambda: Avatars(images=examples, data_dir=place)


def folder(place: Path, examples: int) -> Callable[[], DataModule]:
    """Random photographs: coarse noise made large, which compresses as pictures do."""
    generator = np.random.default_rng(0)
    (place / "photographs").mkdir()
    for i in range(examples):
        noise = Image.fromarray(generator.integers(256, size=(12, 10, 3), dtype=np.uint8))
        noise.resize(PHOTOGRAPH, Image.Resampling.BICUBIC).save(place / f"photographs/{i}.jpg")
    return lambda: Folder(path=place / "photographs", data_dir=place)


def table(place: Path, examples: int) -> Callable[[], DataModule]:
    generator = np.random.default_rng(0)
    counts = sparse.random(examples, GENES, DENSITY, "csr", np.float32, generator)
    counts.data = np.ceil(10 * counts.data)
    sparse.save_npz(place / "counts.npz", counts)
    return lambda: Table(path=place / "counts.npz")


def pbmc(place: Path, examples: int) -> Callable[[], DataModule]:
    return PBMC


KINDS = {kind.__name__: kind for kind in (avatars, folder, table, pbmc)}


def prepare(make: Callable[[], DataModule]) -> float:
    """Seconds."""
    start = time.perf_counter()
    data = make()
    data.prepare_data()
    data.setup()
    return time.perf_counter() - start


def measure(kind: str, place: Path, examples: int) -> tuple[float, float, float]:
    """Seconds, seconds again, GiB more at the peak."""
    make = KINDS[kind](place, examples)
    before = memory_gib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    first, again = prepare(make), prepare(make)
    return first, again, memory_gib("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=at_least(30), default=20_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("measured", *measure(options.kinds[0], options.one, options.examples))
        return
    rows = []
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as place:
            arguments = place, "--kinds", kind, "--examples", str(options.examples)
            first, again, more = measured_apart(__file__, *arguments)
        rows.append([kind, f"{first:.1f}", f"{again:.1f}", f"{more:.2f}"])
    head = ["`dataset=`", "seconds", "again", "GiB more at the peak"]
    print_table(f"Preparing {options.examples:,} examples", head, rows)


if __name__ == "__main__":
    with one_line_errors():
        main()
