"""Time to quality, ours beside Pythae's: how far samples are from real images, after how long.

    python -m venv .venv-pythae && .venv-pythae/bin/pip install -q -e '.[flow]' pythae
    .venv-pythae/bin/python benchmarks/quality.py            # digits, one seed: minutes
    .venv-pythae/bin/python benchmarks/quality.py --full     # MNIST, three seeds: hours

Both train the same networks on the same images, with the same seeds, batches, epochs, learning
rate and weights of the regularisers, squared error throughout, and both are judged by FD-CNN on the
test set. Each package fits its own samplers and computes in the precision that it picks itself.
Seconds are those of training and of the sampler's fit. The curves go to --figure.
"""

import argparse
import contextlib
import copy
import io
import itertools
import logging
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

if not (find_spec("pythae") and find_spec("zuko")):
    sys.exit("error: pythae and zuko are needed here: pip install -e '.[flow]' pythae")

import matplotlib.pyplot as plt
import pytorch_lightning as pl
import torch
from common import at_least, compose_run, device, now, print_table
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from pythae import models, samplers, trainers
from pythae.data.datasets import BaseDataset
from pythae.trainers.training_callbacks import TrainingCallback
from pythae_networks import PythaeDecoder, PythaeEncoder
from torch import Tensor

from autoencoders.data import DataModule
from autoencoders.evaluation.coding import decode, encode
from autoencoders.features import load_extractor
from autoencoders.metrics.distances import frechet_distance
from autoencoders.models import AutoEncoder
from autoencoders.networks import Strided
from autoencoders.runs.build import build
from autoencoders.samplers import Flow, Mixture, Prior, Sampler, TwoStage
from train import train

HIDDEN, LATENT, BATCH, LR = 32, 16, 256, 1e-3
NETWORK = Strided(hidden_dim=HIDDEN)
COMPONENTS, SAMPLER_BATCH = 10, 512

# Pythae's models, with the weights that ours have by default. Its VAEs halve the squared error, so
# that half of the KL divergence stands beside it. Its RAE leaves the decoder's weights to Adam,
# whose decay is the gradient of half of their squares.
PYTHAE = {
    "ae": (models.AE, models.AEConfig, {}),
    "vae": (models.BetaVAE, models.BetaVAEConfig, {"reconstruction_loss": "mse", "beta": 0.5}),
    "rae": (models.RAE_L2, models.RAE_L2_Config, {"embedding_weight": 0.1}),
    "wae_mmd": (models.WAE_MMD, models.WAE_MMD_Config, {"reg_weight": 200.0}),
}
DECODER_DECAY = 2e-3

# What is fitted on the codes of each model: ours, and Pythae's that is most like it.
SAMPLERS: dict[str, tuple[type[Sampler], Any]] = {
    "prior": (Prior, samplers.NormalSampler),
    "mixture": (Mixture, samplers.GaussianMixtureSampler),
    "flow": (Flow, samplers.MAFSampler),
    "two_stage": (TwoStage, samplers.TwoStageVAESampler),
}
OF_MODEL = {
    "ae": ("mixture", "flow"),
    "vae": ("prior", "mixture", "two_stage"),
    "rae": ("mixture", "flow"),
    "wae_mmd": ("prior", "mixture"),
}


class System(NamedTuple):
    """What a curve is of."""

    package: str
    model: str
    sampler: str


class Snapshot(NamedTuple):
    """A model on its way: its weights, and the seconds that they took to train."""

    epoch: int
    seconds: float
    weights: dict[str, Tensor]


class Stopwatch:
    """Takes snapshots after epochs 1, 2, 4, ... and the last one, and does not count their time."""

    def __init__(self, epochs: int) -> None:
        self.epochs = {2**i for i in range(epochs.bit_length()) if 2**i < epochs} | {epochs}
        self.epoch, self.seconds, self.start = 0, 0.0, 0.0
        self.snapshots: list[Snapshot] = []

    def go_on(self) -> None:
        self.start = now()

    def end_epoch(self, model: torch.nn.Module) -> None:
        self.epoch += 1
        self.seconds += now() - self.start
        if self.epoch in self.epochs:
            weights = copy.deepcopy(model.state_dict())
            self.snapshots.append(Snapshot(self.epoch, self.seconds, weights))
        self.go_on()


class OurWatch(pl.Callback):
    """The stopwatch in Lightning's hands."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def on_train_start(self, trainer: Any, model: Any) -> None:
        self.watch.go_on()

    def on_train_epoch_end(self, trainer: Any, model: Any) -> None:
        self.watch.end_epoch(model)


class PythaeWatch(TrainingCallback):
    """The stopwatch in Pythae's hands."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def on_train_begin(self, training_config: Any, **kwargs: Any) -> None:
        self.watch.go_on()

    def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
        self.watch.end_epoch(kwargs["model"])


