"""Evaluations on disk: numbers, samplers and figures, and which weights they are of.

An evaluation's numbers and samplers are in a folder of its own, <home>/evaluations/<time>/. Once
that is complete, one file, <home>/evaluation.json, is renamed into place and makes it the current
one. Programs read evaluations through `current` and `made_with`, which refuse what is of other
weights. The current one's metrics.json, samplers/ and figures/ are in <home> for people.

The home of the last weights' evaluations is the run's folder, that of another checkpoint's a
folder of its name there, such as best/.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError

from autoencoders.errors import InputError, describe
from autoencoders.files import (
    EVALUATION,
    EVALUATIONS,
    FIGURES,
    HPARAMS,
    METRICS,
    NUMBERS,
    SAMPLERS,
    make_new,
    read_json,
    write_whole,
)
from autoencoders.runs.state import checkout, versions
from autoencoders.runs.trust import refuse_links

if TYPE_CHECKING:  # torch takes seconds, which a mistyped key need not wait for
    from autoencoders.samplers import Sampler

AGAIN = "python evaluate.py run=<the run's folder> measures it again"

# What an evaluation is asked for, see `Settings`; where only the reconstructions are measured, the
# split alone.
SETTINGS = ("split", "images", "features", "neighbours", "seed", "samplers")


class Record(BaseModel, extra="forbid"):
    """What evaluation.json says: what an evaluation is of, and what became of its figures.

    files: the folder of its numbers and samplers, from its home.
    weights: their digest, see `weights_digest`.
    checkpoint: the name of the file in checkpoints/ that they are from; epochs: after how many.
    dataset, split: what they were measured on; examples: a digest of the examples.
    images: how many of them; images_asked: how many `evaluation.images` allowed.
    extractor, features, neighbours, seed, samplers: see `Settings`; None where only the
        reconstructions were measured.
    versions: of the packages that measured; commit, clean: of their git checkout, see `checkout`.
    left_out: a line for each number that could not be measured.
    figures: by name, `drawn`, `not drawn yet`, or why it could not be drawn.
    """

    files: Annotated[str, Field(pattern=rf"^{EVALUATIONS}/\w[\w.-]*$")] = f"{EVALUATIONS}/none"
    weights: str
    checkpoint: str
    epochs: NonNegativeInt
    latent_dim: PositiveInt
    dataset: str
    split: Literal["test", "val"]
    images: PositiveInt | None = None
    images_asked: PositiveInt | None = None
    features: str | None = None
    neighbours: PositiveInt | None = None
    seed: NonNegativeInt | None = None
    samplers: dict[str, Any] | None = None
    extractor: str | None = None
    examples: str | None = None
    date: str = ""
    versions: dict[str, str] = {}
    commit: str | None = None
    clean: bool | None = None
    left_out: list[str] = []
    figures: dict[str, str] = {}

    @property
    def conditions(self) -> dict[str, Any]:
        """What another evaluation must share for the numbers to compare."""
        keys = ("dataset", *SETTINGS, "extractor", "examples")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    @property
    def settings(self) -> dict[str, Any]:
        """What it was asked for."""
        asked = self.model_copy(update={"images": self.images_asked})
        return {key: value for key in SETTINGS if (value := getattr(asked, key)) is not None}


class Stored(NamedTuple):
    """An evaluation as it was read: what it is of, its numbers, and the folder of its samplers."""

    record: Record
    metrics: dict[str, float]
    samplers: Path


def home_of(run: Path, checkpoint: str) -> Path:
    """The folder of a checkpoint's evaluations."""
    return run if checkpoint == "last" else run / checkpoint


def publish(
    home: Path,
    record: Record,
    metrics: Mapping[str, float],
    samplers: Mapping[str, "Sampler"],
) -> Record:
    """Make an evaluation the current one, numbers and samplers in one step.

    Earlier ones of the same weights stay in evaluations/ if they had other settings: a search
    still finds the numbers that it ranks its trials by. Figures are to follow.

    Returns:
        The record, with its date, versions and folder.
    """
    now = datetime.now().astimezone()
    folder = make_new(home / EVALUATIONS / f"{now:%Y-%m-%d_%H-%M-%S}")
    known: dict[str, Any] = {"date": now.isoformat(timespec="seconds"), "versions": versions()}
    known |= checkout()
    record = record.model_copy(update={"files": f"{EVALUATIONS}/{folder.name}", **known})
    unsaved = []
    for name, sampler in samplers.items():
        try:
            sampler.save(folder / SAMPLERS / f"{name}.safetensors")
        except ValueError as error:  # of a user's own prior, which may have no file
            unsaved.append(f"{SAMPLERS}/{name}.safetensors: {error}")
    record = record.model_copy(update={"left_out": [*record.left_out, *unsaved]})
    _write_json(folder / NUMBERS, metrics)
    _write_json(folder / EVALUATION, record.model_dump())  # last: the folder is complete
    _clear(home)
    _write_json(home / EVALUATION, record.model_dump())
    _forget_superseded(home, record)
    for file in folder.glob(f"{SAMPLERS}/*"):
        write_whole(home / file.relative_to(folder), file.read_bytes())
    _write_json(home / METRICS, metrics)
    return record


