"""Data sets held in memory, and the LightningDataModules that serve them.

A data set is one uint8 tensor: a batch is one indexing operation, and the scaling to [0, 1]
happens on the device. A further data set is one more class here with a `load` of its own.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, validate_call
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from autoencoders.errors import InputError
from autoencoders.idx import FILES, damaged, find_idx, read_idx


class Images(Dataset):
    """Labelled images in memory.

    Args:
        images: uint8, (N, C, H, W).
        labels: int64, (N,).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        """One image and its label, or for a tensor of indices (B,) a batch of both."""
        return self.images[index], self.labels[index]

    def subset(self, indices: Tensor) -> "Images":
        return Images(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "Images":
        return Images(self.images.to(device), self.labels.to(device))


class Batches(DistributedSampler):
    """Whole batches' indices, (batch_size,) each, on the device where the images lie.

    In training, the order is a function of the seed and the epoch, which Lightning tells; where
    the images do not divide among processes, some come twice, so that no process waits for
    another. In evaluation each image comes once.

    Args:
        images: what is indexed.
        batch_size: images a batch.
        shuffle: for training.
        seed: of the order.
        rank, world_size: this process, of how many.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(images, world_size, rank, shuffle, seed)
        self.images = images
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[Any]:
        order = super().__iter__() if self.shuffle else self._mine()
        batches = torch.tensor(list(order)).to(self.images.images.device).split(self.batch_size)
        yield from batches[: len(self)]

    def __len__(self) -> int:
        n = self.num_samples if self.shuffle else len(self._mine())
        full, rest = divmod(n, self.batch_size)
        # Batch normalization has nothing to normalise over in a last batch of one image.
        return full + (rest > (1 if self.shuffle else 0))

    def _mine(self) -> range:
        return range(self.rank, len(self.images), self.num_replicas)


def to_pixels(images: Tensor) -> Tensor:
    """uint8 images as floats in [0, 1], of the same shape."""
    return images.float() / 255


class ImageDataModule(pl.LightningDataModule):
    """A training, a validation and a test set of images; batches are (x, label) with x in [0, 1].

    The validation set is cut from the training set by a split that `seed` fixes; the test set is
    the official one and only ever that.

    Args:
        data_dir: where data sets lie, and where downloads go.
        batch_size: images a batch, at least two, since batch normalization needs company.
        val_size: images of the validation set; 0 trains on all.
        seed: fixes the validation split.

    Raises:
        InputError: (in `prepare_data` or `setup`) data that cannot be had, damaged files, or a
            `val_size` that leaves nothing to train on.
    """

    label: ClassVar[str]  # the data set's name in figures and tables
    extractor: ClassVar[str] = ""  # the name of its feature extractor, where one ships
    channels: ClassVar[int]
    image_size: ClassVar[int]
    class_names: ClassVar[tuple[str, ...]]

    train: Images
    val: Images
    test: Images

    @validate_call
    def __init__(
        self,
        *,
        data_dir: Path = Path("data"),
        batch_size: Annotated[int, Field(ge=2, lt=2**63)] = 256,
        val_size: NonNegativeInt = 0,
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
    ) -> None:
        super().__init__()
        self.data_dir = data_dir
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed

    def load(self) -> tuple[Images, Images]:
        """All training images and all test images."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if hasattr(self, "test"):  # Lightning asks once for fitting and once for testing
            return
        everything, self.test = self.load()
        size = len(everything) - self.val_size
        if size < 2:
            raise InputError(
                f"dataset.val_size={self.val_size}: leaves fewer than two of {len(everything)}"
                f" images to train on; allowed: at most {len(everything) - 2}"
            )
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(self.seed))
        self.train = everything.subset(order[:size].sort().values)
        self.val = everything.subset(order[size:].sort().values)

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader | list[Any]:
        return self._loader(self.val) if len(self.val) else []

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.test)

    def on_after_batch_transfer(
        self, batch: tuple[Tensor, Tensor], dataloader_idx: int
    ) -> tuple[Tensor, Tensor]:
        """Scale on the device, where bytes travel four times lighter than floats."""
        images, labels = batch
        return to_pixels(images), labels

    def _loader(self, images: Images, shuffle: bool = False) -> DataLoader:
        place: dict[str, int] = {}
        if self.trainer:
            images = images.to(_home(images, self.trainer.strategy.root_device))
            place = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
            processes = self.trainer.world_size
            if len(images) < processes:  # one would wait for the others for ever
                raise InputError(
                    f"dataset.val_size={self.val_size}: {len(images)} images do not go round"
                    f" {processes} processes; allowed: 0, or at least {processes}"
                )
        batches = Batches(images, self.batch_size, shuffle=shuffle, seed=self.seed, **place)
        # No worker processes: indexing a tensor is faster than handing a batch between processes.
        # A generator of its own: a loader draws a seed for workers, which would shift the models'.
        generator = torch.Generator()
        return DataLoader(
            images, batch_size=None, sampler=batches, collate_fn=_identity, generator=generator
        )


