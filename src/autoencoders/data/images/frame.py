"""An image as its file has it."""

from typing import NamedTuple

import numpy as np
from PIL import Image

Span = tuple[float, float]


class Frame(NamedTuple):
    """An image as its file has it.

    image: of 8 bits a channel; or values of another type as float32, (H, W, 1 or 3).
    size: its width and height, before it was decoded at a lower one.
    grey: whether it has no colours.
    transparent: whether it has been put on white.
    span: the values that its file shows as black and white, if it says so.
    mirror: values of a negative, of which the lowest are white: what a value and its positive add
        up to.
    frames: how many there are in its file.
    """

    image: Image.Image | np.ndarray
    size: tuple[int, int]
    grey: bool = False
    transparent: bool = False
    span: Span | None = None
    mirror: float | None = None
    frames: int = 1

    @classmethod
    def of(cls, values: np.ndarray) -> "Frame":
        """Values of any type, (H, W) or (H, W, 1 or 3); those of bytes as an image.

        Raises:
            ValueError: they have another shape, or are no numbers.
        """
        values = values[..., None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[2] not in (1, 3) or values.dtype.kind not in "biuf":
            raise ValueError(f"{values.dtype} of the shape {values.shape} is no grey or RGB image")
        height, width, channels = values.shape
        if values.dtype == bool:
            values = np.uint8(255) * values
        image: Image.Image | np.ndarray = values.astype(np.float32)
        if values.dtype == np.uint8:
            image = Image.fromarray(values[..., 0] if channels == 1 else values)
        return cls(image, (width, height), grey=channels == 1)


def opaque(values: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (H, W, 1 or 3): without the last channel of two or four, which is the opacity,
    and on white."""
    if values.shape[2] not in (2, 4):
        return values
    top = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    share = values[..., -1:] / np.float64(top)
    mixed: np.ndarray = values[..., :-1] * share + top * (1 - share)
    return mixed.round().astype(values.dtype) if values.dtype.kind in "iu" else mixed
