"""Avatars composed of the layered pictures in the `robohash` package: faces without a download."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from pydantic import Field, validate_call
from rich.progress import track

from autoencoders.data.examples import Examples
from autoencoders.data.images.kept import KeptImages, keep, read_kept
from autoencoders.errors import InputError, how_to_install

SIZE = 64  # pixels a side
CHUNK = 200  # avatars composed at once
SEED = 0  # of the draws: the data set is one and the same in every run
# The folders of the pictures in robohash's set5, by what varies in them, from the lowest layer up.
LAYERS = {
    "skin": "000#Body",
    "eyes": "001#Eye",
    "eyebrows": "002#Eyebrow",
    "mouth": "003#Mouth",
    "clothes": "004#Cloth",
    "facial_hair": "005#FacialHair",
    "hair": "006#Top",
    "glasses": "007#Accessories",
}


class Layer(NamedTuple):
    """The pictures of one layer, sorted by kind.

    files: theirs.
    kinds: what they show without its colour or print, such as LongHairBob.
    kind_of: each file's, an index into `kinds`, (files,).
    """

    files: list[Path]
    kinds: tuple[str, ...]
    kind_of: np.ndarray


class Avatars(KeptImages):
    """Colour avatars at 64x64, of eight factors each: skin, eyes, eyebrows, mouth, clothes, facial
    hair, hair (or what covers it) and glasses.

    Each factor's kind is drawn uniformly and independently of the others, then one of the kind's
    colours. All factors are known; one of them is the class. Some hide others: a hijab hides the
    hair, sunglasses the eyes. The last tenth of the avatars is the test set. They are composed once
    and kept in `data_dir`.

    The pictures are Pablo Stanley's Avataaars, "free for personal and commercial use", as robohash
    distributes them (`pip install -e '.[faces]'`).

    Args:
        images: avatars, test set included.
        factor: the one that labels tell.
        common: what every data set takes, see `DataModule`.

    Raises:
        InputError: (in `prepare_data` or `setup`) robohash is not installed.
    """

    label = "avatars"
    shape = (3, SIZE, SIZE)
    factor_names = tuple(LAYERS)

    @validate_call
    def __init__(
        self,
        *,
        images: Annotated[int, Field(ge=30, le=1_000_000)] = 20_000,
        factor: Literal[
            "skin", "eyes", "eyebrows", "mouth", "clothes", "facial_hair", "hair", "glasses"
        ] = "skin",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.images = images
        self.factor = factor

    @property
    def file(self) -> Path:
        return self.data_dir / "avatars" / f"{self.images}.bytes"

    def prepare_data(self) -> None:
        """Compose the avatars, if that has not been done yet."""
        layers = find_layers()
        keep(self.file, compose(layers, draw(layers, self.images)))

    def load(self) -> tuple[Examples, Examples]:
        layers = find_layers()
        choices = draw(layers, self.images)
        kinds = [
            layer.kind_of[chosen] for layer, chosen in zip(layers.values(), choices.T, strict=True)
        ]
        factors = torch.from_numpy(np.stack(kinds, 1))  # (images, 8)
        self.class_names = layers[self.factor].kinds
        labels = factors[:, self.factor_names.index(self.factor)]
        everything = Examples(read_kept(self.file, self.shape, self.images), labels, factors)
        train = self.images - self.images // 10
        return everything.subset(slice(train)), everything.subset(slice(train, None))


def find_layers() -> dict[str, Layer]:
    """The pictures, by factor, from the lowest layer up.

    Raises:
        InputError: robohash is not installed, or lacks them.
    """
    found = find_spec("robohash")  # where it lies; it is not imported
    sets = Path(found.origin).parent / "sets/set5" if found and found.origin else None
    if sets is None or not all((sets / folder).is_dir() for folder in LAYERS.values()):
        raise InputError(
            "dataset=avatars: composes pictures of the package robohash; it needs"
            f" {how_to_install('faces')}"
        )
    return {name: read_layer(sets / folder) for name, folder in LAYERS.items()}


def read_layer(folder: Path) -> Layer:
    files = sorted(folder.glob("*.png"), key=lambda file: (kind_of(file), file.name))
    kinds = tuple(sorted({kind_of(file) for file in files}))
    return Layer(files, kinds, np.array([kinds.index(kind_of(file)) for file in files]))


def kind_of(file: Path) -> str:
    """Hijab of Hijab-Blue01.png and of Hijab.png, FrecklesLight of FrecklesLight003.png."""
    return re.split(r"[\d.-]", file.name)[0]


def draw(layers: dict[str, Layer], n: int) -> np.ndarray:
    """The pictures of n avatars: indices into each layer's files, (n, layers)."""
    generator = np.random.default_rng(SEED)
    columns = []
    for layer in layers.values():
        count = np.bincount(layer.kind_of)  # files of each kind, which lie side by side
        start = np.searchsorted(layer.kind_of, np.arange(len(count)))
        kind = generator.integers(len(count), size=n)
        columns.append(start[kind] + generator.integers(count[kind]))
    return np.stack(columns, 1)


def compose(layers: dict[str, Layer], choices: np.ndarray) -> Iterator[np.ndarray]:
    """Avatars of the chosen pictures, one over the other on white: uint8, (3, SIZE, SIZE) each."""
    pictures, columns = [], []
    for i, layer in enumerate(track(layers.values(), "reading pictures")):
        used, column = np.unique(choices[:, i], return_inverse=True)
        pictures.append(np.stack([read_picture(layer.files[index]) for index in used]))
        columns.append(column)
    for start in track(range(0, len(choices), CHUNK), "composing avatars"):
        rows = slice(start, start + CHUNK)
        canvas = np.ones((1, 3, SIZE, SIZE), np.float32)
        for layer_pictures, column in zip(pictures, columns, strict=True):
            picture = layer_pictures[column[rows]]  # (CHUNK, 4, SIZE, SIZE)
            canvas = picture[:, :3] + (1 - picture[:, 3:]) * canvas
        yield from (255 * canvas).round().clip(0, 255).astype(np.uint8)


def read_picture(file: Path) -> np.ndarray:
    """Colours times opacity, then opacity: float32 in [0, 1], (4, SIZE, SIZE)."""
    with Image.open(file) as picture:
        small = picture.convert("RGBa").reduce(picture.width // SIZE)
    return np.asarray(small, np.float32).transpose(2, 0, 1) / 255
