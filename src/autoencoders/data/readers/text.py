"""Text files, read by pandas: .csv, .tsv, .txt, .dat, also compressed."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd

from autoencoders.data.readers.frames import collect, rows_at_once
from autoencoders.data.readers.layout import Layout, find_layout, split
from autoencoders.data.readers.matrix import Contents, ReadOptions, damaged
from autoencoders.errors import InputError, how_to_install

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
FOREIGN = {b"PK\x03\x04": "a .zip archive or .xlsx", b"\x89HDF": "HDF5", b"PAR1": "parquet"}
FALLBACK = ("cp1252", "latin-1")
MARKS = {  # of the encoding, at a file's start; that of UTF-32 begins as that of UTF-16 does
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
HEAD = 50  # lines that show the layout
WIDE = 5_000_000  # characters of them at most


def read_text(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """A table of text: columns of numbers are features, the others come in `frame`.

    Raises:
        InputError: what is no table, or a line that has more or fewer cells than others.
    """
    try:
        encodings = _encodings(path, options.encoding)
        for encoding in encodings[:-1]:
            try:
                return _read(path, encoding, options, stack)
            except UnicodeDecodeError:  # the next encoding reads more
                continue
        return _read(path, encodings[-1], options, stack)
    except (UnicodeError, EOFError, lzma.LZMAError, zlib.error, csv.Error) as error:
        raise damaged(path, error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise damaged(path, error) from error
    except OSError as error:
        if error.errno is None:  # what decompresses says so
            raise damaged(path, error) from error
        raise


def _read(path: Path, encoding: str, options: ReadOptions, stack: ExitStack) -> Contents:
    suffix = [end.lower() for end in path.suffixes if end.lower() not in COMPRESSED][-1]
    with _opened(path, encoding) as file:
        layout = find_layout(path, suffix, _head(file), options)
    names = [name or f"Unnamed: {place}" for place, name in enumerate(layout.names)]
    unnamed = names[0] == "Unnamed: 0" and len(names) > 1
    asides = [*options.annotations, *([names[0]] if unnamed else [])]
    verbatim = {names[0]} if unnamed else {options.row_names}
    ragged: list[bool] = []
    with _opened(path, encoding) as file:
        pieces = _pieces(file, layout, names, asides, verbatim, ragged)
        try:
            contents = collect(
                pieces, names, asides, stack, partial(_lines, path, encoding, layout)
            )
        except pd.errors.ParserError:
            _check_lines(path, encoding, layout)
            raise
    if any(ragged):
        _check_lines(path, encoding, layout)
    remarks = [*layout.remarks, *contents.remarks]
    if encoding in FALLBACK and options.encoding is None:
        remarks.insert(0, f"not UTF-8, read as {encoding} (dataset.encoding=)")
    return _name_rows(replace(contents, remarks=remarks), names[0], unnamed, options)


def _name_rows(contents: Contents, first: str, unnamed: bool, options: ReadOptions) -> Contents:
    """Contents whose first column names the rows: it has no name, or it is text that differs."""
    if options.row_names is not None:
        return contents  # which `arrange` takes
    frame, remarks = contents.frame, list(contents.remarks)
    assert frame is not None
    if not unnamed:
        text = first in contents.text_columns and contents.columns
        if not text or frame[first].isna().any() or not frame[first].is_unique:
            return contents
        named = "features" if options.transpose else "rows"
        remarks.append(f"column {first} names the {named} (dataset.row_names=)")
    return replace(
        contents,
        rows=frame[first].astype(str).tolist(),
        frame=frame.drop(columns=first),
        text_columns=[name for name in contents.text_columns if name != first],
        remarks=remarks,
    )


def _pieces(
    file: IO[str],
    layout: Layout,
    names: list[str],
    asides: list[str],
    verbatim: Collection[str | None],
    ragged: list[bool],
) -> Iterator[pd.DataFrame]:
    """Rows of the file, one column more than it has names, which pandas would cut in silence.

    Args:
        asides: names of columns that are read as text.
        verbatim: the same of columns in which even `NA` is text.
        ragged: gets whether a piece may have lines of other lengths.
    """
    for _ in range(layout.skip):
        file.readline()
    texts = [place for place, name in enumerate(names) if name in asides and name not in verbatim]
    spaced = layout.separator == " "
    pieces = pd.read_csv(
        file,
        sep=r"\s+" if spaced else layout.separator,
        decimal=layout.decimal,
        header=None,
        names=range(len(names) + 1),
        index_col=False,
        dtype=dict.fromkeys(texts, str),
        converters={place: str for place, name in enumerate(names) if name in verbatim},
        skipinitialspace=layout.separator != "\t",
        low_memory=False,
        chunksize=rows_at_once(len(names)),
    )
    for piece in pieces:
        last, further = piece[len(names) - 1], piece[len(names)]
        ragged.append(bool((last.isna() | last.eq("")).any() or further.notna().any()))
        yield piece


def _lines(path: Path, encoding: str, layout: Layout, rows: Iterable[int]) -> dict[int, str]:
    """Where rows are in the file: their last line."""
    wanted = set(rows)
    with _opened(path, encoding) as file:
        for _ in range(layout.skip):
            file.readline()
        return {
            row: f"line {layout.skip + number}"
            for row, (number, _) in enumerate(split(file, layout.separator))
            if row in wanted
        }


def _check_lines(path: Path, encoding: str, layout: Layout) -> None:
    """Refuse lines of other lengths; empty cells at the end of longer ones do no harm.

    Raises:
        InputError: the first such line.
    """
    width = len(layout.names)
    with _opened(path, encoding) as file:
        for _ in range(layout.skip):
            file.readline()
        for number, cells in split(file, layout.separator):
            if len(cells) < width or any(cells[width:]):
                raise InputError(
                    f"dataset.path={path}: line {layout.skip + number} has {len(cells)} cells, but"
                    f" there are {width} columns"
                )


def _head(file: IO[str]) -> list[str]:
    """The first lines, one at least."""
    lines: list[str] = []
    for line in islice(file, HEAD):
        lines.append(line)
        if sum(map(len, lines)) > WIDE:
            break
    return lines


def _encodings(path: Path, given: str | None) -> list[str]:
    """What a file may be encoded in: given, by its mark, or UTF-8 and else an old Western one.

    Raises:
        InputError: an encoding that Python lacks, or a file that is not text.
    """
    if given is not None:
        try:
            name = codecs.lookup(given).name
        except LookupError:
            raise InputError(
                f"dataset.encoding={given}: no such encoding; e.g. utf-8, cp1252"
            ) from None
        return ["utf-8-sig" if name == "utf-8" else name]
    with _decompressed(path) as file:
        head = file.read(4096)
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return [encoding]
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise damaged(path, f"it is {what}, not text", "text")
    if b"\0" in head:
        reason = "no text, or UTF-16 without its mark, which dataset.encoding=utf-16-le reads"
        raise damaged(path, reason, "text")
    return ["utf-8", *FALLBACK]


def _opened(path: Path, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(_decompressed(path), encoding, newline="")


def _decompressed(path: Path) -> IO[bytes]:
    """A file's bytes, decompressed if its first ones, rather than its name, call for it."""
    with path.open("rb") as file:
        head = file.read(6)
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    if kind == ".zst":
        return zstandard_stream(path)
    opener: Any = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open, None: open}[kind]
    return opener(path, "rb")


def zstandard_stream(path: Path) -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise InputError(
            f"dataset.path={path}: needs pyarrow: {how_to_install('tables')}"
        ) from error
    return pyarrow.input_stream(str(path), compression="zstd")
