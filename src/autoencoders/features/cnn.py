"""The small classifiers that ship with the package.

`python -m autoencoders.features.train mnist` rebuilds one from the training set; `record.json`
keeps each file's SHA-256 and test accuracy.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from autoencoders.data import to_floats
from autoencoders.errors import InputError
from autoencoders.features.base import BATCH, Extractor, Features
from autoencoders.metrics.base import Quantity

FOLDER = Path(__file__).parent / "weights"
RECORD = FOLDER / "record.json"


class FeatureCNN(Extractor):
    """A classifier of small images whose penultimate activations are the features.

    Five 3x3 convolutions with batch normalization on three scales, then the mean over positions.

    x (B, channels, H, W) in [0, 1] -> features (B, 96), logits (B, classes).
    """

    distance = Quantity("fd_cnn", "FD-CNN", "lower")

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
    def extract(self, values: Tensor) -> Features:
        self.eval()
        batches = [batch.to(self.home.device) for batch in values.split(BATCH)]
        outputs = [self(to_floats(batch)) for batch in batches]
        features = torch.cat([features.double().cpu() for features, _ in outputs])
        return Features(features, torch.cat([logits.softmax(1).cpu() for _, logits in outputs]))


def load_cnn(dataset: str) -> FeatureCNN:
    """The classifier that ships for a data set, such as `mnist`.

    Raises:
        InputError: there is none for that data set, or the file is not the one on record.
    """
    record = json.loads(RECORD.read_text())
    if dataset not in record:
        raise InputError(
            f"evaluation.features=cnn: ships for {', '.join(record)}, not for this data set;"
            " evaluation.features=pca takes any data"
        )
    path = FOLDER / f"{dataset}.safetensors"
    if not path.is_file() or sha256(path) != record[dataset]["sha256"]:
        raise InputError(f"{path}: not the file on record; install the package again")
    weights = load_file(path)
    channels = weights["layers.0.weight"].shape[1]
    extractor = FeatureCNN(channels, len(weights["head.bias"]))
    extractor.load_state_dict(weights)
    extractor.fingerprint = record[dataset]["sha256"]
    return extractor.eval().to(memory_format=torch.channels_last)


def shipped_classifier(fingerprint: str) -> str:
    """Which classifier has this fingerprint, and how accurate it is; empty where none ships."""
    for dataset, of_file in json.loads(RECORD.read_text()).items():
        if of_file["sha256"] == fingerprint:
            right = of_file["test_accuracy"]
            return f"classifier: the package's CNN for {dataset}, {right:.1%} of test images right"
    return ""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _block(n_in: int, n_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
