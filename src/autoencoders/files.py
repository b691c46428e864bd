"""The names of the files in a run's folder, and files written whole or not at all."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from autoencoders.errors import FULL, InputError

CONFIG = ".hydra/config.yaml"
HYDRA = ".hydra/hydra.yaml"
OVERRIDES = ".hydra/overrides.yaml"
BEST = "checkpoints/best.ckpt"
LAST = "checkpoints/last.ckpt"
METRICS = "metrics.json"
LOCK = ".lock"
MULTIRUN = "multirun.yaml"  # beside the folders of a multirun's jobs
EVALUATION = "evaluation.json"
SAMPLERS = "samplers"  # a folder of .safetensors
FIGURES = "figures"  # a folder of .png


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file whole or not at all, see `open_whole`."""
    with open_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which lies beside `path` first and takes its place at the end.

    A crash leaves what was there before, or the new file.

    Raises:
        InputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replace_together(folder: Path) -> Iterator[Path]:
    """A folder to write files into, which take their places in `folder` all at once at the end.

    Where the end is not reached, the files in `folder` stay as they were.
    """
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".partial-") as name:
        yield Path(name)
        files = [path for path in Path(name).rglob("*") if path.is_file()]
        files.sort(key=lambda path: path.stat().st_mtime_ns)  # the last written goes last
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for file in files:
                target = folder / file.relative_to(name)
                target.parent.mkdir(exist_ok=True)
                os.replace(file, target)
        finally:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Names the run's folder where the disk is full and the error does not say what did not fit:
    TensorBoard's do not.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            raise _not_written(folder, error) from error
        raise


def _not_written(path: Path, error: OSError) -> InputError:
    run = next((f for f in (path, *path.parents[:2]) if (f / LAST).exists()), None)
    cut_off = run and not (run / METRICS).exists()
    again = f"python train.py resume={run} goes on" if cut_off else "run the command again"
    return InputError(
        f"{path}: cannot be written: {error.strerror or error}; make room, then {again}"
    )


def shown(path: Path) -> Path:
    """A path as a user types it: from the current folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
