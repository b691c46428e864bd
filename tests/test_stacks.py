"""Arrays of images, .zip files, and files of several frames."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from test_folder import colours, folder, in_split_folders, plain, splits

from autoencoders.errors import InputError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(60) % 3


def by_name(data):
    """Each image, by its name."""
    parts = (data.train, data.val, data.test)
    return {n: i for part in parts for n, i in zip(part.names, part.values.numpy(), strict=True)}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_an_array_in_colour(tmp_path, layout):
    array = BYTES if layout == "NHWC" else BYTES.transpose(0, 3, 1, 2)
    np.save(tmp_path / "stack.npy", array)
    (tmp_path / "stack.npy").rename(tmp_path / "stack.NPY")
    images = by_name(folder(tmp_path / "stack.NPY"))
    assert len(images) == 60
    for name, image in images.items():
        np.testing.assert_array_equal(image, BYTES[int(name)].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("dtype", "top"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (np.int64, 255),
        (np.float64, 1),
        (bool, 1),
        (">u2", 4095),
    ],
)
def test_an_array_in_grey(tmp_path, dtype, top):
    shares = RNG.random((60, 8, 8))
    shares[:, 0, 0], shares[:, 0, 1] = 0, 1
    values = (shares * top).round() if dtype != np.float64 else shares
    np.save(tmp_path / "stack.npy", values.astype(dtype))
    for name, image in by_name(folder(tmp_path / "stack.npy", channels=1)).items():
        np.testing.assert_allclose(image[0], values[int(name)] / top * 255, atol=0.51)


def test_opacity_in_an_array(tmp_path):
    array = np.full((60, 8, 8, 4), 100, np.uint8)
    array[..., 3] = 51
    np.save(tmp_path / "stack.npy", array)
    images = by_name(folder(tmp_path / "stack.npy"))
    assert {image.max() for image in images.values()} == {round(0.2 * 100 + 0.8 * 255)}


@pytest.mark.parametrize("words", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_the_split_of_an_npz(tmp_path, words):
    """Keras' mnist.npz, and MedMNIST's, whose labels have a column."""
    keras = words[0] == "x_{}"
    parts = {"train": slice(40), "test": slice(40, 60)}
    parts |= {} if keras else {"train": slice(30), "val": slice(30, 40)}
    arrays = {}
    for name, rows in parts.items():
        arrays[words[0].format(name)] = BYTES[rows]
        arrays[words[1].format(name)] = LABELS[rows] if keras else LABELS[rows, None]
    np.savez(tmp_path / "data.npz", **arrays)
    data = folder(tmp_path / "data.npz", val_size=5)
    assert data.class_names == ("0", "1", "2")
    assert [len(data.train), len(data.val), len(data.test)] == (
        [35, 5, 20] if keras else [30, 10, 20]
    )
    for name, part in (("train", data.train), ("test", data.test)):
        images, labels = BYTES[parts[name]], LABELS[parts[name]]
        for i, called in enumerate(part.names):
            split, _, number = called.partition("/")
            assert split == name
            assert part.labels[i] == labels[int(number)]
            np.testing.assert_array_equal(part.values[i], images[int(number)].transpose(2, 0, 1))


def test_labels_of_any_type(tmp_path):
    for labels, names in (
        (np.array(["é", "b"] * 30), ("b", "é")),
        (np.array([b"x", b"y"] * 30), ("x", "y")),
        (np.array([2.0, 10.0] * 30), ("2", "10")),
        (np.array([0.0, np.nan] * 30), ("0",)),
        (np.array([True, False] * 30), ("False", "True")),
    ):
        np.savez(tmp_path / "x.npz", images=BYTES, y=labels, z=np.array([{}], object))
        data = folder(tmp_path / "x.npz")
        assert data.class_names == names
        known = [names.index(name) if name in names else -1 for name in map(shown, labels)]
        assert data.test.labels.tolist() == [known[int(name)] for name in data.test.names]
    assert folder(tmp_path / "x.npz", classes=False).class_names == ()


def shown(label):
    label = label.decode() if isinstance(label, bytes) else label
    return f"{label:g}" if isinstance(label, float) else str(label)


def test_which_arrays(tmp_path):
    arrays = {"images": BYTES, "masks": BYTES[..., 0], "site": LABELS, "age": LABELS % 2}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=r"images uint8 \(60, 8, 8, 3\), masks .*dataset\.array="):
        folder(tmp_path / "x.npz")
    data = folder(tmp_path / "x.npz", array="images")
    assert data.class_names == ()
    assert "arrays images (labels: none); dataset.array= and dataset.labels=" in data.inventory
    data = folder(tmp_path / "x.npz", array="masks", labels="site")
    assert len(data.class_names) == 3
    with pytest.raises(InputError, match=r"dataset\.labels=sex: allowed for 60 images: site, age"):
        folder(tmp_path / "x.npz", array="masks", labels="sex")


@pytest.mark.parametrize("array", [BYTES.reshape(60, -1), BYTES[:, 0], BYTES[..., :2], BYTES[:0]])
def test_arrays_that_hold_no_images(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=r"holds an array uint8 .*dataset=table reads a matrix"):
        folder(tmp_path / "x.npy")


def test_files_that_cannot_be_read(tmp_path):
    for name in ("x.npy", "x.npz", "x.zip", "x.txt"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(
            InputError, match=rf"dataset\.path=.*{name}: (cannot be read|no folder)"
        ):
            folder(tmp_path / name)
    np.save(tmp_path / "x.npy", np.array([{}], object))
    with pytest.raises(InputError, match=r"holds an array object \(1,\); expected one array"):
        folder(tmp_path / "x.npy")


def test_nan_in_an_array(tmp_path):
    values = RNG.random((60, 8, 8))
    values[7, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", values)
    data = folder(tmp_path / "x.npy")
    assert data.left_out == {"damaged": ["7"]}
    assert "7" not in by_name(data)


def test_a_zip_is_a_folder(tmp_path):
    in_split_folders(tmp_path / "inner/photos", train=20, test=8)
    (tmp_path / "inner/photos/train/a/bad.JPG").write_text("no image")
    (tmp_path / "inner/photos/notes.txt").write_text("no image")
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "inner")
    with zipfile.ZipFile(tmp_path / "photos.zip", "a") as file:
        file.writestr("__MACOSX/photos/train/a/._0.png", "no image")
    zipped, unpacked = folder(tmp_path / "photos.zip"), folder(tmp_path / "inner/photos")
    assert (
        splits(zipped) == splits(unpacked) == [colours(*range(20)), set(), colours(*range(20, 28))]
    )
    assert zipped.class_names == unpacked.class_names == ("a", "b")
    for part in ("train", "test"):
        one, other = getattr(zipped, part), getattr(unpacked, part)
        assert dict(zip(one.names, one.digests, strict=True)) == {
            f"photos/{name}": d for name, d in zip(other.names, other.digests, strict=True)
        }
    assert zipped.left_out == {
        ".txt": ["photos/notes.txt"],
        "damaged": ["photos/train/a/bad.JPG"],
    }


@pytest.mark.parametrize("name", ["stack.TIF", "film.gif"])
def test_a_file_of_frames(tmp_path, name):
    frames = [Image.new("L", (9, 9), 4 * i) for i in range(50)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    data = folder(tmp_path / name, test_share=0.3, channels=1)
    images = by_name(data)
    assert len(images) == 50
    for called, image in images.items():
        assert called == f"{name}[{image[0, 0, 0] // 4}]"
    assert len(data.test) > 5


def test_a_file_of_one_frame(tmp_path):
    plain(tmp_path / "x.png", 9)
    with pytest.raises(InputError, match=r"1 images, of which"):
        folder(tmp_path / "x.png")
