"""Our trainer against Pythae's, on the same networks, batch and data.

    python -m venv .venv-pythae && .venv-pythae/bin/pip install -q -e . pythae
    .venv-pythae/bin/python benchmarks/pythae_comparison.py

    .venv-pythae/bin/python benchmarks/pythae_comparison.py --steps 1 --rounds 1 --batch-size 8 \
        --hidden-dim 2    # seconds

VAE and WAE-MMD at the tutorial's network sizes and batch 256, a few steps a round, rounds
interleaved. Pythae trains in full precision on a CPU; ours stands beside it in that and in the
precision that picks itself.
"""

import argparse
import contextlib
import io
import logging
import statistics
import sys
import tempfile
from importlib.util import find_spec
from typing import Any

if not find_spec("pythae"):
    sys.exit("error: pythae is needed here: pip install pythae")

import torch
from common import WARM_UP, at_least, now, print_table, train_seconds
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, WAE_MMD, VAEConfig, WAE_MMD_Config
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from pythae_networks import PythaeDecoder, PythaeEncoder
from torch import Tensor

from autoencoders.networks import Network, Tutorial

LATENT, SHAPE = 20, (1, 28, 28)
MODELS = {
    "vae": (VAE, VAEConfig, {"reconstruction_loss": "bce"}),
    "wae_mmd": (WAE_MMD, WAE_MMD_Config, {}),
}


class PythaeClock(TrainingCallback):
    """Times the steps of an epoch after the warm-up."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
        self.times.append(now())

    @property
    def seconds(self) -> float:
        counted = self.times[WARM_UP - 1 :]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


def pythae_seconds(
    name: str, network: Network, images: Tensor, batch_size: int, folder: str
) -> float:
    """Seconds a step of Pythae's trainer, after the warm-up."""
    model_class, config_class, options = MODELS[name]
    config = config_class(input_dim=SHAPE, latent_dim=LATENT, **options)
    heads = 2 if name == "vae" else 1
    encoder = PythaeEncoder(network, SHAPE, LATENT, heads)
    model = model_class(config, encoder=encoder, decoder=PythaeDecoder(network, SHAPE, LATENT))
    training = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=2e-4,
        no_cuda=not torch.cuda.is_available(),
    )
    clock = PythaeClock()
    data = BaseDataset(images, torch.zeros(len(images)))
    BaseTrainer(model, train_dataset=data, training_config=training, callbacks=[clock]).train()
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=at_least(1), default=8, help="steps a round")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="rounds, interleaved")
    parser.add_argument("--batch-size", type=at_least(2), default=256)
    parser.add_argument("--hidden-dim", type=at_least(1), default=40)
    options = parser.parse_args()
    logging.disable(logging.WARNING)

    steps, batch_size = options.steps, options.batch_size
    images = torch.rand((WARM_UP + steps) * batch_size, *SHAPE)
    network = Tutorial(hidden_dim=options.hidden_dim)
    sizes = [f"network.hidden_dim={options.hidden_dim}", f"model.latent_dim={LATENT}"]
    rows = []
    for name in MODELS:
        found: dict[str, list[float]] = {"pythae": [], "32-true": [], "auto": []}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
                found["pythae"].append(pythae_seconds(name, network, images, batch_size, folder))
            for precision in ("32-true", "auto"):
                overrides = [f"model={name}", f"trainer.precision={precision}", *sizes]
                found[precision].append(train_seconds(steps, batch_size, *overrides))
        for way, seconds in found.items():
            ratios = [p / s for p, s in zip(found["pythae"], seconds, strict=True)]
            rate = batch_size / statistics.median(seconds)
            label = "Pythae" if way == "pythae" else f"ours, {way}"
            rows.append([name, label, f"{rate:.0f}", f"{statistics.median(ratios):.2f}"])
    head = ["model", "trainer", "images/s", "x Pythae"]
    print_table(f"Training, batch {batch_size}", head, rows)


if __name__ == "__main__":
    main()
