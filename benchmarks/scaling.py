"""How the cost of training grows: images per second and peak memory of `python train.py`.

    python benchmarks/scaling.py            # minutes
    python benchmarks/scaling.py --quick    # two narrow networks, within a minute

One thing at a time is changed from the tutorial's WAE-GAN (hidden_dim 40, batch 256, 60,000
images); every row is a process of its own, so that its peak memory is its own.
"""

import argparse
import multiprocessing
import statistics

from common import at_least, print_table, train_seconds

from autoencoders.training.record import peak_memory

TUTORIAL = {"hidden_dim": 40, "batch_size": 256, "images": 60_000}
ROWS = [
    *({"batch_size": n} for n in (32, 128, 512, 2048, 4096)),
    *({"hidden_dim": n} for n in (16, 32, 64, 128)),
    *({"images": n} for n in (10_000, 60_000)),  # no fewer: all timed batches must be full
]
QUICK_ROWS = [{"hidden_dim": n, "images": 10_000} for n in (4, 8)]


def measure(settings: dict[str, int], work: int) -> tuple[float, float]:
    """Images per second, and the process's peak memory in GiB.

    Args:
        work: what is timed, as images times hidden_dim: enough to time, and little enough that the
            widest network is done in seconds.
    """
    batch = settings["batch_size"]
    steps = max(2, work // (batch * settings["hidden_dim"]))
    seconds = train_seconds(
        steps,
        batch,
        f"network.hidden_dim={settings['hidden_dim']}",
        "model.latent_dim=20",
        images=settings["images"],
    )
    return batch / seconds, peak_memory()["peak_memory_gib"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=at_least(1), default=1, help="rounds, interleaved")
    parser.add_argument("--quick", action="store_true", help="two narrow networks")
    options = parser.parse_args()

    changes, work = (QUICK_ROWS, 4_000) if options.quick else (ROWS, 40_000)
    every = [TUTORIAL | changed for changed in changes]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:  # one process a row, one after the other
        jobs = [(settings, work) for settings in every]
        rounds = [pool.starmap(measure, jobs, chunksize=1) for _ in range(options.rounds)]
    rows = []
    for index, settings in enumerate(every):
        rate = statistics.median(found[index][0] for found in rounds)
        memory = statistics.median(found[index][1] for found in rounds)
        rows.append([*settings.values(), f"{rate:,.0f}", f"{memory:.2f}"])
    print_table("Scaling, WAE-GAN", [*TUTORIAL, "images/s", "peak memory, GiB"], rows)


if __name__ == "__main__":
    main()
