"""The names of the files in a run's folder, and files written whole or not at all."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

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
EXPORT_CONFIG = "config.json"  # of an export's folder


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
    run = next((folder for folder in (path, *path.parents) if (folder / LAST).exists()), None)
    with suppress(InputError):  # a damaged run.json: what goes on says so
        if run and not is_finished(run):
            again = f"python train.py resume={shown(run)} goes on"
    return InputError(
        f"{path}: cannot be written: {error.strerror or error}; make room, then {again}"
    )


def read_json(file: Path, what_to_do: str) -> dict[str, Any]:
    """The object in a JSON file of a run's folder.

    Args:
        what_to_do: if it is damaged.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged: {error}; {what_to_do}") from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise InputError(f"{file}: expected a JSON object, found {found}; {what_to_do}")
    return content


def read_state(run: Path) -> dict[str, Any]:
    """What run.json says of a run.

    Raises:
        InputError: it is damaged.
    """
    return read_json(run / RUN, f"remove it, then python train.py resume={run} goes on")


def is_finished(run: Path) -> bool:
    """Whether the run in a folder has been trained, tested and, if its config says so, evaluated.

    Raises:
        InputError: its run.json is damaged.
    """
    if not (run / RUN).is_file():
        return (run / METRICS).is_file()  # a run from before there was a run.json
    return read_state(run).get("finished") is True


def shown(path: Path) -> Path:
    """A path as a user types it: from the current folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
