"""New examples, all of a file or folder, as a trained model takes them: prepared as the data that
it was trained on, whichever split these were cut into.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel

from autoencoders.data.base import Kind
from autoencoders.data.examples import Examples
from autoencoders.data.folder import Decoded, Range
from autoencoders.data.images.collection import collect
from autoencoders.data.images.decoding import Fit, Look
from autoencoders.data.images.kept import decode_once
from autoencoders.data.table import Table
from autoencoders.errors import InputError

NAMED = 12  # names at most in a line


@dataclass(frozen=True)
class Preparation:
    """How the data of a trained model were prepared.

    shape, kind, bounded: of the examples, see `DataModule`.
    preprocessing: what was fitted on them, see `manifest.Description`.
    reader: how they were read, see `DataModule.reader`.
    """

    shape: tuple[int, ...]
    kind: Kind
    bounded: bool
    preprocessing: Mapping[str, Any]
    reader: Mapping[str, Any]


@dataclass(frozen=True)
class NewExamples:
    """New examples, and what is known of them.

    examples: n of them, without labels.
    names: (n,) text, of the rows or files.
    classes: (n,) text, empty for an example without a class; None if nothing says which.
    rows: (n,) indices of the rows of a table that they are, of `total` that it has.
    remarks: what was found and chosen, in clauses.
    """

    examples: Examples
    names: np.ndarray
    classes: np.ndarray | None
    rows: np.ndarray
    total: int
    remarks: list[str] = field(default_factory=list)


class ImageChanges(BaseModel, extra="forbid"):
    """What may be otherwise for new images, by the names of `Folder`'s arguments."""

    fit: Fit | None = None
    frames: Literal["first", "all"] | None = None
    range: Range | None = None
    array: str | None = None
    labels: str | None = None


def read_new(
    path: Path, prepared: Preparation, changes: Mapping[str, Any], place: Path
) -> NewExamples:
    """All examples of a file or folder.

    Args:
        path: a table for a model of tables; for one of images a folder, or whatever `Folder` reads;
            for any other a .npy file with an array of the examples.
        changes: arguments of `Table` or `Folder` that have other values than for the training data.
        place: an empty folder, where decoded images may be kept for as long as they are used.

    Raises:
        InputError: it cannot be read, or is of another kind than the model's data.
    """
    if not path.exists():
        raise InputError(f"dataset.path={path}: no such file, and no such folder")
    if prepared.kind == "vector" and "columns" in prepared.preprocessing:
        return _read_table(path, prepared, changes)
    height, width = (*prepared.shape[1:], 0, 0)[:2]
    if prepared.kind == "image" and prepared.bounded and height == width:
        return _read_images(path, prepared, ImageChanges(**changes), place)
    return _read_array(path, prepared)


def _read_table(path: Path, prepared: Preparation, changes: Mapping[str, Any]) -> NewExamples:
    """The rows of a table, by the columns' names."""
    table = Table(path=path, **{**prepared.reader, **changes})
    found = table.read_all(prepared.preprocessing)
    rows = np.flatnonzero(found.kept)
    names = rows if found.examples.names is None else found.examples.names
    classes = None if table.labels is None else found.labels
    remarks = [*table.remarks, *_left_out(table.left_out)]
    return NewExamples(found.examples, names.astype(str), classes, rows, len(found.kept), remarks)


def _read_images(
    path: Path, prepared: Preparation, changes: ImageChanges, place: Path
) -> NewExamples:
    """Images, made squares as in training. The folder that a file is in is its class."""
    channels, size, _ = prepared.shape
    reader = {**Look(size, channels)._asdict(), **prepared.reader}
    given = changes.model_dump(exclude_none=True, exclude={"array", "labels", "range"})
    look = Look(**{**reader, **given, "span": changes.range or reader["span"]})
    look = look._replace(span=(look.span[0], look.span[1]) if look.span else None)
    in_array = path.suffix.lower() in (".npy", ".npz")
    source = collect(path, in_array, False, changes.array, changes.labels)
    look = look._replace(frames="all") if source.one_file else look
    kept = decode_once(source.source, look, [place])
    decoded = Decoded(
        kept, source.source.names, source.splits, source.classes, {}, [], source.one_file
    )
    files = np.asarray(kept.notes.files)
    remarks = [*kept.notes.remarks(look), *source.remarks, *_left_out(source.left_out)]
    span = None
    if len(kept.notes.deep):
        trained = prepared.preprocessing.get("range")
        span = tuple(trained) if trained else kept.span(np.arange(len(files)))
        of = "as in training" if trained else "found in these images"
        remarks.append(f"values {span[0]:g} to {span[1]:g} are black to white, {of}")  # type: ignore[index]
    if in_array:
        known = np.array([name or "" for name in source.classes[files]], object)
    else:
        names = np.array(source.source.names, object)[files]
        known = np.array([Path(name).parent.name for name in names], object)
    classes = known if any(known) else None
    values = kept.read(span)
    names = decoded.image_names().astype(str)
    return NewExamples(Examples(values), names, classes, files, len(source.classes), remarks)


def _read_array(path: Path, prepared: Preparation) -> NewExamples:
    """An array of examples as the model takes them; images of bytes become values in [0, 1]."""
    shape = ", ".join(("N", *map(str, prepared.shape)))
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"dataset.path={path}: no array that can be read; this model takes a .npy file of the"
            f" shape ({shape})"
        ) from error
    if not isinstance(values, np.ndarray) or values.shape[1:] != prepared.shape or not len(values):
        found = getattr(values, "shape", "several arrays")
        raise InputError(f"dataset.path={path}: holds {found}; this model takes ({shape})")
    if values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise InputError(f"dataset.path={path}: holds NaN, infinities or no numbers")
    as_bytes = values.dtype == np.uint8 and prepared.kind == "image"
    tensor = torch.from_numpy(values if as_bytes else values.astype(np.float32))
    rows = np.arange(len(values))
    return NewExamples(Examples(tensor), rows.astype(str), None, rows, len(rows))


def _left_out(left_out: Mapping[str, list[str]]) -> list[str]:
    """A clause for each reason, with the names."""
    return [
        f"left out: {len(names):,} {why}: {', '.join(names[:NAMED])}"
        + (", ..." if len(names) > NAMED else "")
        for why, names in left_out.items()
    ]
