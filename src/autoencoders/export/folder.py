"""An export's folder, written whole or not at all."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save

from autoencoders.errors import InputError
from autoencoders.export.config import CARD, WEIGHTS, ModelConfig
from autoencoders.export.loading import load_export, load_exported_sampler
from autoencoders.export.onnx_files import write_onnx
from autoencoders.files import EXPORT_CONFIG, FIGURES, SAMPLERS, write_whole
from autoencoders.models import AutoEncoder


@dataclass(frozen=True)
class Export:
    """What is exported.

    model: in evaluation mode.
    config: of it, see `config_of`.
    samplers: by name, the file of each.
    card: the text of README.md.
    figures: files that the card shows.
    """

    model: AutoEncoder
    config: ModelConfig
    samplers: Mapping[str, Path]
    card: str
    figures: Sequence[Path] = field(default_factory=list)


def write_export(export: Export, folder: Path, onnx: bool = False) -> list[str]:
    """Write an export, in the place of an earlier one.

    Args:
        onnx: also encoder.onnx and decoder.onnx, see `write_onnx`.

    Returns:
        A line for what was left out.

    Raises:
        InputError: there is something else in the folder, it cannot be written, or what was written
            does not give the same model back.
    """
    if folder.exists() and not (folder / EXPORT_CONFIG).is_file():
        raise InputError(f"{folder}: is there, and no export; move it away")
    with _in_its_place(folder) as partial:
        state = export.model.state_dict()
        # Clones, since a file holds no tensors that share their memory.
        tensors = {name: value.cpu().contiguous().clone() for name, value in state.items()}
        write_whole(partial / WEIGHTS, save(tensors, metadata={"format": "pt"}))
        write_whole(partial / EXPORT_CONFIG, export.config.text())
        write_whole(partial / CARD, export.card)
        for name, file in export.samplers.items():
            write_whole(partial / SAMPLERS / f"{name}.safetensors", file.read_bytes())
        for file in export.figures:
            write_whole(partial / FIGURES / file.name, file.read_bytes())
        _read_back(export, partial)
        return write_onnx(export.model, export.config, partial) if onnx else []


@contextmanager
def _in_its_place(folder: Path) -> Iterator[Path]:
    """A folder to write into, which is beside `folder` first and takes its place at the end."""
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "old"))
    try:
        for left in (partial, old):  # by a command that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


def _read_back(export: Export, folder: Path) -> None:
    """Raise InputError unless what was written gives the same model and all samplers."""
    found, expected = load_export(folder).state_dict(), export.model.state_dict()
    for name, value in expected.items():
        if not torch.equal(found[name], value.cpu()):
            raise InputError(f"{export.config.target}: {name} is not read back as it was written")
    for name in export.samplers:
        load_exported_sampler(folder, name)
