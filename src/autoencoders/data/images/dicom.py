"""DICOM, the format of medical images: https://www.dicomstandard.org."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from autoencoders.data.images.frame import Frame
from autoencoders.errors import how_to_install

PREAMBLE = 128  # bytes before the four that such a file begins with
MARK = b"DICM"


def is_dicom(content: bytes) -> bool:
    return content[PREAMBLE : PREAMBLE + len(MARK)] == MARK


def read_dicom(content: bytes, every: bool) -> Iterator[Frame]:
    """The frames of a file, or the first: rescaled, in Hounsfield units for example, with the
    window in which the file wants to be seen as their span.

    Raises:
        Exception: of many kinds, where it has no pixels or is damaged.
        ModuleNotFoundError: pydicom is not installed.
    """
    try:
        from pydicom import dcmread
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"needs {how_to_install('dicom')}") from error
    data = dcmread(io.BytesIO(content))
    pixels: np.ndarray = data.pixel_array  # ([frames,] H, W [, 3])
    count = int(data.get("NumberOfFrames") or 1)
    pixels = pixels if count > 1 else pixels[None]
    for frame in pixels if every else pixels[:1]:
        yield _frame(data, frame)._replace(frames=count)


def _frame(data: Any, pixels: np.ndarray) -> Frame:
    if pixels.ndim == 3:
        return Frame.of(pixels)
    slope = float(data.get("RescaleSlope", 1))
    intercept = float(data.get("RescaleIntercept", 0))
    values = pixels if (slope, intercept) == (1, 0) else pixels * slope + intercept
    frame = Frame.of(values)._replace(span=_window(data))
    if data.PhotometricInterpretation == "MONOCHROME1":  # the lowest values are white
        ends = -1 if data.PixelRepresentation else 2**data.BitsStored - 1  # their sum
        frame = frame._replace(mirror=ends * slope + 2 * intercept)
    return frame


def _window(data: Any) -> tuple[float, float] | None:
    """The first window: PS3.3, C.11.2.1.2."""
    centre, width = (np.ravel(data.get(key) or []) for key in ("WindowCenter", "WindowWidth"))
    if not len(centre) or not len(width) or float(width[0]) <= 1:
        return None
    middle, half = float(centre[0]) - 0.5, (float(width[0]) - 1) / 2
    return middle - half, middle + half
