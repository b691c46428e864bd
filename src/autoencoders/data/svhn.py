"""SVHN, street view house numbers."""

import os
from pathlib import Path

import numpy as np
import torch

from autoencoders.data.base import DataModule
from autoencoders.data.downloads import downloading
from autoencoders.data.examples import Examples
from autoencoders.errors import InputError

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


class SVHN(DataModule):
    """SVHN's 73,257 training and 26,032 test images of a house number's digit in colour, 32x32
    (Netzer et al. 2011).

    Looked for in svhn/ in `data_dir`; if they are not there, torchvision downloads them. The
    531,131 further images are not used.
    """

    label = "SVHN"
    shape = (3, 32, 32)
    class_names = tuple("0123456789")

    @property
    def folder(self) -> Path:
        return self.data_dir / "svhn"

    @classmethod
    def is_in(cls, data_dir: Path) -> bool:
        return all((data_dir / "svhn" / name).is_file() for name in FILES.values())

    def prepare_data(self) -> None:
        """Download what `data_dir` has not (one process a machine does)."""
        if self.is_in(self.data_dir):
            return
        import torchvision.datasets

        with downloading(self.data_dir, self._how_to_get) as partial:
            for split, name in FILES.items():
                torchvision.datasets.SVHN(str(partial), split, download=True)
                self.folder.mkdir(exist_ok=True)
                os.replace(partial / name, self.folder / name)

    def load(self) -> tuple[Examples, Examples]:
        if not self.is_in(self.data_dir):
            raise InputError(self._how_to_get("not prepared: call prepare_data() first"))
        return read_mat(self.folder / FILES["train"]), read_mat(self.folder / FILES["test"])

    def _how_to_get(self, reason: object) -> str:
        return (
            f"SVHN: not in {self.folder} and no download: {' '.join(str(reason).split())}. Two"
            f" ways to get it: run again with a network; put {' and '.join(FILES.values())} into"
            " that folder (dataset.data_dir or AUTOENCODERS_DATA says in which folder svhn/ is)."
            " Or train on dataset=avatars, which needs no download"
        )


def read_mat(file: Path) -> Examples:
    """The images and labels of a file: X, (32, 32, 3, N), and y, (N, 1), where 10 stands for 0.

    Raises:
        InputError: it is damaged.
    """
    from scipy.io import loadmat  # takes a second: only who needs it pays

    try:
        content = loadmat(file)
        images, labels = content["X"], content["y"].reshape(-1)
        sound = images.dtype == np.uint8 and images.shape == (32, 32, 3, len(labels))
        if not sound or not np.isin(labels, range(11)).all():
            raise ValueError("expected X, 32 x 32 x 3 x N bytes, and y, N labels of 1 to 10")
    except Exception as error:  # the reader answers damage with exceptions of all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: damaged: {reason}; delete it, and run again") from error
    pixels = np.ascontiguousarray(images.transpose(3, 2, 0, 1))  # (N, 3, 32, 32)
    return Examples(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64) % 10))
