"""The image files in a folder or a .zip, and what else is there."""

import os
import stat
import zipfile
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import features

from autoencoders.data.images.dicom import MARK, PREAMBLE, is_dicom
from autoencoders.errors import InputError, how_to_install

# What Pillow reads, and what is read if a package or a newer Pillow is there.
PILLOW = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)
DICOM = (".dcm", ".dicom", ".ima")
MORE = (
    ((".heic", ".heif"), find_spec("pillow_heif") is not None, how_to_install("heic")),
    ((".avif",), bool(features.check("avif")), "pip install -U pillow"),
    (DICOM, find_spec("pydicom") is not None, how_to_install("dicom")),
)
SUFFIXES = (*PILLOW, *(suffix for suffixes, there, _ in MORE if there for suffix in suffixes))
HINTS = {suffix: how for suffixes, there, how in MORE if not there for suffix in suffixes}
LEFT_BY_MACOS = "__MACOSX"  # a folder in its .zip files


class Listing(NamedTuple):
    """Image files.

    names: their paths, with slashes.
    stamps: int64, (n, 2), of each its size, and when it was written or its checksum.
    left_out: what else is there: names by the reason.
    """

    names: list[str]
    stamps: np.ndarray
    left_out: dict[str, list[str]]


def list_folder(root: Path, others: Sequence[Path] = ()) -> Listing:
    """The images below a folder. One that several links lead to is there once; hidden files and
    folders are not looked at.

    Args:
        others: folders that are not looked into.

    Raises:
        InputError: the folder cannot be opened.
    """
    names, stamps = [], array("q")
    left_out: dict[str, list[str]] = defaultdict(list)
    links: dict[str, os.stat_result] = {}
    for name, entry in _walk(root, others, left_out):
        if reason := _refusal(name):
            left_out[reason].append(name)
            continue
        try:
            status = entry.stat()  # of what a link leads to
            if reason := _no_image(entry, status):
                left_out[reason].append(name)
            elif entry.is_symlink():
                links[name] = status
            else:
                names.append(name)
                stamps.extend((status.st_size, status.st_mtime_ns))
        except OSError as error:
            broken = entry.is_symlink() and not isinstance(error, PermissionError)
            left_out["broken links" if broken else "unreadable"].append(name)
    known = {_identity(os.stat(root / name)) for name in names} if links else set()
    for name, status in sorted(links.items()):
        if _identity(status) in known:
            left_out["links to images that are there already"].append(name)
        else:
            known.add(_identity(status))
            names.append(name)
            stamps.extend((status.st_size, status.st_mtime_ns))
    order = sorted(range(len(names)), key=names.__getitem__)
    table = np.array(stamps, np.int64).reshape(-1, 2)[order]
    return Listing([names[i] for i in order], table, dict(left_out))


def list_zip(file: Path) -> Listing:
    """The images in a .zip.

    Raises:
        InputError: it is damaged or encrypted.
    """
    left_out: dict[str, list[str]] = defaultdict(list)
    stamps: dict[str, tuple[int, int]] = {}
    try:
        with zipfile.ZipFile(file) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"dataset.path={file}: cannot be read: {error}") from error
    for info in infos:
        if info.flag_bits & 1:
            raise InputError(f"dataset.path={file}: is encrypted; unpack it, and give the folder")
        if any(part.startswith((".", LEFT_BY_MACOS)) for part in info.filename.split("/")):
            continue
        if reason := _refusal(info.filename) or ("" if _suffix(info.filename) else "no suffix"):
            left_out[reason].append(info.filename)
        else:
            stamps[info.filename] = (info.file_size, info.CRC)
    names = sorted(stamps)
    table = np.array([stamps[name] for name in names], np.int64).reshape(-1, 2)
    return Listing(names, table, dict(left_out))


def _walk(
    root: Path, others: Sequence[Path], left_out: dict[str, list[str]]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below a folder; each folder once, those that links lead to last."""
    folders, links = [""], list[str]()
    skipped = {_identity(path.stat()) for path in others if path.is_dir()}
    skipped -= {_identity(root.stat())}
    visited = set[tuple[int, int]]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(links.index(min(links)))
        try:
            identity = _identity(os.stat(root / folder))
            if identity in skipped:
                continue
            if identity in visited:
                left_out["links to folders that are there already"].append(folder.rstrip("/"))
                continue
            visited.add(identity)
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if entry.name.startswith((".", LEFT_BY_MACOS)):
                        continue
                    if _is_folder(entry):
                        (links if entry.is_symlink() else folders).append(f"{folder}{entry.name}/")
                    else:
                        yield f"{folder}{entry.name}", entry
        except OSError as error:
            if not folder:
                raise InputError(f"dataset.path={root}: {error.strerror}") from error
            left_out["unreadable folders"].append(folder.rstrip("/"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _refusal(name: str) -> str:
    """Why a file is no image, by its suffix."""
    suffix = _suffix(name)
    if suffix in HINTS:
        return f"{suffix} ({HINTS[suffix]} reads them)"
    return "" if suffix in ("", *SUFFIXES) else suffix


def _no_image(entry: os.DirEntry[str], status: os.stat_result) -> str:
    """Why a file is no image, by what it is. One without a suffix may be DICOM."""
    if not stat.S_ISREG(status.st_mode):
        return "pipes and devices"
    if _suffix(entry.name):
        return ""
    with open(entry.path, "rb") as file:
        found = is_dicom(file.read(PREAMBLE + len(MARK)))
    return "" if found and DICOM[0] in SUFFIXES else "without a suffix"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
