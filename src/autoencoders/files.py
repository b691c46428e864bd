"""The names of the files in a run's folder, and files written whole or not at all."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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
HPARAMS = "-hparams"  # the end of the name of TensorBoard's file with final numbers
NUMBERS = "numbers.json"  # an evaluation's own copy of metrics.json
EVALUATIONS = "evaluations"  # a folder of those that were made, each with its numbers and samplers
RUN = "run.json"  # whether the run is finished, and what made it
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


def make_new(folder: Path) -> Path:
    """Make `folder`, or where a run of the same second has just made it, `folder`-2 and so on."""
    claimed = folder
    for n in itertools.count(2):
        try:
            claimed.mkdir(parents=True)
            break
        except FileExistsError:
            claimed = folder.with_name(f"{folder.name}-{n}")
    return claimed


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
    again = "run the command again"
    for run in (path, *path.parents):
        if (run / LAST).exists():
            if not _is_finished(run):
                again = f"python train.py resume={shown(run)} goes on"
            break
    return InputError(
        f"{path}: cannot be written: {error.strerror or error}; make room, then {again}"
    )


def _is_finished(run: Path) -> bool:
    """As far as run.json tells; a run from before there was one has metrics.json."""
    try:
        content = json.loads((run / RUN).read_text(encoding="utf-8"))
    except OSError:
        return (run / METRICS).exists()
    except ValueError:  # damaged
        return False
    return isinstance(content, dict) and content.get("finished") is True


def shown(path: Path) -> Path:
    """A path as a user types it: from the current folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
