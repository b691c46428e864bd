"""MNIST and FashionMNIST."""

import os
from pathlib import Path
from typing import ClassVar

from autoencoders.data.base import DataModule
from autoencoders.data.downloads import downloading
from autoencoders.data.examples import Examples
from autoencoders.data.idx import FILES, damaged, find_idx, read_idx
from autoencoders.errors import InputError


class MNIST(DataModule):
    """MNIST's 60,000 training and 10,000 test images, 28x28.

    Looked for in `data_dir`, where torchvision puts them, then where the system's packages do;
    found in neither place, they are downloaded into `data_dir`.
    """

    label = "MNIST"  # torchvision's class and folder have the same
    extractor = "mnist"
    shape = (1, 28, 28)
    class_names = tuple("0123456789")
    system_dir: ClassVar[Path | None] = None
    system_package: ClassVar[str] = ""

    @property
    def raw_dir(self) -> Path:
        return self.data_dir / self.label / "raw"

    @classmethod
    def is_in(cls, data_dir: Path) -> bool:
        return _holds_all(data_dir / cls.label / "raw")

    def prepare_data(self) -> None:
        """Download what neither `data_dir` nor the system has (one process a machine does)."""
        if self._find() is not None:
            return
        import torchvision.datasets

        with downloading(self.data_dir, self._how_to_get) as partial:
            getattr(torchvision.datasets, self.label)(str(partial), download=True)
            self.raw_dir.mkdir(parents=True, exist_ok=True)
            for file in (partial / self.label / "raw").iterdir():
                os.replace(file, self.raw_dir / file.name)

    def load(self) -> tuple[Examples, Examples]:
        folder = self._find()
        if folder is None:
            raise InputError(self._how_to_get("not prepared: call prepare_data() first"))
        return self._read(folder, "train"), self._read(folder, "t10k")

    def _find(self) -> Path | None:
        """The first folder that holds all four files."""
        for folder in (self.raw_dir, self.system_dir):
            if folder and _holds_all(folder):
                return folder
        return None

    def _read(self, folder: Path, part: str) -> Examples:
        images_file = find_idx(folder, f"{part}-images-idx3-ubyte")
        labels_file = find_idx(folder, f"{part}-labels-idx1-ubyte")
        assert images_file is not None, "_find saw all four files"
        assert labels_file is not None
        images, labels = read_idx(images_file), read_idx(labels_file)
        if images.ndim != 3 or images.shape[1:] != self.shape[1:]:
            shape = " x ".join(str(length) for length in images.shape)
            raise InputError(damaged(images_file, f"expected N x 28 x 28 pixels, found {shape}"))
        if labels.shape != images.shape[:1]:
            raise InputError(
                damaged(labels_file, f"expected {len(images)} labels, found {labels.numel()}")
            )
        if labels.numel() and labels.max() >= len(self.class_names):
            raise InputError(damaged(labels_file, f"expected labels 0 to 9, found {labels.max()}"))
        return Examples(images.unsqueeze(1), labels.long())

    def _how_to_get(self, reason: object) -> str:
        package = f" (or apt install {self.system_package})" if self.system_package else ""
        return (
            f"{self.label}: no data in {self.raw_dir} and no download:"
            f" {' '.join(str(reason).split())}. Three ways to get it:"
            f" run again with a network{package}; put the four IDX files into that folder;"
            f" set dataset.data_dir or AUTOENCODERS_DATA to a folder that has {self.label}/raw."
            " Or train on dataset=digits, which needs none"
        )


def _holds_all(folder: Path) -> bool:
    return all(find_idx(folder, name) for name in FILES)


class FashionMNIST(MNIST):
    """FashionMNIST (Xiao et al. 2017, arXiv 1708.07747), in MNIST's format."""

    label = "FashionMNIST"
    extractor = "fmnist"
    class_names = (
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    system_dir = Path("/usr/share/datasets/fashion-mnist")
    system_package = "dataset-fashion-mnist"
