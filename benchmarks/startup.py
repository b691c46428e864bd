"""Seconds from the command to its first answer.

    python benchmarks/startup.py [--rounds 5]

`--help`, a mistyped key, and `python train.py` until its first training step: `last.ckpt` is
written just before.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, at_least, print_table


def until_exit(argument: str, status: int) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, ROOT / "train.py", argument], capture_output=True)
    if done.returncode != status:
        sys.exit(f"python train.py {argument} ended with {done.returncode}; run it to see why")
    return time.perf_counter() - start


def until_first_step() -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, ROOT / "train.py", f"hydra.run.dir={folder}/run"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (Path(folder) / "run/checkpoints/last.ckpt").exists():
            if process.poll() is not None:
                sys.exit("python train.py ended before its first step; run it to see why")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least(1), default=5, help="rounds, interleaved")
    options = parser.parse_args()

    ways = {
        "`python train.py --help`": lambda: until_exit("--help", 0),
        "`python train.py modle=wae`, to its error": lambda: until_exit("modle=wae", 1),
        "`python train.py`, to its first training step": until_first_step,
    }
    rounds = [{name: way() for name, way in ways.items()} for _ in range(options.rounds)]
    rows = [[name, f"{statistics.median(r[name] for r in rounds):.1f}"] for name in ways]
    print_table("Startup", ["", "seconds"], rows)


if __name__ == "__main__":
    main()
