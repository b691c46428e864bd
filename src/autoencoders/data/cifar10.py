"""CIFAR-10."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoencoders.data.base import DataModule
from autoencoders.data.downloads import downloading
from autoencoders.data.examples import Examples
from autoencoders.errors import InputError

FOLDER = "cifar-10-batches-py"
REBUILD = np.empty(0).__reduce__()[0]  # what pickles call to make an array
TRAIN, TEST = tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)


class CIFAR10(DataModule):
    """CIFAR-10's 50,000 training and 10,000 test images in colour, 32x32 (Krizhevsky 2009).

    Looked for in `data_dir`, where torchvision puts them; if they are not there, they are
    downloaded.
    """

    label = "CIFAR-10"
    shape = (3, 32, 32)
    class_names = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    @classmethod
    def is_in(cls, data_dir: Path) -> bool:
        return all((data_dir / FOLDER / name).is_file() for name in (*TRAIN, *TEST))

    def prepare_data(self) -> None:
        """Download what `data_dir` has not (one process a machine does)."""
        if self.is_in(self.data_dir):
            return
        import torchvision.datasets

        with downloading(self.data_dir, self._how_to_get) as partial:
            torchvision.datasets.CIFAR10(str(partial), download=True)
            (self.data_dir / FOLDER).mkdir(exist_ok=True)
            for file in (partial / FOLDER).iterdir():
                os.replace(file, self.data_dir / FOLDER / file.name)

    def load(self) -> tuple[Examples, Examples]:
        if not self.is_in(self.data_dir):
            raise InputError(self._how_to_get("not prepared: call prepare_data() first"))
        folder = self.data_dir / FOLDER
        train, test = ([read_batch(folder / name) for name in names] for names in (TRAIN, TEST))
        return _examples(train), _examples(test)

    def _how_to_get(self, reason: object) -> str:
        return (
            f"CIFAR-10: not in {self.data_dir / FOLDER} and no download:"
            f" {' '.join(str(reason).split())}. Two ways to get it: run again with a network;"
            " unpack cifar-10-python.tar.gz into that folder's parent (dataset.data_dir or"
            " AUTOENCODERS_DATA). Or train on dataset=avatars, which needs no download"
        )


def read_batch(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        InputError: the file is damaged, or holds more than arrays and lists.
    """
    try:
        with file.open("rb") as opened:
            batch = _Arrays(opened, encoding="latin1").load()
        images = np.asarray(batch["data"]).reshape(-1, *CIFAR10.shape)
        labels = np.asarray(batch["labels"])
        sound = images.dtype == np.uint8 and labels.shape == (len(images),)
        if not sound or not np.isin(labels, range(10)).all():
            raise ValueError("expected N images of bytes and as many labels of 0 to 9")
    except Exception as error:  # pickle answers damage with exceptions of all kinds
        reason = " ".join(str(error).split())
        raise InputError(
            f"{file}: damaged: {reason}; delete {file.parent}, and run again"
        ) from error
    return images, labels.astype(np.int64)


class _Arrays(pickle.Unpickler):
    """Reads a pickle of arrays, lists and text: anything else in it is not run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return REBUILD
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not read")


def _examples(batches: list[tuple[np.ndarray, np.ndarray]]) -> Examples:
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Examples(torch.from_numpy(images), torch.from_numpy(labels))