def train_ours(name: str, dataset: str, epochs: int, seed: int) -> tuple[Any, list[Snapshot]]:
    """Train by `python train.py`'s own function; the model, and what it was on its way."""
    watch = Stopwatch(epochs)
    cfg = compose_run(
        *(f"model={name}", f"dataset={dataset}", "network=strided", f"seed={seed}"),
        *(f"network.hidden_dim={HIDDEN}", f"model.latent_dim={LATENT}", f"model.lr={LR}"),
        *("model.cost=mse", "model.schedule=constant", f"dataset.batch_size={BATCH}"),
        *("dataset.val_size=0", "monitor=train/loss", f"trainer.max_epochs={epochs}"),
        *("evaluate=false", "logger=none", "+trainer.enable_progress_bar=false"),
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train(cfg, Path(folder), extra_callbacks=[OurWatch(watch)])
    _, model = build(cfg)
    return model.to(device()), watch.snapshots


def train_pythae(name: str, x: Tensor, epochs: int, seed: int) -> tuple[Any, list[Snapshot]]:
    """The same by Pythae's trainer, on images x (N, 1, 28, 28)."""
    watch = Stopwatch(epochs)
    model_class, config_class, weights = PYTHAE[name]
    shape = tuple(x.shape[1:])
    torch.manual_seed(seed)
    model = model_class(
        config_class(input_dim=shape, latent_dim=LATENT, **weights),
        encoder=PythaeEncoder(NETWORK, shape, LATENT, heads=2 if name == "vae" else 1),
        decoder=PythaeDecoder(NETWORK, shape, LATENT),
    )
    settings: dict[str, Any] = {"num_epochs": epochs, "per_device_train_batch_size": BATCH}
    settings |= {"seed": seed, "no_cuda": not torch.cuda.is_available()}
    trainer: Any = trainers.BaseTrainer
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        if name == "rae":
            trainer = trainers.CoupledOptimizerTrainer
            config = trainers.CoupledOptimizerTrainerConfig(
                output_dir=folder,
                encoder_learning_rate=LR,
                decoder_learning_rate=LR,
                decoder_optimizer_params={"weight_decay": DECODER_DECAY},
                **settings,
            )
        else:
            config = trainers.BaseTrainerConfig(output_dir=folder, learning_rate=LR, **settings)
        data = BaseDataset(x, torch.zeros(len(x)))
        trainer(model, data, training_config=config, callbacks=[PythaeWatch(watch)]).train()
    return model, watch.snapshots


def sample_ours(
    model: AutoEncoder, name: str, data: DataModule, seed: int, epochs: int
) -> tuple[float, Tensor]:
    """Seconds to fit a sampler, and as many images as the test set has, uint8."""
    settings = {
        "mixture": {"components": COMPONENTS},
        "flow": {"epochs": epochs, "batch_size": SAMPLER_BATCH},
        "two_stage": {"epochs": epochs, "batch_size": SAMPLER_BATCH},
    }
    sampler_class, _ = SAMPLERS[name]
    start = now()
    # The prior learns nothing of codes, and need not wait for them.
    codes = torch.empty(0) if name == "prior" else encode(model, data.train.values).z
    sampler = sampler_class(**settings.get(name, {})).fit(codes, model.prior, seed)
    seconds = now() - start
    return seconds, decode(model, sampler.draw(len(data.test), torch.Generator().manual_seed(seed)))


def sample_pythae(
    model: Any, name: str, data: DataModule, seed: int, epochs: int
) -> tuple[float, Tensor]:
    """The same with Pythae's sampler."""
    torch.manual_seed(seed)
    _, sampler_class = SAMPLERS[name]
    x = data.train.x()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        options: dict[str, Any] = {}
        if name == "mixture":
            config = samplers.GaussianMixtureSamplerConfig(n_components=COMPONENTS)
            options = {"sampler_config": config}
        start = now()
        sampler = sampler_class(model, **options)
        if name == "mixture":
            sampler.fit(x)
        elif name != "prior":
            training = trainers.BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=SAMPLER_BATCH,
                learning_rate=LR,
                seed=seed,
                no_cuda=not torch.cuda.is_available(),
            )
            sampler.fit(x, training_config=training)
        seconds = now() - start
        images = sampler.sample(num_samples=len(data.test), batch_size=500, return_gen=True)
    return seconds, (255 * images.clamp(0, 1)).round().to(torch.uint8).cpu()


class Point(NamedTuple):
    """Of a curve."""

    epoch: int
    seconds: float
    distance: float


