"""Checkpoints: written whole or not at all, read without running any code that they carry."""

import io
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from autoencoders.errors import InputError
from autoencoders.files import write_whole
from autoencoders.models.description import leaves

PLAIN = (str, int, float, bool, type(None), torch.Tensor)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames, so that a crash leaves the old checkpoint or the new."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        refuse_unreadable(checkpoint)
        # Into memory first: a Ctrl-C or a full disk within torch.save's own writing to a file
        # becomes a RuntimeError of torch's, or ends the program.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def refuse_unreadable(checkpoint: dict[str, Any]) -> None:
    """Raise InputError where a checkpoint would hold what `read_checkpoint` does not read back:
    better missed before training than after it."""
    for key, value in leaves(checkpoint):
        if type(value) not in PLAIN and not _reads_back(value):
            kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
            raise InputError(
                f"{_as_set(key)}: a checkpoint cannot keep a {kind}, which is not read back safely;"
                " allowed: numbers, text, tensors, lists and dicts of them, as hyper-parameters"
                " also Enum and Path; make it one of these, or leave it out of save_hyperparameters"
                " or state_dict"
            )


def _reads_back(value: Any) -> bool:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # the pickler and the unpickler raise what the value's own class does
        return False
    return True


def _as_set(key: str) -> str:
    """A hyper-parameter's key as a command sets it."""
    groups = {"hyper_parameters": "model", "datamodule_hyper_parameters": "dataset"}
    part, dot, name = key.partition(".")
    return f"{groups.get(part, part)}{dot}{name}"


class Content(dict[str, Any]):
    """What a checkpoint holds, by Lightning's keys, and the file that it is from."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self.path = path

    @property
    def epochs(self) -> int:
        """After how many it was saved.

        Raises:
            InputError: it is none of train.py's.
        """
        try:
            return self["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]
        except (KeyError, TypeError) as error:
            line = f"{self.path}: not a checkpoint of train.py: it has no {error}"
            raise InputError(line) from error


def read_checkpoint(path: Path) -> Content:
    """A checkpoint's content, of tensors and plain values alone.

    Raises:
        InputError: no such file, one that may not be read, not a checkpoint, or one that asks for
            code to be run.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # the unpickler raises what the damage makes it
        # torch's own advice is to load it unsafely.
        raise InputError(
            f"{path}: not a checkpoint that can be read safely: it is damaged or asks for code"
            " to be run; give one that train.py wrote"
        ) from error
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise InputError(
            f"{path}: expected a checkpoint with a state_dict of tensors, found another file"
        )
    return Content(content, path)
