"""Checkpoints that a model starts from, each checked against the model before it is used."""

from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from autoencoders.errors import InputError
from autoencoders.models.description import DESCRIPTION, describe, parts
from autoencoders.training.checkpoint_files import Content

ABSENT = "absent"
AS_THERE = "choose model=, network=, their sizes and dataset= as there"


def load_weights(model: nn.Module, content: Content, data: Any = None) -> None:
    """Give `model` the weights of its own checkpoint.

    Args:
        data: the data module that it was trained on; None leaves that unchecked.

    Raises:
        InputError: the checkpoint cannot be read, or is of another model, shape or data set.
    """
    _refuse_other(content, model, data)
    model.load_state_dict(content["state_dict"])


def saved_spec(content: Content) -> dict[str, Any]:
    """What the model of a checkpoint was told of its data, see `DataModule.spec`.

    Raises:
        InputError: the checkpoint cannot be read, or says nothing of it.
    """
    hyper_parameters = content.get("hyper_parameters") or {}
    if "kind" in hyper_parameters:
        return {key: hyper_parameters[key] for key in ("shape", "kind", "bounded", "classes")}
    described = _described(content, "of")  # as 0.1 wrote it
    if "shape" not in described:
        raise InputError(
            f"{content.path}: not a checkpoint of train.py: it does not say of which shape"
        )
    kind = "image" if len(described["shape"]) == 3 else "vector"
    return {"shape": described["shape"], "kind": kind, "bounded": described["bounded"]}


def refuse_other_data(content: Content, model: nn.Module, data: Any) -> None:
    """Raise InputError where `data` are not of the kind that the checkpoint's model was trained
    on."""
    _refuse_other(content, model, data)
    spec = {key: value for key, value in data.spec.items() if key in ("shape", "bounded")}
    for key, here in spec.items():
        if (there := getattr(model, key)) != here:
            raise InputError(
                f"{content.path}: is of data of another {key} than are there now: {there},"
                f" here {here}"
            )


def start_from(model: nn.Module, content: Content, data: Any = None) -> None:
    """Start a new run's `model` from the weights of any checkpoint that fits, and say in a line
    what else was different there.

    Raises:
        InputError: the checkpoint cannot be read, or is of another model or shape.
    """
    differences = _differences(content, model, data)
    if "model" in differences:
        raise _other(content.path, model, "model", *differences["model"])
    _refuse_other_shapes(content.path, content["state_dict"], model)
    if differences:
        _say(f"ckpt_path={content.path}: its weights are of {_listed(differences)}")
    if "current_model_state" in content:
        _say(
            f"ckpt_path={content.path}: its run averaged its weights; this one starts from the"
            " average, not from the weights that were trained"
        )
    model.load_state_dict(content["state_dict"])


def check_resumable(content: Content, model: nn.Module, max_epochs: int, data: Any = None) -> int:
    """After how many epochs a checkpoint was saved that training is to go on from.

    Raises:
        InputError: it lacks something, is of another model, shape or data set, or has been trained
            for longer than is asked for.
    """
    needed = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step")
    lacking = [key for key in (*needed, "pytorch-lightning_version") if key not in content]
    lacking += [key for key in ("optimizer_states", "callbacks") if content.get(key) in ([], {})]
    if lacking:
        raise InputError(
            f"{content.path}: nothing to continue from: it has no {', '.join(lacking)};"
            f" ckpt_path={content.path} starts a new run from its weights"
        )
    _refuse_other(content, model, data)
    _refuse_damaged(content)
    if "current_model_state" in content:
        _refuse_other_shapes(content.path, content["current_model_state"], model)
    if (epochs := content.epochs) > max_epochs:
        raise InputError(
            f"trainer.max_epochs={max_epochs}: {content.path} has been trained for {epochs} epochs;"
            f" give at least {epochs}"
        )
    return epochs


def _refuse_other(content: Content, model: nn.Module, data: Any) -> None:
    """Raise InputError where a checkpoint is not one of this very model."""
    if differences := _differences(content, model, data):
        raise InputError(
            f"{content.path}: is of another model or shape, or of other data, than this run:"
            f" {_listed(differences)}; put the run's own checkpoint there, or {AS_THERE}"
        )
    _refuse_other_shapes(content.path, content["state_dict"], model)


def _differences(content: dict[str, Any], model: Any, data: Any) -> dict[str, tuple[Any, Any]]:
    """By key, what a checkpoint is of and what `model` is, where they differ.

    A key that only one of them has is of another version of the class, unless the class is another.
    """
    there = _described(content, "of")
    here = describe(model, data) if there else {}
    return {k: (there[k], here[k]) for k in there if k in here and there[k] != here[k]}


def _described(content: dict[str, Any], part: str) -> dict[str, Any]:
    """A part of a checkpoint's description; empty where it was written before there were any."""
    description = content.get(DESCRIPTION)
    described = description.get(part) if isinstance(description, dict) else None
    return described if isinstance(described, dict) else {}


def _listed(differences: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{k}={there}, here {here}" for k, (there, here) in differences.items())


def _refuse_damaged(content: Content) -> None:
    """Raise InputError where a checkpoint's parts are not those that it was written with."""
    written, now = _described(content, "parts"), parts(content)
    for key in sorted(written.keys() | now.keys()) if written else []:
        then, found = (_shown(held, key) for held in (written, now))
        if then != found:
            raise InputError(
                f"{content.path}: damaged: {key} is {found}, was {then} when it was written; put"
                f" the run's own checkpoint there; ckpt_path={content.path} starts a new run from"
                " its weights"
            )


def _shown(held: dict[str, Any], key: str) -> str:
    shape = held.get(key, ABSENT)
    return "no tensor" if shape is None else str(shape)


def _refuse_other_shapes(path: Path, theirs: dict[str, Any], model: nn.Module) -> None:
    """Raise InputError where weights do not fit into the model."""
    ours = model.state_dict()
    for name in sorted(ours.keys() | theirs.keys()):
        there = tuple(theirs[name].shape) if name in theirs else ABSENT
        here = tuple(ours[name].shape) if name in ours else ABSENT
        if there != here:
            raise _other(path, model, name, there, here)


def _other(path: Path, model: nn.Module, key: str, there: object, here: object) -> InputError:
    return InputError(
        f"{path}: is of another model or shape than this {type(model).__name__}: {key} is {there}"
        f" there, {here} here; {AS_THERE}"
    )


@rank_zero_only
def _say(line: str) -> None:
    print(line)
