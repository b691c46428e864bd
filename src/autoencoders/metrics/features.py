"""The feature extractors in which generated images are compared with real ones.

For each data set a small classifier ships with the package, so that sample quality can be measured
offline and at the images' own size. `python -m autoencoders.metrics.train_extractor mnist` rebuilds
one from the training set; `extractors.json` keeps each file's SHA-256 and test accuracy.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from autoencoders.data import to_pixels
from autoencoders.errors import InputError

FOLDER = Path(__file__).parent / "extractors"
RECORD = FOLDER / "extractors.json"
BATCH = 100  # activations that stay in a processor's cache


class Features(NamedTuple):
    """What an extractor sees in N images.

    values: (N, dimensions), float64.
    classes: (N, classes), the classifier's probabilities; None where it knows no classes.
    """

    values: Tensor
    classes: Tensor | None = None


class Extractor(nn.Module):
    """What turns images into features; `name` is what the Frechet distance on them is called."""

    name: str
    home: Tensor  # lies where the network computes

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("home", torch.zeros(()), persistent=False)

    def extract(self, images: Tensor) -> Features:
        """uint8 images (N, C, H, W) -> their features, on the CPU."""
        raise NotImplementedError


class FeatureCNN(Extractor):
    """A classifier of small images whose penultimate activations are the features.

    Five 3x3 convolutions with batch normalization on three scales, then the mean over positions.

    Shapes: pixels in [0, 1] (B, channels, H, W) -> features (B, 96), logits (B, classes).
    """

    name = "fd_cnn"

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_block(channels, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            *_block(64, 64),
            nn.MaxPool2d(2),
            *_block(64, 96),
            *_block(96, 96),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(96, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layers(x)
        return features, self.head(features)

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """uint8 images (N, C, H, W) -> their features, in evaluation mode."""
        self.eval()
        batches = [batch.to(self.home.device) for batch in images.split(BATCH)]
        outputs = [self(to_pixels(batch)) for batch in batches]
        values = torch.cat([features.double().cpu() for features, _ in outputs])
        return Features(values, torch.cat([logits.softmax(1).cpu() for _, logits in outputs]))


def load_extractor(name: str) -> FeatureCNN:
    """The extractor that ships with the package for the data set `name`, such as `mnist`.

    Raises:
        InputError: there is none for that data set, or the file is not the one on record.
    """
    path = FOLDER / f"{name}.safetensors"
    expected = fingerprint(name)
    if not path.is_file() or sha256(path) != expected:
        raise InputError(f"{path}: not the file on record; install the package again")
    weights = load_file(path)
    channels = weights["layers.0.weight"].shape[1]
    extractor = FeatureCNN(channels, len(weights["head.bias"]))
    extractor.load_state_dict(weights)
    return extractor.eval().to(memory_format=torch.channels_last)


class Inception(Extractor):
    """torch-fidelity's Inception v3, whose Frechet distance is the FID that papers report.

    Its weights are downloaded at first use (`pip install 'autoencoders[inception]'`).

    Args:
        network: uint8 images (N, 3, H, W) -> features (N, 2048), in place of the downloaded one.

    Raises:
        InputError: torch-fidelity or the weights cannot be had.
    """

    name = "fid"

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network or _download_inception()

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        colour = images.expand(-1, 3, -1, -1)  # grey ones get three equal channels
        batches = [batch.to(self.home.device) for batch in colour.split(BATCH)]
        outputs = [self.network(batch).flatten(1) for batch in batches]
        return Features(torch.cat([features.double().cpu() for features in outputs]))


def _download_inception() -> nn.Module:
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        return NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except (ModuleNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"evaluation.features=inception: {reason}; it needs pip install"
            " 'autoencoders[inception]' and a network at first use; evaluation.features=cnn needs"
            " neither"
        ) from error


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(name: str) -> str:
    """The SHA-256 on record of the extractor for the data set `name`.

    Raises:
        InputError: none ships for that data set.
    """
    record = json.loads(RECORD.read_text())
    if name not in record:
        raise InputError(
            "evaluation.features=cnn: no extractor ships for this data set, but for"
            f" {', '.join(record)}; evaluation.features=inception takes any images, evaluate=false"
            " does without"
        )
    return str(record[name]["sha256"])


def _block(n_in: int, n_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
