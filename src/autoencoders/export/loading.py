"""An export read back. It may have come from anywhere: it makes classes of trusted packages alone,
and no code in it is run.
"""

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from autoencoders.errors import InputError, describe
from autoencoders.export.config import WEIGHTS, ModelConfig
from autoencoders.files import EXPORT_CONFIG, SAMPLERS, read_json
from autoencoders.models import AutoEncoder
from autoencoders.models.recipes import TARGET
from autoencoders.networks import Network
from autoencoders.samplers import Sampler
from autoencoders.trusted import trusted_class

AGAIN = "copy it anew, or python export.py run=<the run's folder> writes it anew"
# What making an object of arguments that do not suit it raises.
UNSUITABLE = (InputError, ValueError, TypeError, LookupError, RuntimeError, MemoryError)
UNREADABLE = (OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError)


def load_export(folder: Path) -> AutoEncoder:
    """The model of an export, on the CPU and in evaluation mode.

    Raises:
        InputError: a file is missing, damaged or altered, or names a class that files may not name.
    """
    config, file = read_config(folder), folder / EXPORT_CONFIG
    cls = _class_of(file, "class", config.target, AutoEncoder)
    arguments = config.arguments
    for key, kind in (("network", Network), ("cost", None)):
        if isinstance(made := arguments.get(key), dict):
            _class_of(file, f"{key}.{TARGET}", str(made.get(TARGET)), kind)
    try:
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and not kept
            model: AutoEncoder = cls(**arguments)
    except UNSUITABLE as error:
        reason = describe(error) or " ".join(str(error).split())
        raise InputError(f"{file}: {config.target} cannot be made of it: {reason}; {AGAIN}") from (
            error
        )
    model.load_state_dict(_weights(folder / WEIGHTS, model.state_dict()))
    return model.eval()


def read_config(folder: Path) -> ModelConfig:
    """What an export's config.json says.

    Raises:
        InputError: it is missing or damaged.
    """
    file = folder / EXPORT_CONFIG
    if not file.is_file():
        raise InputError(f"{folder}: not an export: it has no {EXPORT_CONFIG}; {AGAIN}")
    try:
        return ModelConfig.model_validate(read_json(file, AGAIN))
    except ValidationError as error:
        raise InputError(f"{file}: {describe(error)}; {AGAIN}") from error


def load_exported_sampler(folder: Path, name: str) -> Sampler:
    """A sampler that went along with an export.

    Raises:
        InputError: there is none of that name, or it cannot be read.
    """
    config = read_config(folder)
    if name not in config.samplers:
        known = ", ".join(config.samplers) or "none"
        raise InputError(f"{folder}: has no sampler {name!r}; allowed: {known}")
    key, target = f"samplers.{name}", str(config.samplers[name].get(TARGET))
    cls = _class_of(folder / EXPORT_CONFIG, f"{key}.{TARGET}", target, Sampler)
    return read_sampler(cls, folder / SAMPLERS / f"{name}.safetensors", config.latent_dim, AGAIN)


def read_sampler(cls: Any, path: Path, latent_dim: int, what_to_do: str) -> Sampler:
    """A fitted sampler from its file.

    Args:
        latent_dim: of the codes that it must draw.
        what_to_do: where it does not.

    Raises:
        InputError: it cannot be read, or draws other codes.
    """
    try:
        sampler: Sampler = cls.load(path)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read: {reason}; {what_to_do}") from error
    dims = sampler.draw(1, torch.Generator()).shape[1]
    if dims != latent_dim:
        raise InputError(
            f"{path}: draws codes of {dims} dimensions, the model's have {latent_dim}; {what_to_do}"
        )
    return sampler


def _class_of(file: Path, key: str, target: str, kind: Any) -> Any:
    """The class that a file names under a key.

    Args:
        kind: what it must be a subclass of; None for a cost, which any class can be.

    Raises:
        InputError: it may not be named, or is of another kind.
    """
    try:
        cls = trusted_class(target)
    except InputError as error:
        raise InputError(f"{file}: {key}={error}") from error
    fits = hasattr(cls, "loss") and hasattr(cls, "mean") if kind is None else issubclass(cls, kind)
    if not fits:
        name = "Cost" if kind is None else kind.__name__
        raise InputError(f"{file}: {key}={target}: is no {name}; {AGAIN}")
    return cls


def _weights(file: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in a file, which are all that a model needs, of its shapes and finite.

    Raises:
        InputError: they are not.
    """
    if not file.is_file():
        raise InputError(f"{file}: is missing; {AGAIN}")
    try:
        weights = load_file(file)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: cannot be read: {reason}; {AGAIN}") from error
    for name in sorted(weights.keys() | expected.keys()):
        if wrong := _difference(weights.get(name), expected.get(name)):
            raise InputError(f"{file}: {name} {wrong}; {AGAIN}")
    return weights


def _difference(found: Tensor | None, expected: Tensor | None) -> str:
    """What is wrong with a tensor of a file; nothing if it is as the model needs it."""
    if found is None:
        return "is missing"
    if expected is None:
        return "is not of this model"
    if found.shape != expected.shape:
        return f"has the shape {tuple(found.shape)}, the model's has {tuple(expected.shape)}"
    if found.is_floating_point() != expected.is_floating_point():
        return f"is of {found.dtype}, the model's of {expected.dtype}"
    return "" if found.isfinite().all() else "is NaN or infinite"
