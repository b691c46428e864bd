"""How a text file is laid out: separator, decimal mark and header, found from its first lines."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from autoencoders.data.readers.matrix import ReadOptions
from autoencoders.errors import InputError

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
ALIASES = {"tab": "\t", "\\t": "\t", "spaces": " ", "space": " ", "comma": ",", "semicolon": ";"}
USUAL = {".csv": ",", ".tsv": "\t"}
LOOKED_AT = 200  # cells of a line
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)

Record = list[str]


class Layout(NamedTuple):
    """separator: of the cells; a space stands for any run of spaces and tabs.
    decimal: the decimal mark.
    names: of the columns; the first is empty if that column names the rows.
    skip: the number of lines in front of the data.
    remarks: what was found that is not usual for the suffix.
    """

    separator: str
    decimal: str
    names: list[str]
    skip: int
    remarks: list[str]


def find_layout(path: Path, suffix: str, lines: list[str], options: ReadOptions) -> Layout:
    """A file's layout, found from its first lines where the options leave it open.

    Raises:
        InputError: the header has more or fewer cells than the lines after it.
    """
    start, declared = _start(lines, options.skip_lines)
    given = options.separator or declared
    separator = ALIASES.get(given, given) if given else _find_separator(lines[start:], suffix)
    numbered = list(split(lines[start:], separator))
    if not numbered:
        raise InputError(f"dataset.path={path}: holds no lines of data")
    records = _without_trailing_separators([record for _, record in numbered])
    decimal = options.decimal or _find_decimal(records, separator)
    remarks = []
    if given is None and USUAL.get(suffix) != separator and len(records[0]) > 1:
        remarks.append(f"{NAMES[separator]} separate the columns (dataset.separator=)")
    if decimal == "," and options.decimal is None:
        remarks.append("decimal comma (dataset.decimal=)")
    layout = Layout(separator, decimal, [], start, remarks)
    header = options.header
    if header is None:
        header = not _are_values(records[0], records[1:], decimal)
    if header:
        return _with_header(layout, path, records, start + numbered[0][0], options.header is None)
    return _without_header(layout, lines[:start], records, options.header is None)


def _start(lines: list[str], start: int) -> tuple[int, str | None]:
    """The first line that is not blank or a comment, and the separator that Excel declares."""
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    declared = re.fullmatch(r"sep=(.)\s*", lines[start]) if start < len(lines) else None
    return (start + 1, declared[1]) if declared else (start, None)


def _with_header(
    layout: Layout, path: Path, records: list[Record], end: int, found: bool
) -> Layout:
    """The layout of a file whose header ends in line `end`."""
    remarks = layout.remarks
    if found and _numbers(records[0], layout.decimal):
        remarks.append(
            "numbers name columns (dataset.header=false takes the line for data,"
            f" dataset.skip_lines={end} leaves it out)"
        )
    names = [name.strip() for name in _fitted(path, records, end)]
    if len(names) > len(records[0]):
        remarks.append("the header has a cell less, so that the first column names the rows")
    return layout._replace(names=names, skip=end)


def _without_header(
    layout: Layout, before: list[str], records: list[Record], found: bool
) -> Layout:
    """The layout of a file that begins with data, or with names in a comment as NumPy and QIIME
    write them."""
    comment = [line.lstrip("# ") for line in before[-1:] if line.startswith("#") and found]
    for _, names in split(comment, layout.separator):
        if len(names) == len(records[0]):
            layout.remarks.append("the line of names begins with # (dataset.header=false drops it)")
            return layout._replace(names=names)
    if found:
        layout.remarks.append("no header (dataset.header=true takes the line for one)")
    return layout._replace(names=list(map(str, range(_width(records)))))


def split(lines: Iterable[str], separator: str) -> Iterator[tuple[int, Record]]:
    """The cells of each line that is not blank, and the number of the line it ends on, from 1."""
    if separator == " ":
        lines = (f"{line.strip()}\n".replace("\t", " ") for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t")
    for record in reader:
        if len(record) > 1 or "".join(record).strip():
            yield reader.line_num, record


def _find_separator(lines: list[str], suffix: str) -> str:
    """The separator that gives most lines the same number of cells, and the most numbers."""

    def fit(separator: str) -> tuple[float, bool, bool]:
        usual = separator == USUAL.get(suffix)
        try:
            records = [record for _, record in split(lines, separator)]
        except csv.Error:  # a line in one piece is too long
            return 0, False, usual
        data = records[1:] or records
        if not data or _width(records) < 2:
            return 0, False, usual
        alike = sum(len(record) == _width(records) for record in data) / len(data)
        # Without the first column, which may have names such as `row 7`.
        cells = [cell for record in data for cell in record[1:LOOKED_AT]]
        numbers = sum(_number(cell, ",") is not None for cell in cells) / max(len(cells), 1)
        header = len(records[0]) in (_width(records), _width(records) - 1)
        return alike * (0.1 + numbers), header, usual  # text is separated by something, too

    return max(NAMES, key=fit)


def _find_decimal(records: list[Record], separator: str) -> str:
    cells = [cell.strip() for record in records for cell in record[:LOOKED_AT]]
    commas = separator != "," and any(COMMA_NUMBER.fullmatch(cell) for cell in cells)
    points = any("." in cell and NUMBER.fullmatch(cell) for cell in cells)
    return "," if commas and not points else "."


def _without_trailing_separators(records: list[Record]) -> list[Record]:
    """Records without the empty cell that a separator at the end of each line makes."""
    first, *others = records
    if not others or any(record[-1] for record in others) or len(others[0]) < 2:
        return records
    if len(others[0]) == len(first) and first[-1]:
        return records  # a named column that is empty
    return [first if first[-1] else first[:-1], *(record[:-1] for record in others)]


def _fitted(path: Path, records: list[Record], end: int) -> list[str]:
    """The header's names, one for each cell of the lines after it.

    Raises:
        InputError: their numbers differ.
    """
    names, width = records[0], _width(records)
    if len(names) == width:
        return names
    if len(names) == width - 1 and width > 2:  # R names no column of row names
        return ["", *names]
    raise InputError(
        f"dataset.path={path}: line {end} has {len(names)} cells, those after it {width}; mend the"
        f" header, or where it is none, dataset.skip_lines={end} leaves out what is in front of the"
        " data"
    )


def _width(records: list[Record]) -> int:
    """The number of cells that most lines have, apart from the header."""
    return Counter(len(record) for record in records[1:] or records).most_common(1)[0][0]


def _are_values(first: Record, others: list[Record], decimal: str) -> bool:
    """Whether a first line is data: numbers and text as in the lines after it, where the numbers
    are neither positions nor rise or fall, as wavelengths do, over lines that do not."""
    numbers = _numbers(first, decimal)
    corner = not first[0]  # above the names of rows
    alike = sum(_is_alike(first, record, decimal) for record in others)
    if not numbers or corner or alike < len(others) / 2:
        return False
    if len(numbers) > 2 and numbers == list(range(len(numbers))):
        return False
    return not _is_scale(numbers) or all(_is_scale(_numbers(other, decimal)) for other in others)


def _is_alike(first: Record, other: Record, decimal: str) -> bool:
    """Whether cells that are there are numbers in both, or text in both."""
    pairs = [(a, b) for a, b in zip(first, other, strict=False) if a and b]
    return all((_number(a, decimal) is None) == (_number(b, decimal) is None) for a, b in pairs)


def _numbers(record: Record, decimal: str) -> list[float]:
    return [number for cell in record if (number := _number(cell, decimal)) is not None]


def _is_scale(numbers: list[float]) -> bool:
    steps = [after - before for before, after in pairwise(numbers)]
    return len(steps) > 3 and (all(s > 0 for s in steps) or all(s < 0 for s in steps))


def _number(text: str, decimal: str) -> float | None:
    text = text.strip()
    pattern = NUMBER if decimal == "." else COMMA_NUMBER
    if not (pattern.fullmatch(text) or NUMBER.fullmatch(text)):
        return None
    return float(text.replace(",", "."))
