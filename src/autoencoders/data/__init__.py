"""Data sets held in memory and the LightningDataModules that serve them; one data set a file."""

from autoencoders.data.avatars import Avatars
from autoencoders.data.base import DataModule
from autoencoders.data.celeba import CelebA
from autoencoders.data.cifar10 import CIFAR10
from autoencoders.data.digits import Digits
from autoencoders.data.examples import Batch, Examples, to_floats
from autoencoders.data.folder import Folder
from autoencoders.data.mnist import MNIST, FashionMNIST
from autoencoders.data.pbmc import PBMC
from autoencoders.data.svhn import SVHN
from autoencoders.data.table import Table

__all__ = [
    "CIFAR10",
    "MNIST",
    "PBMC",
    "SVHN",
    "Avatars",
    "Batch",
    "CelebA",
    "DataModule",
    "Digits",
    "Examples",
    "FashionMNIST",
    "Folder",
    "Table",
    "to_floats",
]
