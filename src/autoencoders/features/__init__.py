"""What generated examples are compared with real ones on.

An extractor turns examples into features, and gives its name to the Frechet distance on them. For
each image data set a small classifier ships with the package, so that sample quality can be
measured offline and at the images' own size; principal components serve for any other data.
"""

from typing import Literal

from autoencoders.features.base import Extractor, Features
from autoencoders.features.cnn import FeatureCNN, load_cnn, shipped_classifier
from autoencoders.features.inception import Inception
from autoencoders.features.pca import PCA

EXTRACTORS: tuple[type[Extractor], ...] = (FeatureCNN, PCA, Inception)
FeatureName = Literal["auto", "cnn", "pca", "inception"]

__all__ = [
    "EXTRACTORS",
    "PCA",
    "Extractor",
    "FeatureCNN",
    "Features",
    "Inception",
    "load_extractor",
    "shipped_classifier",
]


def load_extractor(features: FeatureName, dataset: str) -> Extractor:
    """The extractor that `evaluation.features=` names.

    Args:
        features: `cnn`, the classifier that ships for the data set; `pca`; `inception`; or `auto`,
            the classifier where one ships, else `pca`.
        dataset: the name under which the data set's classifier ships, empty where none does.

    Raises:
        InputError: it cannot be had.
    """
    if features == "auto":
        features = "cnn" if dataset else "pca"
    if features == "cnn":
        return load_cnn(dataset)
    return PCA() if features == "pca" else Inception()
