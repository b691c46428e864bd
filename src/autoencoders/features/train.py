"""Rebuild a data set's feature extractor from its training images alone.

    python -m autoencoders.features.train mnist --epochs 8
    python -m autoencoders.features.train fmnist --epochs 18 --mirror
    python -m autoencoders.features.train digits --epochs 60

Writes weights/<name>.safetensors, and its SHA-256 and test accuracy into record.json. The
test set is looked at once, after the last step.
"""

import argparse
import json
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

from autoencoders import data as data_sets
from autoencoders.data import DataModule, Examples, to_floats
from autoencoders.features.cnn import FOLDER, RECORD, FeatureCNN, load_cnn, sha256
from autoencoders.training.precision import choose_precision

BATCH = 250
SHIFT = 2  # pixels at most, either way


def augment(x: Tensor, mirror: bool) -> Tensor:
    """Shift each image of a batch (B, C, H, W) by up to SHIFT pixels, and mirror every other."""
    n, _, height, width = x.shape
    padded = F.pad(x, [SHIFT] * 4)
    top, left = torch.randint(2 * SHIFT + 1, (2, n, 1))
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    x = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None]]
    x = x.permute(0, 3, 1, 2)
    if mirror:
        flipped = torch.rand(n) < 0.5
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
    return x


def train(model: FeatureCNN, images: Examples, epochs: int, mirror: bool) -> None:
    """Minimise the smoothed cross-entropy with AdamW on a one-cycle schedule."""
    steps = len(images) // BATCH * epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    autocast = torch.autocast(
        "cpu", torch.bfloat16, enabled=choose_precision("auto", "cpu") == "bf16-mixed"
    )
    model.train()
    for _ in track(range(epochs), "epochs"):
        order = torch.randperm(len(images))[: len(images) // BATCH * BATCH]
        for rows in order.split(BATCH):
            x, labels = images.values[rows], images.labels[rows]
            x = augment(to_floats(x), mirror).contiguous(memory_format=torch.channels_last)
            with autocast:
                _, logits = model(x)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: FeatureCNN, images: Examples) -> float:
    """Share of the images that the classifier places right."""
    probabilities = model.extract(images.values).classes
    assert probabilities is not None
    return (probabilities.argmax(1) == images.labels).double().mean().item()


def data_modules() -> dict[str, type[DataModule]]:
    """The data sets that name an extractor, by its name."""
    classes = [getattr(data_sets, name) for name in data_sets.__all__]
    kinds = [c for c in classes if isinstance(c, type) and issubclass(c, DataModule)]
    return {kind.extractor: kind for kind in kinds if kind.extractor}


def main() -> None:
    choices = data_modules()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=choices)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--mirror", action="store_true", help="images show the same thing from left to right"
    )
    options = parser.parse_args()
    name = options.name

    torch.manual_seed(0)
    data = choices[name](data_dir=Path(os.environ.get("AUTOENCODERS_DATA", "data")))
    data.prepare_data()
    data.setup()
    model = FeatureCNN(data.shape[0], len(data.class_names)).to(memory_format=torch.channels_last)
    train(model, data.train, options.epochs, options.mirror)

    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[name] = {"sha256": sha256(path)}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    record[name]["test_accuracy"] = accuracy(load_cnn(name), data.test)
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes, {record[name]}")


if __name__ == "__main__":
    main()
