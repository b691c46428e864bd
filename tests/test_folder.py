"""Folders of images: what is read, what is kept on disk, and which images test."""

import io
import os
import sys
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

from autoencoders.data import Folder
from autoencoders.data.examples import digest
from autoencoders.data.images import kept as kept_module
from autoencoders.data.images.decoding import Look, read_frames, shrink
from autoencoders.errors import InputError
from autoencoders.launch.config import check_settings


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


def read_image(file, size, channels, **look):
    """The first frame of a file, as it is kept."""
    look = Look(size, channels, **look)
    return shrink(next(read_frames(file.read_bytes(), look)), look)


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
    assert "left out: 3 damaged" in out
    for reason in ("text.png (no image", "empty.bmp (empty)", "cut off.jpg (image file is trunc"):
        assert reason in out
    assert set(data.left_out["damaged"]) == {"cut off.jpg", "text.png", "empty.bmp"}
    assert set.union(*splits(data)) == {(i, 0, 0) for i in range(30)}
    again = folder(path, test_share=0.3)  # from what is kept
    assert splits(again) == splits(data)
    assert capsys.readouterr().out.splitlines()[-1] == out.splitlines()[-1]


def test_many_damaged_images_are_counted(tmp_path, capsys):
    write_images(tmp_path / "faces", 20)
    for i in range(12):
        (tmp_path / f"faces/a/bad{i}.png").write_text("no image")
    folder(tmp_path / "faces", test_share=0.4)
    assert "12 damaged" in (out := capsys.readouterr().out)
    assert "and 7 more" in out


def test_images_beside_the_classes(tmp_path):
    for i in range(20):
        plain(tmp_path / f"faces/{'ab'[i % 2]}/{i}.png", (i, 0, 0))
        plain(tmp_path / f"faces/{100 + i}.png", (100 + i, 0, 0))
    data = folder(tmp_path / "faces", test_share=0.3)
    assert set.union(*splits(data)) == {(i, 0, 0) for i in range(20)}
    assert "left out: 20 beside the classes (dataset.classes=false" in data.inventory
    everything = folder(tmp_path / "faces", test_share=0.3, classes=False)
    assert len(set.union(*splits(everything))) == 40
    assert everything.class_names == ()
    assert "left out" not in everything.inventory


def test_what_is_no_image_is_counted_by_its_suffix(faces):
    for name in ("a/x.txt", "a/y.TXT", "b/z.mp4", "b/README", "b/.hidden"):
        (faces / name).write_text("no image")
    os.mkfifo(faces / "b/pipe.png")
    data = folder(faces)
    assert {reason: set(names) for reason, names in data.left_out.items()} == {
        ".txt": {"a/x.txt", "a/y.TXT"},
        ".mp4": {"b/z.mp4"},
        "without a suffix": {"b/README"},
        "pipes and devices": {"b/pipe.png"},
    }


def test_links_are_followed_once(tmp_path):
    path = tmp_path / "faces"
    for i in range(30):
        plain(path / f"{'ab'[i % 2]}/{i}.png", (i, 0, 0))
    for i in range(30, 40):
        plain(tmp_path / f"elsewhere/{i}.png", (i, 0, 0))
    (path / "a/up").symlink_to("..")
    (path / "c").symlink_to(tmp_path / "elsewhere")
    (path / "d").symlink_to(tmp_path / "elsewhere")
    (path / "b/again.png").symlink_to(path / "a/0.png")
    (path / "b/broken.png").symlink_to("nowhere.png")
    (path / "b/itself.png").symlink_to("itself.png")
    data = folder(path, test_share=0.3)
    images = torch.cat([data.train.values, data.test.values])[:, 0, 0, 0]
    assert sorted(images.tolist()) == list(range(40))
    assert data.class_names == ("a", "b", "c")
    assert data.left_out == {
        "broken links": ["b/broken.png", "b/itself.png"],
        "links to folders that are there already": ["a/up", "d"],
        "links to images that are there already": ["b/again.png"],
    }


def test_a_folder_that_holds_the_others_is_looked_through(tmp_path):
    for i in range(30):
        plain(tmp_path / f"faces/inner/{'ab'[i % 2]}/{i}.png", (i, 0, 0))
    data = folder(tmp_path / "faces", test_share=0.3)
    assert data.class_names == ("a", "b")
    assert "classes are the folders in inner/" in data.inventory


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode here")
def test_names_that_are_no_utf_8(tmp_path):
    for i in range(30):
        plain(tmp_path / f"faces/{i}.png", (i, 0, 0))
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    os.rename(tmp_path / "faces", place)
    os.mkdir(place + b"/\xff")
    for i in range(30):
        os.rename(place + b"/%d.png" % i, place + b"/\xff/%d \xe8.png" % i)
    data = folder(Path(os.fsdecode(place)), test_share=0.3)
    assert data.label == r"caf\xe9"
    assert data.class_names == (r"\xff",)
    assert set(data.test.names) <= {rf"\xff/{i} \xe8.png" for i in range(30)}
    data.manifest.save(tmp_path)
    assert r"caf\\xe9: 30 images" in (tmp_path / "data.json").read_text()


