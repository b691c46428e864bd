"""Rebuild a data set's feature extractor from its training images alone.

    python -m autoencoders.metrics.train_extractor mnist

Writes extractors/<name>.safetensors, and its SHA-256 and test accuracy into extractors.json. The
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

from autoencoders.data import MNIST, Digits, FashionMNIST, ImageDataModule, Images, to_pixels
from autoencoders.metrics.features import FOLDER, RECORD, FeatureCNN, load_extractor, sha256
from autoencoders.precision import choose_precision

DATA = {"digits": Digits, "mnist": MNIST, "fmnist": FashionMNIST}
MIRRORED = {"fmnist"}  # data sets whose images show the same thing from left to right
EPOCHS = {"digits": 60, "mnist": 8, "fmnist": 18}
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


def train(model: FeatureCNN, images: Images, epochs: int, mirror: bool) -> None:
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
            x, labels = images[rows]
            x = augment(to_pixels(x), mirror).contiguous(memory_format=torch.channels_last)
            with autocast:
                _, logits = model(x)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: FeatureCNN, images: Images) -> float:
    """Share of the images that the classifier places right."""
    probabilities = model.extract(images.images).classes
    assert probabilities is not None
    return (probabilities.argmax(1) == images.labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=DATA)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    name = options.name

    torch.manual_seed(0)
    data: ImageDataModule = DATA[name](data_dir=Path(os.environ.get("AUTOENCODERS_DATA", "data")))
    data.prepare_data()
    data.setup()
    model = FeatureCNN(data.channels, len(data.class_names)).to(memory_format=torch.channels_last)
    train(model, data.train, options.epochs or EPOCHS[name], mirror=name in MIRRORED)

    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[name] = {"sha256": sha256(path)}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    record[name]["test_accuracy"] = accuracy(load_extractor(name), data.test)
    RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes, {record[name]}")


if __name__ == "__main__":
    main()
