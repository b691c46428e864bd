"""Folders of images: what is read, what is kept on disk, and which images test."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from conftest import compose_train, located, write_images
from omegaconf import OmegaConf
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from autoencoders.data import Folder, images
from autoencoders.data.images import read_image
from autoencoders.errors import InputError


def folder(path, **arguments):
    data = Folder(path=path, data_dir=path.parent / "data", **{"image_size": 8} | arguments)
    data.prepare_data()
    data.setup()
    return data


def plain(path, colour, size=(10, 10)):
    """An image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, size, colour).save(path)


def splits(data):
    """The colours of the images of each split, of images of one colour each."""
    parts = (data.train, data.val, data.test)
    return [{tuple(image[:, 0, 0].tolist()) for image in part.values} for part in parts]


def kept(path):
    return sorted((path.parent / f".{path.name}-decoded").glob("*.bytes"))


@pytest.fixture
def faces(tmp_path):
    write_images(tmp_path / "faces", 40)
    return tmp_path / "faces"


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 60), (64, 32), (8, 8), (6, 4)])
def test_images_are_cropped_and_resized_as_torchvision_does(tmp_path, size):
    pixels = np.random.default_rng(0).integers(256, size=(*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    reference = Compose([CenterCrop(min(size)), Resize((8, 8))])(Image.fromarray(pixels))
    image = read_image(tmp_path / "x.png", 8, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.asarray(reference).transpose(2, 0, 1))


def test_a_crop_in_the_middle(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(218, 178, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", 140, 3, crop=140)
    np.testing.assert_array_equal(image.transpose(1, 2, 0), pixels[39:179, 19:159])


def test_kinds_of_images(tmp_path):
    """Each file shows one colour, which is known."""
    expected = {}

    def case(name, image, colour, **options):
        image.save(tmp_path / name, **options)
        expected[name] = colour

    case("grey.png", Image.new("L", (9, 9), 77), (77, 77, 77))
    deep = Image.fromarray(np.full((9, 9), 51 * 257, np.uint16))
    case("16-bit.png", deep, (51, 51, 51))
    case("16-bit.tif", deep, (51, 51, 51))
    case("cmyk.tif", Image.new("CMYK", (9, 9), (0, 255, 255, 0)), (255, 0, 0))
    case("transparent.png", Image.new("RGBA", (9, 9), (0, 0, 255, 0)), (255, 255, 255))
    case("half.png", Image.new("RGBA", (9, 9), (0, 0, 255, 128)), (127, 127, 255))
    palette = Image.new("RGB", (9, 9), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    case("palette.png", palette, (10, 200, 30))
    case("palette.GIF", palette, (10, 200, 30))
    case("bits.png", Image.new("1", (9, 9), 1), (255, 255, 255))
    for name, colour in expected.items():
        image = read_image(tmp_path / name, 4, 3)
        assert image.shape == (3, 4, 4), name
        np.testing.assert_allclose(image[:, 1, 1], colour, atol=1, err_msg=name)
        assert read_image(tmp_path / name, 4, 1).shape == (1, 4, 4)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    image = read_image(tmp_path / "x.png", 8, 1)[0]
    assert image[:, -1].min() == 255
    assert image[:, :-1].max() == 0


# What is in a folder ------------------------------------------------------------------------------


def test_subfolders_are_classes(tmp_path):
    path = tmp_path / "faces"
    colours = {"Zoë": (255, 0, 0), "a b": (0, 255, 0), "0": (0, 0, 255)}
    for name, colour in colours.items():
        for i in range(20):
            plain(path / name / f"{'deep/' * (i % 2)}{i} é.{('PNG', 'jpeg')[i % 2]}", colour)
    plain(path / "beside.png", (9, 9, 9))
    plain(path / ".hidden/x.png", (9, 9, 9))
    (path / "empty").mkdir()
    (path / "a b/notes.txt").write_text("no image")
    (path / "a b/._0.png").write_bytes(b"left by another system")
    data = folder(path, val_size=5)
    assert data.label == "faces"
    assert data.class_names == ("0", "Zoë", "a b")
    assert len(data.train) + len(data.val) + len(data.test) == 60
    for part in (data.train, data.val, data.test):
        for image, label in zip(part.values, part.labels, strict=True):
            colour = torch.tensor(colours[data.class_names[label]])
            assert (image[:, 4, 4] - colour).abs().max() <= 2  # what JPEG changes


@pytest.mark.parametrize(("classes", "names"), [(["one"], ("one",)), ([], ())])
def test_one_class_and_none(tmp_path, classes, names):
    for i in range(30):
        plain(Path(tmp_path, "faces", *classes, f"{i}.png"), (i, 0, 0))
    data = folder(tmp_path / "faces", test_share=0.3)
    assert data.class_names == names
    assert data.train.labels.unique().tolist() == [0]


@pytest.mark.parametrize("channels", [1, 3])
def test_mixed_sizes_and_grey_among_colour(tmp_path, channels):
    for i in range(30):
        plain(tmp_path / f"faces/{i}.png", i if i % 3 else (i, i, i), (5 + i, 40 - i))
    data = folder(tmp_path / "faces", channels=channels, image_size=12, test_share=0.3)
    assert data.shape == (channels, 12, 12)
    assert data.train.values.shape[1:] == data.shape
    assert set.union(*splits(data)) == {(i,) * channels for i in range(30)}


def test_damaged_images_are_named_and_left_out(tmp_path, capsys):
    path = tmp_path / "faces"
    for i in range(30):
        plain(path / f"{i}.png", (i, 0, 0))
    photograph = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photograph, "JPEG")
    (path / "cut off.jpg").write_bytes(photograph.getvalue()[:2000])
    (path / "text.png").write_text("no image")
    (path / "empty.bmp").write_bytes(b"")
    data = folder(path, test_share=0.3)
    out = capsys.readouterr().out
    assert "skipped 3 of 33 images, which cannot be read: " in out
    for name in ("cut off.jpg", "text.png", "empty.bmp"):
        assert f"{name} (" in out
    assert set.union(*splits(data)) == {(i, 0, 0) for i in range(30)}
    again = folder(path, test_share=0.3)  # from what is kept
    assert splits(again) == splits(data)
    assert "skipped" not in capsys.readouterr().out


def test_many_damaged_images_are_counted(tmp_path, capsys):
    write_images(tmp_path / "faces", 20)
    for i in range(12):
        (tmp_path / f"faces/a/bad{i}.png").write_text("no image")
    folder(tmp_path / "faces", test_share=0.4)
    assert "skipped 12 of 32 images" in (out := capsys.readouterr().out)
    assert "and 7 more" in out


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.path=.*faces: no such folder"):
        folder(tmp_path / "faces")
    (tmp_path / "faces/a").mkdir(parents=True)
    (tmp_path / "faces/a/notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"no images in this folder; allowed: \.jpg"):
        folder(tmp_path / "faces")
    (tmp_path / "faces/a/x.png").write_text("no image")
    with pytest.raises(InputError, match=r"skipped 1 of 1 images"):
        folder(tmp_path / "faces")
    assert kept(tmp_path / "faces") == []


def test_too_few_images(tmp_path):
    plain(tmp_path / "faces/x.png", (1, 2, 3))
    with pytest.raises(InputError, match=r"1 images, of which .*test_share=0\.1 leaves"):
        folder(tmp_path / "faces")


@pytest.mark.parametrize(
    "key", [{"image_size": 3}, {"channels": 2}, {"test_share": 0}, {"test_share": 1}]
)
def test_arguments_outside_their_range(tmp_path, key):
    with pytest.raises(ValueError, match=next(iter(key))):
        Folder(path=tmp_path, **key)


# The split ----------------------------------------------------------------------------------------


def test_the_test_images_stay_when_others_are_added(tmp_path):
    path = tmp_path / "faces"
    for i in range(100):
        plain(path / f"{i}.png", (i, 0, 0))
    first = folder(path, test_share=0.2, val_size=10)
    train, val, test = splits(first)
    assert 8 <= len(test) <= 35
    assert len(val) == 10
    assert not train & val and not train & test and not val & test  # noqa: PT018
    for i in range(100, 200):
        plain(path / f"{i}.png", (i, 0, 0))
    _, _, more = splits(folder(path, test_share=0.2, val_size=10))
    assert {colour for colour in more if colour[0] < 100} == test
    for i in range(100, 200):
        (path / f"{i}.png").unlink()
    assert splits(folder(path, test_share=0.2, val_size=10)) == [train, val, test]


def test_the_split_is_the_same_in_another_place_and_with_other_sizes(tmp_path):
    for name in ("here", "there"):
        for i in range(60):
            plain(tmp_path / name / f"é{i}.png", (i, 0, 0))
    here, there = folder(tmp_path / "here"), folder(tmp_path / "there", image_size=16, seed=3)
    assert splits(here) == splits(there)


def test_every_class_is_tested(tmp_path):
    """Names that classes share do not all fall on one side."""
    for name in "abcdefgh":
        for i in range(20):
            plain(tmp_path / f"faces/{name}/{i}.png", (i, 0, 0))
    data = folder(tmp_path / "faces", test_share=0.3)
    assert data.test.labels.unique().tolist() == list(range(8))
    assert len(splits(data)[2]) > 10


# What is kept on disk -----------------------------------------------------------------------------


def no_reading(*args, **kwargs):
    raise AssertionError("decoded again")


def test_images_are_decoded_once(faces, monkeypatch):
    first = folder(faces)
    monkeypatch.setattr(images, "read_image", no_reading)
    again = folder(faces)
    assert torch.equal(first.train.values, again.train.values)
    assert torch.equal(first.test.labels, again.test.labels)
    assert len(kept(faces)) == 1


def test_what_is_kept_is_made_anew_when_files_change(faces):
    folder(faces)
    (old,) = kept(faces)
    black = next(iter(sorted((faces / "a").iterdir())))
    Image.new("RGB", (20, 20)).save(black)
    os.utime(black, ns=(1, 1))
    data = folder(faces)
    (new,) = kept(faces)
    assert new != old
    parts = torch.cat([data.train.values, data.test.values])
    assert (parts.flatten(1).amax(1) == 0).sum() == 1
    folder(faces, image_size=16)  # another size is kept beside it
    assert len(kept(faces)) == 2


def test_one_folder_read_by_several_at_once(faces):
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: folder(faces), range(4)))
    for data in several:
        assert torch.equal(data.train.values, several[0].train.values)
    assert {len(data.train) + len(data.test) for data in several} == {40}
    assert len(kept(faces)) == 1


def test_an_interrupted_decoding_leaves_nothing(faces, monkeypatch):
    def interrupted(file, **options):
        if file.name == "30.png":
            raise KeyboardInterrupt
        return read_image(file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read_image", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder(faces)
    assert kept(faces) == []
    assert len(folder(faces).train)


def test_beside_a_read_only_place_data_dir_keeps_the_images(faces, tmp_path, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and allowed(path, mode))
    (tmp_path / "data").mkdir()
    data = folder(faces)
    assert kept(faces) == []
    assert len(list((tmp_path / "data").rglob("*.bytes"))) == 1
    assert len(data.train) + len(data.test) == 40


def test_what_memory_does_not_hold_stays_on_disk(faces, monkeypatch):
    in_memory = folder(faces, val_size=5)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1000))
    mapped = folder(faces, val_size=5)
    for name in ("train", "val", "test"):
        part, expected = getattr(mapped, name), getattr(in_memory, name)
        assert torch.equal(part.values, expected.values)
        assert torch.equal(part.labels, expected.labels)
    # The parts are views of one array; it is a map of the file, which shows what is written there.
    stores = {part.stored.data_ptr() for part in (mapped.train, mapped.test)}
    assert len(stores) == 1
    with kept(faces)[0].open("r+b") as file:
        file.write(bytes(8))
    assert mapped.train.values.flatten()[:8].tolist() == [0] * 8


def test_a_file_of_the_wrong_length_is_refused(faces):
    folder(faces)
    (file,) = kept(faces)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged: expected 7680 bytes, found 1000; delete it"):
        folder(faces)


# Runs ---------------------------------------------------------------------------------------------


def test_a_run_on_a_folder_that_has_moved(faces, tmp_path, monkeypatch):
    cfg = compose_train("dataset=folder", "dataset.path=faces")
    (tmp_path / "run/.hydra").mkdir(parents=True)
    OmegaConf.save(cfg, tmp_path / "run/.hydra/config.yaml")
    started = OmegaConf.create({"hydra": {"runtime": {"cwd": str(tmp_path)}}})
    OmegaConf.save(started, tmp_path / "run/.hydra/hydra.yaml")
    assert located(tmp_path / "run").dataset.path == str(faces)
    (tmp_path / "elsewhere").mkdir()
    faces.rename(tmp_path / "elsewhere/faces")
    monkeypatch.setenv("AUTOENCODERS_DATA", "/nowhere")
    with pytest.raises(InputError, match=r"no longer there; .* set AUTOENCODERS_DATA to"):
        located(tmp_path / "run")
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path / "elsewhere"))
    assert located(tmp_path / "run").dataset.path == str(tmp_path / "elsewhere/faces")