def test_a_path_that_is_no_utf_8_is_a_setting():
    path = os.fsdecode(b"caf\xe9")
    check_settings(compose_train("dataset=folder", f'dataset.path="{path}"'))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O")])
def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path, monkeypatch, error):
    for i in range(30):
        plain(tmp_path / f"faces/{i}.png", (i, 0, 0))
    read = Path.read_bytes

    def refuse(path):
        if path.name == "7.png":
            raise error
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        for _ in range(2):
            data = folder(tmp_path / "faces", test_share=0.3)
            assert data.left_out == {"unreadable": ["7.png"]}
            assert f"7.png ({error})" in data.inventory
            assert (7, 0, 0) not in set.union(*splits(data))
    data = folder(tmp_path / "faces", test_share=0.3)
    assert (7, 0, 0) in set.union(*splits(data))
    assert "left out" not in data.inventory


def test_a_folder_that_cannot_be_opened(faces, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        data = folder(faces, test_share=0.3)
    assert data.left_out == {"unreadable folders": ["a"]}


def test_each_file_is_looked_at_once(faces, monkeypatch):
    """To list a million takes as many system calls, and no more."""
    folder(faces)
    looked_at = []
    for name in ("stat", "lstat"):
        look = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *a, look=look, **k: looked_at.append(path) or look(path, *a, **k)
        )
    folder(faces)
    assert not [path for path in looked_at if str(path).endswith(".png")]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match=r"dataset\.path=.*faces: no such folder"):
        folder(tmp_path / "faces")
    (tmp_path / "faces/a").mkdir(parents=True)
    (tmp_path / "faces/a/notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"no images in this folder, but 1 \.txt; allowed: \.jpg"):
        folder(tmp_path / "faces")
    (tmp_path / "faces/a/x.png").write_text("no image")
    with pytest.raises(InputError, match=r"none of 1 images can be read: a/x\.png \(no"):
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


def in_split_folders(path, **sizes):
    """Images of one colour each, in folders of two classes in some of splits."""
    colour = 0
    for split, n in sizes.items():
        for i in range(n):
            plain(path / split / "ab"[i % 2] / f"{i}.png", (colour, 0, 0))
            colour += 1


def colours(*numbers):
    return {(i, 0, 0) for i in numbers}


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "TEST")])
def test_a_split_in_folders(tmp_path, names):
    in_split_folders(tmp_path / "faces", **dict(zip(names, (20, 6, 8), strict=True)))
    data = folder(tmp_path / "faces", val_size=5)
    assert splits(data) == [colours(*range(20)), colours(*range(20, 26)), colours(*range(26, 34))]
    assert data.class_names == ("a", "b")
    for part in (data.train, data.val, data.test):
        assert [name.split("/")[1] for name in part.names] == ["ab"[i] for i in part.labels]
    assert f"split by {names[0]}/, {names[1]}/, {names[2]}/ (dataset.own_split" in data.inventory


def test_a_split_of_two_folders(tmp_path):
    in_split_folders(tmp_path / "one", train=20, test=8)
    data = folder(tmp_path / "one", val_size=5)
    assert [len(part) for part in splits(data)] == [15, 5, 8]
    in_split_folders(tmp_path / "other", train=40, val=8)
    train, val, test = splits(folder(tmp_path / "other", val_size=5, test_share=0.3))
    assert val == colours(*range(40, 48))
    assert train | test == colours(*range(40))
    assert 4 < len(test) < 20


def test_folders_called_as_splits_that_are_classes(tmp_path):
    in_split_folders(tmp_path / "vehicles", train=20, car=20)
    assert folder(tmp_path / "vehicles", test_share=0.3).class_names == ("car", "train")
    in_split_folders(tmp_path / "faces", train=20, test=20)
    data = folder(tmp_path / "faces", test_share=0.3, own_split=False)
    assert data.class_names == ("test", "train")


def test_test_images_without_classes(tmp_path):
    in_split_folders(tmp_path / "faces", train=20)
    for i in range(5):
        plain(tmp_path / f"faces/test/{i}.png", (100 + i, 0, 0))
    plain(tmp_path / "faces/train/beside.png", (0, 0, 0))
    plain(tmp_path / "faces/extra/x.png", (0, 0, 0))
    data = folder(tmp_path / "faces")
    assert data.test.labels.tolist() == [-1] * 5
    assert set(data.train.labels.tolist()) == {0, 1}
    assert {reason.split(" (")[0]: names for reason, names in data.left_out.items()} == {
        "beside the split's folders": ["extra/x.png"],
        "beside the classes": ["train/beside.png"],
    }