def curves(
    name: str, dataset: str, epochs: int, sampler_epochs: int, seed: int
) -> dict[System, list[Point]]:
    """One model by both packages, with each of its samplers after epochs 1, 2, 4, ..."""
    data, _ = build(compose_run(f"dataset={dataset}", "dataset.val_size=0", "monitor=train/loss"))
    data.setup()
    extractor = load_extractor("cnn", data.extractor)
    real = extractor.extract(data.test.values).values
    ways: dict[str, tuple[tuple[Any, list[Snapshot]], Callable[..., tuple[float, Tensor]]]] = {
        "ours": (train_ours(name, dataset, epochs, seed), sample_ours),
        "Pythae": (train_pythae(name, data.train.x(), epochs, seed), sample_pythae),
    }
    points: dict[System, list[Point]] = {}
    for package, ((model, snapshots), sample) in ways.items():
        for snapshot, sampler in itertools.product(snapshots, OF_MODEL[name]):
            model.load_state_dict(snapshot.weights)
            seconds, images = sample(model, sampler, data, seed, sampler_epochs)
            distance = frechet_distance(real, extractor.extract(images).values)
            points.setdefault(System(package, name, sampler), []).append(
                Point(snapshot.epoch, snapshot.seconds + seconds, distance)
            )
    return points


def mean_of(points: tuple[Point, ...]) -> Point:
    """Of one system's points after the same epoch, over seeds."""
    return Point(
        points[0].epoch,
        statistics.fmean(point.seconds for point in points),
        statistics.fmean(point.distance for point in points),
    )


def draw(systems: dict[System, list[Point]], title: str) -> Any:
    """A curve for each system, a panel for each model: seconds against FD-CNN."""
    names = list(dict.fromkeys(system.model for system in systems))
    figure = plt.figure(figsize=(3.2 * len(names), 3.4), layout="constrained")
    (axes,) = figure.subplots(1, len(names), sharey=True, squeeze=False)
    colours = dict(zip(SAMPLERS, plt.get_cmap("tab10").colors, strict=False))
    for axis, name in zip(axes, names, strict=True):
        for system, points in systems.items():
            if system.model == name:
                axis.plot(
                    *zip(*((point.seconds, point.distance) for point in points), strict=True),
                    color=colours[system.sampler],
                    linestyle="-" if system.package == "ours" else ":",
                    marker="o" if system.package == "ours" else "s",
                    markersize=4,
                    label=f"{system.package}, {system.sampler}",
                )
        axis.set(title=name, xlabel="seconds", xscale="log", yscale="log")
        for side in (axis.xaxis, axis.yaxis):  # 1, 2, 5, 10, ... in plain numbers
            side.set_major_locator(LogLocator(subs=(1, 2, 5)))
            side.set_major_formatter(FormatStrFormatter("%g"))
            side.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("FD-CNN of samples")
    figure.suptitle(title)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="MNIST, three seeds, more epochs")
    parser.add_argument("--dataset", choices=["digits", "mnist", "fmnist"])
    parser.add_argument("--models", nargs="+", default=list(PYTHAE), choices=PYTHAE)
    parser.add_argument("--epochs", type=at_least(1), help="of the models")
    parser.add_argument(
        "--sampler-epochs", type=at_least(1), help="of the samplers that train a network"
    )
    parser.add_argument("--seeds", type=at_least(1), help="how many")
    parser.add_argument("--figure", type=Path, default=Path("outputs/quality.png"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    dataset = options.dataset or ("mnist" if options.full else "digits")
    epochs = options.epochs or (16 if options.full else 8)
    sampler_epochs = options.sampler_epochs or (40 if options.full else 10)
    seeds = options.seeds or (3 if options.full else 1)

    of_seeds = [
        {
            system: points
            for name in options.models
            for system, points in curves(name, dataset, epochs, sampler_epochs, seed).items()
        }
        for seed in range(seeds)
    ]
    systems = {
        system: [
            mean_of(list(same)) for same in zip(*(run[system] for run in of_seeds), strict=True)
        ]
        for system in of_seeds[0]
    }
    rows = [
        [*system, point.epoch, f"{point.seconds:.1f}", f"{point.distance:.3g}"]
        for system, points in sorted(systems.items(), key=lambda item: item[0][1:])
        for point in dict.fromkeys((points[0], points[-1]))  # of one epoch they are the same
    ]
    title = f"Time to quality, {dataset}, {seeds} seed{'s' if seeds > 1 else ''}"
    print_table(title, ["package", "model", "sampler", "epochs", "seconds", "FD-CNN"], rows)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(systems, title).savefig(options.figure, dpi=150)
    print(f"\nThe curves: {options.figure}")


if __name__ == "__main__":
    main()
