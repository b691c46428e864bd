"""Image files of other kinds than bytes in grey or RGB, and how they become squares of bytes."""

import io
import itertools
import re
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from test_folder import folder, plain, read_image

from autoencoders.data.images import listing
from autoencoders.data.images.kept import USUAL


def png_of_16_bits(values):
    """A PNG of (H, W, channels) values, which Pillow does not write in colour."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">2I5B", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def pillow(values, kind="TIFF"):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 4096, (8, 8, 3)).astype(np.uint16)
GREY = RNG.integers(0, 65536, (8, 8)).astype(np.uint16)
NEGATIVE = RNG.integers(-(2**31), 2**31, (8, 8)).astype(np.int32)
LARGE = RNG.integers(0, 2**32, (8, 8)).astype(np.uint32)
FLOATS = RNG.normal(size=(8, 8)).astype(np.float32)
CASES = {
    "16-bit grey PNG": (pillow(GREY, "PNG"), GREY),
    "16-bit grey TIFF": (pillow(GREY), GREY),
    "16-bit grey TIFF, white is 0": (tiff(GREY, photometric="miniswhite"), 65535 - GREY),
    "big TIFF": (tiff(GREY, bigtiff=True), GREY),
    "16-bit colour PNG": (png_of_16_bits(RGB), RGB),
    "16-bit colour TIFF": (tiff(RGB, photometric="rgb"), RGB),
    "planes of 16 bits": (
        tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        RGB,
    ),
    "int32": (tiff(NEGATIVE), NEGATIVE),
    "uint32": (tiff(LARGE), LARGE),
    "int16": (tiff((GREY // 2).astype(np.int16) - 9), (GREY // 2).astype(np.int16) - 9),
    "int8": (tiff((GREY >> 8).astype(np.int8)), (GREY >> 8).astype(np.int8)),
    "float32": (pillow(FLOATS), FLOATS),
    "float64": (tiff(FLOATS.astype(np.float64)), FLOATS),
    "float32 colour": (tiff(np.stack([FLOATS] * 3, 2), photometric="rgb"), FLOATS),
}


@pytest.mark.parametrize("case", CASES)
def test_values_that_are_no_bytes(tmp_path, case):
    """They are kept as they are, until a range is known."""
    content, values = CASES[case]
    (tmp_path / "x").write_bytes(content)
    image = read_image(tmp_path / "x", 8, 3)
    assert image.dtype == np.float32
    expected = values if values.ndim == 3 else np.stack([values] * 3, 2)
    np.testing.assert_allclose(image.transpose(1, 2, 0), expected.astype(np.float64), rtol=1e-6)
    if values.ndim == 3:
        grey = read_image(tmp_path / "x", 8, 1)[0]
        np.testing.assert_allclose(grey, values @ [0.299, 0.587, 0.114], rtol=1e-5)


def test_16_bits_with_opacity(tmp_path):
    values = np.full((8, 8, 4), 1000, np.uint16)
    values[..., 3] = 65535 // 5
    (tmp_path / "x").write_bytes(png_of_16_bits(values))
    image = read_image(tmp_path / "x", 4, 3)
    np.testing.assert_allclose(image, 0.2 * 1000 + 0.8 * 65535, atol=1)


def test_bytes_stay_bytes(tmp_path):
    for i, content in enumerate((tiff(RGB.astype(np.uint8), photometric="rgb"), pillow(GREY > 9))):
        (tmp_path / f"{i}").write_bytes(content)
        assert read_image(tmp_path / f"{i}", 4, 3).dtype == np.uint8


def deep(path, images, kind="tif"):
    """A folder of images of one value each."""
    path.mkdir()
    for i, value in enumerate(images):
        Image.fromarray(np.full((9, 9), value)).save(path / f"{i}.{kind}")


@pytest.mark.parametrize(
    ("values", "span"),
    [
        (np.linspace(0.1, 0.9, 30).astype(np.float32), (0, 1)),
        (np.linspace(0, 4000, 30).astype(np.uint16), (0, 4095)),
        (np.linspace(9, 60000, 30).astype(np.uint16), (0, 65535)),
        (np.linspace(0, 255, 30).astype(np.int32), (0, 255)),
        (np.linspace(-1000, 3000, 30).astype(np.float32), None),
        (np.linspace(-2e9, 2e9, 30).astype(np.int32), None),
        (np.linspace(0.001, 0.01, 30).astype(np.float32), None),
        (np.linspace(100, 1500, 30).astype(np.uint16), None),
    ],
)
def test_the_range_of_the_training_images(tmp_path, values, span):
    deep(tmp_path / "faces", values)
    data = folder(tmp_path / "faces", test_share=0.3, val_size=5)
    numbers = {
        part: values[[int(name.removesuffix(".tif")) for name in getattr(data, part).names]]
        for part in ("train", "val", "test")
    }
    known = np.concatenate([numbers["train"], numbers["val"]]).astype(float)
    low, high = span or (known.min(), known.max())
    assert data.preprocessing["range"] == pytest.approx([low, high])
    for part, these in numbers.items():
        expected = ((these - low) / (high - low)).clip(0, 1)
        pixels = getattr(data, part).x()[:, 0, 4, 4]
        np.testing.assert_allclose(pixels, expected, atol=0.51 / 255, err_msg=part)
    beyond = ((values < low) | (values > high)).sum()
    assert (f", {beyond} with values beyond" in data.inventory) == bool(beyond)
    assert "are black to white" in data.inventory


def test_a_range_of_ones_own(tmp_path):
    deep(tmp_path / "faces", np.arange(30, dtype=np.uint16))
    data = folder(tmp_path / "faces", test_share=0.3, range=[10, 20])
    numbers = np.array([int(name.removesuffix(".tif")) for name in data.test.names])
    expected = (255 * ((numbers - 10) / 10).clip(0, 1)).round()
    assert data.test.values[:, 0, 0, 0].tolist() == expected.tolist()
    assert data.preprocessing == {}
    for wrong in ([1, 1], [2, 1], [0, float("nan")], [0]):
        with pytest.raises(ValueError, match="range"):
            folder(tmp_path / "faces", range=wrong)


def test_a_recorded_range_is_taken_again(tmp_path):
    deep(tmp_path / "faces", np.arange(100, 130, dtype=np.uint16))
    first = folder(tmp_path / "faces", test_share=0.3)
    for i in range(5):
        Image.fromarray(np.full((9, 9), 60000, np.uint16)).save(tmp_path / f"faces/new{i}.tif")
    other = folder(tmp_path / "faces", test_share=0.3)
    assert other.preprocessing != first.preprocessing
    again = type(first)(**arguments(tmp_path))
    again.recorded = first.manifest
    again.setup()
    assert again.preprocessing == first.preprocessing
    assert again.test.values.equal(first.test.values)


def arguments(place):
    return {
        "path": place / "faces",
        "data_dir": place / "data",
        "image_size": 8,
        "test_share": 0.3,
    }


def test_bytes_among_other_values(tmp_path):
    deep(tmp_path / "faces", np.linspace(0, 4095, 30).astype(np.uint16))
    plain(tmp_path / "faces/white.png", 255)
    plain(tmp_path / "faces/grey.png", 100)
    data = folder(tmp_path / "faces", test_share=0.3)
    found = {
        name: image[0, 0, 0].item()
        for part in (data.train, data.test)
        for name, image in zip(part.names, part.values, strict=True)
    }
    assert (found["white.png"], found["grey.png"], found["29.tif"]) == (255, 100, 255)


def test_nan_is_named(tmp_path):
    deep(tmp_path / "faces", np.linspace(0, 1, 30).astype(np.float32))
    values = np.zeros((9, 9), np.float32)
    values[0, :2] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "faces/bad.tif")
    data = folder(tmp_path / "faces", test_share=0.3)
    assert "bad.tif (2 of 81 values are NaN or infinite)" in data.inventory
    assert data.left_out == {"damaged": ["bad.tif"]}


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_fits(tmp_path, kind):
    """A strip of four squares, of which crop keeps the two halves in the middle."""
    levels = np.repeat(np.array([10, 60, 110, 160]), 8)
    strip = np.tile(levels, (8, 1)).astype(kind)
    Image.fromarray(strip).save(tmp_path / "x.tif")
    crop = read_image(tmp_path / "x.tif", 8, 1, fit="crop")[0]
    np.testing.assert_array_equal(crop, strip[:, 12:20])
    stretch = read_image(tmp_path / "x.tif", 4, 1, fit="stretch")[0]
    reference = Image.fromarray(strip).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(stretch, np.asarray(reference))
    pad = read_image(tmp_path / "x.tif", 32, 1, fit="pad")[0]
    np.testing.assert_array_equal(pad[12:20], strip)
    assert np.unique(np.delete(pad, range(12, 20), 0)).tolist() == [0 if kind == "uint8" else 10]


def test_the_fit_is_said(tmp_path):
    for i in range(30):
        plain(tmp_path / f"faces/{i}.png", (i, 0, 0), (64, 16))
    for fit, said in (("crop", "cropped to the"), ("pad", "with black"), ("stretch", "stretched")):
        line = folder(tmp_path / "faces", fit=fit, test_share=0.3).inventory
        assert f"from 64x16 (width x height), {said}" in line
    plain(tmp_path / "faces/other.png", (1, 1, 1), (10, 20))
    assert "from 10x16 to 64x20 (width" in folder(tmp_path / "faces", test_share=0.3).inventory


def test_what_colours_become_is_said(tmp_path):
    for i in range(30):
        plain(tmp_path / f"grey/{i}.png", i)
        plain(tmp_path / f"colour/{i}.png", (i, 0, 0))
        Image.new("RGBA", (9, 9), (i, 0, 0, 99)).save(tmp_path / f"colour/{i}.png")
    assert "all are grey (dataset.channels=1)" in folder(tmp_path / "grey").inventory
    line = folder(tmp_path / "colour", channels=1).inventory
    assert "30 in colour are made grey (dataset.channels=3)" in line
    assert "30 transparent on white" in line


def test_masks_are_said_to_be_dark(tmp_path):
    for i in range(30):
        plain(tmp_path / f"masks/{i}.png", i % 3)
    data = folder(tmp_path / "masks", channels=1, test_share=0.3)
    assert "no value above 2 of 255 (dataset.range=[0,2])" in data.inventory
    bright = folder(tmp_path / "masks", channels=1, test_share=0.3, range=[0, 2])
    assert sorted(bright.train.values.unique().tolist()) == [0, 128, 255]


# DICOM, HEIC and AVIF -----------------------------------------------------------------------------


def computed_tomography():
    return dcmread(get_testdata_file("CT_small.dcm"))


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_dicom_is_rescaled(tmp_path, photometric):
    scan = computed_tomography()
    scan.PhotometricInterpretation = photometric
    scan.save_as(tmp_path / "x.dcm")
    image = read_image(tmp_path / "x.dcm", 128, 1)[0]
    hounsfield = scan.pixel_array.astype(np.float64) - 1024
    if photometric == "MONOCHROME1":  # mirrored among the values that 16 signed bits have
        hounsfield = -1 - 2 * 1024 - hounsfield
    np.testing.assert_array_equal(image, hounsfield)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_dicom_in_its_window(tmp_path, photometric):
    scan = computed_tomography()
    scan.WindowCenter, scan.WindowWidth = ["40", "99"], ["401", "1"]
    scan.PhotometricInterpretation = photometric
    scan.save_as(tmp_path / "x.dcm")
    image = read_image(tmp_path / "x.dcm", 128, 1)[0]
    hounsfield = scan.pixel_array.astype(np.float64) - 1024
    shares = ((hounsfield - 39.5) / 400 + 0.5).clip(0, 1)  # PS3.3, C.11.2.1.2.1
    shares = 1 - shares if photometric == "MONOCHROME1" else shares
    np.testing.assert_allclose(image, 255 * shares, atol=0.51)
    wide = read_image(tmp_path / "x.dcm", 128, 1, span=(-1024.0, 1024.0))[0]
    shares = ((hounsfield + 1024) / 2048).clip(0, 1)
    shares = 1 - shares if photometric == "MONOCHROME1" else shares
    np.testing.assert_allclose(wide, 255 * shares, atol=0.51)


def test_a_folder_of_dicom(tmp_path):
    (tmp_path / "scans").mkdir()
    scan = computed_tomography()
    for i in range(30):
        scan.PixelData = (scan.pixel_array + np.int16(i)).tobytes()
        scan.save_as(tmp_path / f"scans/IM{i:02}{('', '.DCM')[i % 2]}")
    (tmp_path / "scans/DICOMDIR").write_text("no image")
    data = folder(tmp_path / "scans", test_share=0.3)
    assert len(data.train) + len(data.test) == 30
    assert data.left_out == {"without a suffix": ["DICOMDIR"]}


def test_heic_and_avif(tmp_path):
    from pillow_heif import register_heif_opener

    register_heif_opener()
    colour = np.zeros((64, 64, 3), np.uint8) + np.uint8([200, 60, 20])
    for name in ("a.HEIC", "b.avif", "c.heif"):
        Image.fromarray(colour).save(tmp_path / name, quality=95)
        image = read_image(tmp_path / name, 8, 3)
        np.testing.assert_allclose(image[:, 4, 4], [200, 60, 20], atol=4)


def test_what_an_extra_would_read_is_said(tmp_path, monkeypatch):
    deep(tmp_path / "faces", np.linspace(0, 1, 30).astype(np.float32))
    (tmp_path / "faces/colour.tif").write_bytes(tiff(RGB, photometric="rgb"))
    (tmp_path / "faces/x.HEIC").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tifffile", None)
        patch.setattr(listing, "HINTS", {".heic": "pip install this"})
        patch.setattr(listing, "SUFFIXES", listing.PILLOW)
        data = folder(tmp_path / "faces", test_share=0.3)
    assert data.left_out["unreadable"] == ["colour.tif"]
    assert re.search(r"colour\.tif \(needs pip install .*\[tiff\]'\)", data.inventory)
    assert "1 .heic (pip install this reads them)" in data.inventory
    (tmp_path / "faces/x.HEIC").unlink()
    assert "left out" not in folder(tmp_path / "faces", test_share=0.3).inventory


def test_usual_ranges_do_not_overlap():
    assert all(low < high / 2 for low, high in itertools.pairwise(USUAL))