def test_splits_in_other_places(tmp_path):
    for place, numbers in (
        ("main", range(20)),
        ("held", range(20, 26)),
        ("main/in", range(26, 29)),
    ):
        for i in numbers:
            plain(tmp_path / place / f"a/{i}.png", (i, 0, 0))
    main, held = tmp_path / "main", tmp_path / "held"
    data = folder(main, test_path=held, val_path=main / "in")
    assert splits(data) == [colours(*range(20)), colours(*range(26, 29)), colours(*range(20, 26))]
    assert set(data.test.names) == {f"test/a/{i}.png" for i in range(20, 26)}
    assert data.train.stored is data.test.stored
    in_split_folders(tmp_path / "split", train=4, test=4)
    with pytest.raises(InputError, match=r"dataset\.val_path=.*: is dataset\.path"):
        folder(main, val_path=main / "../main")
    with pytest.raises(InputError, match=r"dataset\.test_path=.*has test images of its own"):
        folder(tmp_path / "split", test_path=held)


def test_groups_are_on_one_side(tmp_path):
    for i in range(120):
        plain(tmp_path / f"faces/patient{i // 5}_{i}.png", (i, 0, 0))
    data = folder(tmp_path / "faces", groups=r"patient(\d+)", test_share=0.3, val_size=12)
    patients = [{colour[0] // 5 for colour in part} for part in splits(data)]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 24
    assert len(data.val) == 10  # two complete ones
    assert len(folder(tmp_path / "faces", groups=r"patient(\d+)", val_size=3).val) == 5
    for i in range(8):
        plain(tmp_path / f"own/{('train', 'test')[i % 2]}/patient{i // 4}_{i}.png", (i, 0, 0))
    own = folder(tmp_path / "own", groups=r"patient(\d+)")
    assert "2 groups are in training and in another split" in own.inventory
    with pytest.raises(InputError, match=r"dataset\.groups=dog.*: does not match patient"):
        folder(tmp_path / "faces", groups=r"dog(\d+)")
    with pytest.raises(ValueError, match="groups"):
        folder(tmp_path / "faces", groups="patient")


def test_frames_of_one_file_are_on_one_side(tmp_path):
    (tmp_path / "faces").mkdir()
    for i in range(30):
        frames = [Image.new("RGB", (9, 9), (i, 10 * j, 0)) for j in range(3)]
        frames[0].save(tmp_path / f"faces/{i}.png", save_all=True, append_images=frames[1:])
    first = folder(tmp_path / "faces", test_share=0.3)
    assert set.union(*splits(first)) == colours(*range(30))
    assert "the first frame of 30 with several (dataset.frames=all)" in first.inventory
    data = folder(tmp_path / "faces", test_share=0.3, frames="all", val_size=10)
    files = [{colour[0] for colour in part} for part in splits(data)]
    assert sum(map(len, files)) == len(set.union(*files)) == 30
    assert set.union(*splits(data)) == {(i, 10 * j, 0) for i in range(30) for j in range(3)}
    for image, name in zip(data.test.values, data.test.names, strict=True):
        assert name == f"{image[0, 0, 0]}.png[{image[1, 0, 0] // 10}]"
    assert len(set(data.train.digests)) == len(data.train)


def test_examples_keep_their_names_and_what_their_files_hold(tmp_path):
    for i in range(30):
        plain(tmp_path / f"faces/{'ab'[i % 2]}/{i}.png", (i, 0, 0))
    data = folder(tmp_path / "faces", test_share=0.3, val_size=5)
    for part in (data.train, data.val, data.test):
        for i, name in enumerate(part.names):
            assert part[i].x[0, 0, 0] == int(Path(name).stem)
            assert part.digests[i] == digest((tmp_path / "faces" / name).read_bytes())


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
    monkeypatch.setattr(kept_module, "shrink", no_reading)
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


@pytest.mark.parametrize("kind", kept_module.KINDS)
def test_what_is_incomplete_is_made_anew(faces, kind):
    first = folder(faces)
    kept(faces)[0].with_suffix(kind).unlink()
    assert torch.equal(folder(faces).train.values, first.train.values)


def test_one_folder_read_by_several_at_once(faces):
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: folder(faces), range(4)))
    for data in several:
        assert torch.equal(data.train.values, several[0].train.values)
    assert {len(data.train) + len(data.test) for data in several} == {40}
    assert len(kept(faces)) == 1


def test_an_interrupted_decoding_leaves_nothing(faces, monkeypatch):
    def interrupted(source, look, index):
        if index == 30:
            raise KeyboardInterrupt
        return attempt(source, look, index)

    attempt = kept_module.attempt
    with monkeypatch.context() as patch:
        patch.setattr(kept_module, "attempt", interrupted)
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
    assert mapped.train.stored.flatten()[:8].tolist() == [0] * 8


def test_a_file_of_the_wrong_length_is_refused(faces):
    folder(faces)
    (file,) = kept(faces)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged: expected 7680 bytes, found 1000; delete it"):
        folder(faces)


# Runs ---------------------------------------------------------------------------------------------


def test_a_run_on_a_folder_that_has_moved(faces, tmp_path, monkeypatch):
    cfg = compose_train("dataset=folder", "dataset.path=faces", "dataset.test_path=held")
    (tmp_path / "held").mkdir()
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
    assert located(tmp_path / "run").dataset.test_path == str(tmp_path / "held")
    assert located(tmp_path / "run").dataset.val_path is None
    (tmp_path / "held").rmdir()
    with pytest.raises(InputError, match=r"dataset\.test_path=.*held: no longer there"):
        located(tmp_path / "run")