def record_figures(home: Path, record: Record, figures: Mapping[str, str]) -> None:
    """Write down what became of the figures of the current evaluation."""
    record = record.model_copy(update={"figures": dict(figures)})
    for file in (home / record.files / EVALUATION, home / EVALUATION):
        _write_json(file, record.model_dump())


def current(run: Path, checkpoint: str, weights: str) -> Stored | None:
    """The current evaluation of a checkpoint's weights; None where there is none.

    Args:
        weights: their digest.

    Raises:
        InputError: it is of other weights, or damaged.
    """
    home = home_of(run, checkpoint)
    record = read_record(home)
    if record is None:
        return None
    if record.weights != weights:
        raise InputError(
            f"{home / EVALUATION}: is of other weights than checkpoints/{checkpoint}.ckpt, after"
            f" {record.epochs} epochs; {_again(run, checkpoint)} measures these"
        )
    return _stored(home, record)


def made_with(run: Path, settings: Mapping[str, Any], weights: str) -> Stored | None:
    """The newest evaluation of the last weights that asked for these settings, and perhaps for
    more, current or earlier; None where there is none.

    Args:
        weights: their digest.

    Raises:
        InputError: one is damaged.
    """
    refuse_links(run)
    for file in sorted(run.glob(f"{EVALUATIONS}/*/{EVALUATION}"), reverse=True):
        record = _parsed(file)
        if record.weights == weights and _plain(settings).items() <= record.settings.items():
            return _stored(run, record.model_copy(update={"files": _place(run, file)}))
    return None


def move(run: Path, checkpoint: str, name: str) -> None:
    """Move the evaluations of a checkpoint to the home of `name`, a copy of it."""
    home, target = home_of(run, checkpoint), home_of(run, name)
    final = [file.name for file in home.glob(f"*{HPARAMS}")]
    for part in (*final, EVALUATIONS, FIGURES, SAMPLERS, METRICS, EVALUATION):  # the names last
        if (home / part).exists():
            target.mkdir(exist_ok=True)
            (home / part).replace(target / part)
    for file in (*target.glob(f"{EVALUATIONS}/*/{EVALUATION}"), *target.glob(EVALUATION)):
        _write_json(file, {**read_json(file, AGAIN), "checkpoint": name})


def read_record(home: Path) -> Record | None:
    """What the current evaluation of a home is of; None where there is none.

    Raises:
        InputError: it is damaged, or from before evaluations recorded their weights.
    """
    if not (home / EVALUATION).is_file():
        return None
    refuse_links(home)
    return _parsed(home / EVALUATION)


def _parsed(file: Path) -> Record:
    content = read_json(file, AGAIN)
    if "weights" not in content:  # as earlier versions wrote it
        raise InputError(f"{file}: does not say which weights it is of; {AGAIN}")
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: damaged: {describe(error)}; {AGAIN}") from error


def _stored(home: Path, record: Record) -> Stored:
    folder = home / record.files
    return Stored(record, read_numbers(folder / NUMBERS), folder / SAMPLERS)


def read_numbers(file: Path) -> dict[str, float]:
    """The numbers of an evaluation.

    Raises:
        InputError: it is missing, damaged, or holds anything but finite numbers.
    """
    if not file.is_file():
        raise InputError(f"{file}: is missing; {AGAIN}")
    metrics = read_json(file, AGAIN)
    for name, value in metrics.items():
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            found = f"{name}={json.dumps(value)}"
            raise InputError(f"{file}: {found}: must be a finite number; {AGAIN}")
    return metrics


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them."""
    return dict(json.loads(json.dumps(settings)))


def _place(home: Path, file: Path) -> str:
    return file.parent.relative_to(home).as_posix()


def _again(run: Path, checkpoint: str) -> str:
    file = f"ckpt_path={run}/checkpoints/{checkpoint}.ckpt"
    return f"python evaluate.py {f'run={run}' if checkpoint == 'last' else file}"


def _clear(home: Path) -> None:
    """Remove what the evaluation that is no longer current has left for people."""
    samplers, figures = home.glob(f"{SAMPLERS}/*.safetensors"), home.glob(f"{FIGURES}/*.png")
    for file in (home / METRICS, *samplers, *figures, *home.glob(f"*{HPARAMS}")):
        file.unlink(missing_ok=True)


def _forget_superseded(home: Path, record: Record) -> None:
    """Remove earlier evaluations of other weights, and those with the same settings."""
    for folder in (home / EVALUATIONS).iterdir():
        if _place(home, folder / EVALUATION) == record.files:
            continue
        try:
            earlier = _parsed(folder / EVALUATION)
            superseded = earlier.weights != record.weights or earlier.settings == record.settings
        except (InputError, OSError):  # cut off while it was written
            superseded = True
        if superseded:
            shutil.rmtree(folder, ignore_errors=True)


def _write_json(file: Path, content: Any) -> None:
    write_whole(file, json.dumps(content, indent=2, allow_nan=False) + "\n")