def _home(images: Images, device: torch.device) -> torch.device:
    """Where a data set lies: on the GPU that trains, if that leaves most of its memory free."""
    if device.type != "cuda":
        return torch.device("cpu")
    free, _ = torch.cuda.mem_get_info(device)
    return device if images.images.nbytes < free / 4 else torch.device("cpu")


def _identity(batch: Any) -> Any:
    """The collation of what `Batches` has put together already."""
    return batch


class Digits(ImageDataModule):
    """The 1,797 handwritten digits that scikit-learn carries: no file, no download.

    Their 8x8 pixels of 17 grey levels are resized to 28x28. scikit-learn names no test set; the
    last 297 serve as one.
    """

    label = "digits"
    extractor = "digits"
    channels = 1
    image_size = 28
    class_names = tuple("0123456789")

    def load(self) -> tuple[Images, Images]:
        from sklearn.datasets import load_digits  # takes a second: only who needs it pays

        pixels, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
        size = (self.image_size, self.image_size)
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        digits = Images((images * 255).round().to(torch.uint8), torch.from_numpy(labels).long())
        return digits.subset(torch.arange(1500)), digits.subset(torch.arange(1500, 1797))


class MNIST(ImageDataModule):
    """MNIST's 60,000 training and 10,000 test images, 28x28.

    Looked for in `data_dir`, where torchvision puts them, then where the system's packages do;
    found in neither place, they are downloaded into `data_dir`.
    """

    label = "MNIST"  # torchvision's class and folder have the same
    extractor = "mnist"
    channels = 1
    image_size = 28
    class_names = tuple("0123456789")
    system_dir: ClassVar[Path | None] = None
    system_package: ClassVar[str] = ""

    @property
    def raw_dir(self) -> Path:
        return self.data_dir / self.label / "raw"

    def prepare_data(self) -> None:
        """Download what neither `data_dir` nor the system has (one process a machine does)."""
        if self._find() is not None:
            return
        import torchvision.datasets

        # Beside the data first, each file moved once it is whole: a download that is cut off leaves
        # nothing half-way, and two at once do not trip over each other.
        new = not self.data_dir.exists()
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.data_dir, prefix=".download-") as partial:
                getattr(torchvision.datasets, self.label)(partial, download=True)
                self.raw_dir.mkdir(parents=True, exist_ok=True)
                for file in Path(partial, self.label, "raw").iterdir():
                    os.replace(file, self.raw_dir / file.name)
        except (RuntimeError, OSError) as error:
            if new:
                with suppress(OSError):
                    self.data_dir.rmdir()
            raise InputError(self._how_to_get(error)) from error

    def load(self) -> tuple[Images, Images]:
        folder = self._find()
        if folder is None:
            raise InputError(self._how_to_get("not prepared: call prepare_data() first"))
        return self._read(folder, "train"), self._read(folder, "t10k")

    def _find(self) -> Path | None:
        """The first folder that holds all four files."""
        for folder in (self.raw_dir, self.system_dir):
            if folder and all(find_idx(folder, name) for name in FILES):
                return folder
        return None

    def _read(self, folder: Path, part: str) -> Images:
        images_file = find_idx(folder, f"{part}-images-idx3-ubyte")
        labels_file = find_idx(folder, f"{part}-labels-idx1-ubyte")
        assert images_file is not None, "_find saw all four files"
        assert labels_file is not None
        images, labels = read_idx(images_file), read_idx(labels_file)
        size = (self.image_size, self.image_size)
        if images.ndim != 3 or images.shape[1:] != size:
            found = " x ".join(str(length) for length in images.shape)
            raise InputError(damaged(images_file, f"expected N x 28 x 28 pixels, found {found}"))
        if labels.shape != images.shape[:1]:
            raise InputError(
                damaged(labels_file, f"expected {len(images)} labels, found {labels.numel()}")
            )
        if labels.numel() and labels.max() >= len(self.class_names):
            raise InputError(damaged(labels_file, f"expected labels 0 to 9, found {labels.max()}"))
        return Images(images.unsqueeze(1), labels.long())

    def _how_to_get(self, reason: object) -> str:
        package = f" (or apt install {self.system_package})" if self.system_package else ""
        return (
            f"{self.label}: no data in {self.raw_dir} and no download:"
            f" {' '.join(str(reason).split())}. Three ways to get it:"
            f" run again with a network{package}; put the four IDX files into that folder;"
            f" set dataset.data_dir or AUTOENCODERS_DATA to a folder that has {self.label}/raw."
            " Or train on dataset=digits, which needs none"
        )


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
