"""Tables of typed columns, read by pyarrow: .parquet, .feather and .arrow."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from autoencoders.data.readers.frames import collect, rows_at_once
from autoencoders.data.readers.matrix import Contents, ReadOptions, damaged
from autoencoders.errors import InputError, how_to_install


def read_parquet(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """A table, a group of rows at a time."""
    arrow = _arrow(path)
    try:
        from pyarrow import parquet

        file = stack.enter_context(parquet.ParquetFile(path))
        rows = rows_at_once(len(file.schema_arrow))
        batches = file.iter_batches(rows)
        return _collected((arrow.Table.from_batches([b]) for b in batches), path, options, stack)
    except arrow.ArrowException as error:
        raise damaged(path, error) from error


def read_feather(path: Path, layer: None, options: ReadOptions, stack: ExitStack) -> Contents:
    """A table in Arrow's format for files or for streams, memory-mapped."""
    arrow = _arrow(path)
    source = stack.enter_context(arrow.memory_map(str(path)))
    try:
        try:
            table = arrow.ipc.open_file(source).read_all()
        except arrow.ArrowInvalid:
            source.seek(0)
            table = arrow.ipc.open_stream(source).read_all()
        rows = rows_at_once(table.num_columns)
        pieces = (table.slice(start, rows) for start in range(0, max(len(table), 1), rows))
        return _collected(pieces, path, options, stack)
    except arrow.ArrowException as error:
        raise damaged(path, error) from error


def _arrow(path: Path) -> Any:
    try:
        import pyarrow.ipc
    except ModuleNotFoundError as error:
        raise InputError(
            f"dataset.path={path}: needs pyarrow: {how_to_install('tables')}"
        ) from error
    return pyarrow


def _collected(
    tables: Iterable[Any], path: Path, options: ReadOptions, stack: ExitStack
) -> Contents:
    """A table; an index that pandas has written with it names the rows."""
    frames = (table.to_pandas() for table in tables)
    first = next(frames, None)
    if first is None:
        raise InputError(f"dataset.path={path}: holds no rows; allowed: at least one")
    rows: list[str] = []

    def pieces() -> Iterator[pd.DataFrame]:
        for frame in chain([first], frames):
            if not isinstance(frame.index, pd.RangeIndex):
                keys = (key if isinstance(key, tuple) else (key,) for key in frame.index)
                rows.extend("_".join(map(str, key)) for key in keys)
            frame.columns = pd.RangeIndex(frame.shape[1])
            yield frame.reset_index(drop=True)

    names = list(map(str, first.columns))
    contents = collect(pieces(), names, options.annotations, stack, _row)
    return replace(contents, rows=rows or None)


def _row(rows: Iterable[int]) -> dict[int, str]:
    return {row: f"row {row}" for row in rows}
