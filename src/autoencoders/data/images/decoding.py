"""The bytes of an image file -> its frames -> squares of one size."""

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from autoencoders.data.images.dicom import is_dicom, read_dicom
from autoencoders.data.images.frame import Frame, Span, opaque
from autoencoders.errors import how_to_install

Fit = Literal["crop", "pad", "stretch"]
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how such files begin
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
UNSIGNED, SIGNED, WHITE_IS_ZERO = 1, 2, 0  # values of two of them
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow has it


class Look(NamedTuple):
    """How images come out.

    size: pixels a side.
    channels: 1, grey, or 3, colour.
    fit: of what is no square, the middle is kept, or black is put beside it, or it is stretched.
    crop: pixels a side of the square in the middle that is kept; None keeps the largest one.
    frames: of a file with several, the first or all.
    span: the values that become black and white, in all images; None takes 8 bits as they are, and
        leaves other values for a range that is found over many images.
    """

    size: int
    channels: int
    fit: Fit = "crop"
    crop: int | None = None
    frames: Literal["first", "all"] = "first"
    span: Span | None = None


def read_frames(content: bytes, look: Look) -> Iterator[Frame]:
    """The frames of an image file, of which `look` may take the first alone.

    Raises:
        OSError, ValueError and others: the file is damaged, or no image.
        ModuleNotFoundError: a package that reads it is not installed.
    """
    if is_dicom(content):
        return read_dicom(content, look.frames == "all")
    if content.startswith(TIFF) and not _pillow_reads(content):
        return _read_tiff(content, look.frames == "all")
    return _read_pillow(content, look)


def shrink(frame: Frame, look: Look) -> np.ndarray:
    """A frame as it is kept, (channels, size, size): uint8, or float32 if it has other values than
    bytes and no range says what they become.

    Raises:
        ValueError: some values are NaN or infinite.
    """
    span = look.span or frame.span
    span = span[::-1] if span and frame.mirror is not None else span
    if isinstance(frame.image, Image.Image):
        image = frame.image.convert("L" if look.channels == 1 else "RGB")
        square = np.asarray(_fitted(image, look))
        array = square.reshape(look.size, look.size, look.channels).transpose(2, 0, 1)
    else:
        if wrong := int((~np.isfinite(frame.image)).sum()):
            raise ValueError(f"{wrong:,} of {frame.image.size:,} values are NaN or infinite")
        planes = _channels(frame.image, look.channels).transpose(2, 0, 1)
        fitted = [_fitted(Image.fromarray(np.ascontiguousarray(plane)), look) for plane in planes]
        array = np.stack([np.asarray(plane) for plane in fitted])
    if span:
        return to_bytes(array, span)
    return array if frame.mirror is None else (frame.mirror - array).astype(array.dtype)


def to_bytes(values: np.ndarray, span: Span) -> np.ndarray:
    """Values -> uint8, the first end of the range black, the second one white."""
    low, high = span
    shares = (values.astype(np.float64) - low) / (high - low)
    return (255 * shares).round().clip(0, 255).astype(np.uint8)


def _fitted(image: Image.Image, look: Look) -> Image.Image:
    """A square of an image, or the image in one."""
    size = (look.size, look.size)
    if look.fit == "pad":
        # Of values without a range, the lowest one will be black.
        black: Any = image.getextrema()[0] if image.mode == "F" else "black"
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=black)
    if look.fit == "crop":
        side = look.crop or min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image.resize(size, Image.Resampling.BILINEAR)


def _channels(values: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, 1 or 3) -> (H, W, channels)."""
    if channels == 1 and values.shape[2] == 3:
        return (values @ LUMA)[..., None]
    return np.broadcast_to(values, (*values.shape[:2], channels))


def _read_pillow(content: bytes, look: Look) -> Iterator[Frame]:
    if content[4:8] == b"ftyp":  # AVIF, or HEIC, which Pillow does not read by itself
        with suppress(ModuleNotFoundError):
            from pillow_heif import register_heif_opener

            register_heif_opener()
    try:
        image = Image.open(io.BytesIO(content))
    except Image.UnidentifiedImageError as error:  # whose message names the buffer
        raise ValueError("no image, or damaged at the beginning" if content else "empty") from error
    with image as opened:
        # A camera's MPO has the same photograph in another size beside it.
        count = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
        for i in range(count if look.frames == "all" else 1):
            opened.seek(i)
            yield _frame(opened, content, look)._replace(frames=count)


def _frame(opened: Image.Image, content: bytes, look: Look) -> Frame:
    """The frame that an opened image is at."""
    width, height = opened.size
    if (values := _values(opened, content)) is not None:
        return Frame.of(values)
    if look.crop is None:
        opened.draft(
            None, (2 * look.size, 2 * look.size)
        )  # a large JPEG is decoded at a lower size
    image = ImageOps.exif_transpose(opened)
    if (image.width > image.height) != (width > height):
        width, height = height, width
    grey = opened.mode in ("1", "L", "LA")
    if transparent := image.has_transparency_data:
        image = image.convert("RGBA")
        transparent = bool(np.asarray(image.getchannel("A")).min() < 255)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return Frame(image, (width, height), grey=grey, transparent=transparent)


def _values(opened: Image.Image, content: bytes) -> np.ndarray | None:
    """The values of an image that are not bytes, (H, W, C) or (H, W); None of bytes."""
    if opened.format == "TIFF" and SIGNED in opened.tag_v2.get(SAMPLE_FORMAT, ()):  # type: ignore[attr-defined]
        return np.asarray(opened).view(np.int8) if opened.mode == "L" else np.asarray(opened)
    if opened.format == "TIFF" and opened.mode.startswith("I"):
        values = np.asarray(opened)
        values = values.view(np.uint32) if opened.mode == "I" else values  # Pillow's is signed
        negative = opened.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
        return np.iinfo(values.dtype).max - values if negative else values
    if opened.mode.startswith(("I", "F")):
        return np.asarray(ImageOps.exif_transpose(opened))
    tiles = getattr(opened, "tile", [])
    raw = str(tiles[0][3]) if tiles else ""
    if opened.format == "PNG" and raw.endswith(";16B"):  # colours, of which Pillow keeps 8 bits
        # Deprecated in torchvision 0.29; test_decoding.py fails when it is gone.
        from torchvision.io import decode_image

        # A copy, since a tensor must be able to write.
        buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        image = decode_image(buffer, mode="UNCHANGED", apply_exif_orientation=True)
        return opaque(image.numpy().transpose(1, 2, 0))
    return None


def _pillow_reads(content: bytes) -> bool:
    """Whether Pillow reads a TIFF with all its bits."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            bits = opened.tag_v2.get(BITS, (1,))  # type: ignore[attr-defined]
            return opened.mode.startswith(("I", "F")) or max(bits) <= 8
    except Image.UnidentifiedImageError:
        return False


def _read_tiff(content: bytes, every: bool) -> Iterator[Frame]:
    """The pages of a TIFF that Pillow does not read, or not with all bits."""
    try:
        from tifffile import TiffFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"needs {how_to_install('tiff')}") from error
    with TiffFile(io.BytesIO(content)) as file:
        pages = list(file.pages)
        for page in pages if every else pages[:1]:
            values: np.ndarray = page.asarray()
            if values.ndim == 3 and page.axes.startswith("S"):  # a plane for each channel
                values = values.transpose(1, 2, 0)
            alpha = values.ndim == 3 and values.shape[2] in (2, 4)
            yield Frame.of(opaque(values) if alpha else values)._replace(frames=len(pages))
