"""The part of a model's contract that training and checkpoints are held to."""

import inspect
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from autoencoders.data import Batch
from autoencoders.models import AutoEncoder
from autoencoders.testing.faults import call, listed, require
from autoencoders.testing.losses import losses_of
from autoencoders.testing.methods import calls_of

EPOCHS, BATCHES = 2, 2


class Watch(pl.Callback):
    """Seeds each training step by its number, so that a resumed run draws as the undisturbed one;
    keeps the names of the parameters that gradients reach and an optimizer has."""

    def __init__(self) -> None:
        self.reached: set[str] = set()

    def on_train_batch_start(
        self, trainer: pl.Trainer, model: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(BATCHES * trainer.current_epoch + batch_idx)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, model: pl.LightningModule, optimizer: Any
    ) -> None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        moved = {id(p) for p in trained if p.grad is not None and p.grad.any()}
        self.reached |= {name for name, p in model.named_parameters() if id(p) in moved}


def check_training(
    make: Callable[[], AutoEncoder], batch: Batch, arguments: dict[str, Any], folder: Path
) -> None:
    """Check training, its checkpoints and a run that is resumed from one.

    Args:
        make: the model, with the same weights at each call.
        arguments: that it was made with.
        folder: where checkpoints go.
    """
    model, watch = make(), Watch()
    fit(model, batch, [watch, ModelCheckpoint(folder, "{epoch}", save_top_k=-1)])
    check_gradients(model, watch.reached)
    check_arguments(model, arguments)
    check_checkpoint(model, batch, folder / f"epoch={EPOCHS - 1}.ckpt")
    resumed = make()
    fit(resumed, batch, [Watch()], folder / "epoch=0.ckpt")
    name = type(model).__name__
    other = differences(model.state_dict(), resumed.state_dict())
    require(
        not other, f"training of {name} comes to other weights when it is resumed: {listed(other)}"
    )


def fit(
    model: AutoEncoder, batch: Batch, callbacks: list[Any], checkpoint: Path | None = None
) -> None:
    """Train on the same batch again and again, on the CPU, and validate on it."""
    loader: Any = DataLoader([batch] * BATCHES, batch_size=None)  # type: ignore[arg-type]
    name = type(model).__name__
    with silence():
        trainer = pl.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            devices=1,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=checkpoint is None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1,
        )
        call(f"training of {name}", trainer.fit, model, loader, loader, ckpt_path=checkpoint)
    wrong = [key for key, value in model.state_dict().items() if not value.isfinite().all()]
    require(not wrong, f"training of {name} makes these NaN or infinite: {listed(wrong)}")
    for key in ("train/loss", "val/loss", "val/mse"):
        value = trainer.callback_metrics.get(key, torch.tensor(math.nan))
        require(bool(value.isfinite()), f"training of {name} reports no finite {key}")


@contextmanager
def silence() -> Iterator[None]:
    """Without Lightning's notes on devices, workers and the length of epochs."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def check_gradients(model: AutoEncoder, reached: set[str]) -> None:
    wanted = {name for name, p in model.named_parameters() if p.requires_grad}
    missed = listed(sorted(wanted - reached))
    name = type(model).__name__
    require(not missed, f"gradients of training do not reach these parameters of {name}: {missed}")


def check_arguments(model: AutoEncoder, arguments: dict[str, Any]) -> None:
    """Check that a checkpoint carries the arguments."""
    name, known = type(model).__name__, inspect.signature(type(model).__init__).parameters
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    own = {key for key, parameter in known.items() if parameter.kind not in kinds} - {"self"}
    lost = listed(sorted((own | set(arguments)) - set(model.hparams)))
    require(not lost, f"{name} does not save these arguments, see save_hyperparameters: {lost}")
    plain = {key: value for key, value in arguments.items() if isinstance(value, int | float | str)}
    other = [key for key, value in plain.items() if model.hparams[key] != value]
    require(not other, f"{name} saves other values of these arguments: {listed(other)}")


def check_checkpoint(model: AutoEncoder, batch: Batch, path: Path) -> None:
    """Check that a checkpoint is read back as the same model, bit for bit."""
    name = type(model).__name__
    loaded: AutoEncoder = call(
        f"{name}.load_from_checkpoint",
        type(model).load_from_checkpoint,
        path,
        map_location="cpu",
        weights_only=True,
    )
    other = [k for k, v in model.hparams.items() if repr(v) != repr(loaded.hparams.get(k))]
    require(not other, f"{name} has other arguments after load_from_checkpoint: {listed(other)}")
    other = differences(model.state_dict(), loaded.state_dict())
    require(not other, f"{name} has another state after load_from_checkpoint: {listed(other)}")
    outputs = [
        {key: call(f"{name}.{key}", function) for key, function in calls_of(m, batch).items()}
        for m in (model, loaded)
    ]
    for values, m in zip(outputs, (model, loaded), strict=True):
        torch.manual_seed(0)
        values |= losses_of(m.eval(), batch)
    other = differences(*outputs)
    require(not other, f"{name} gives other values after load_from_checkpoint: {listed(other)}")


def differences(values: dict[str, Tensor], others: dict[str, Tensor]) -> list[str]:
    """The names of tensors that are not equal, or on one side alone."""
    shared = values.keys() & others.keys()
    other = [key for key in shared if not torch.equal(values[key], others[key])]
    return sorted([*other, *(values.keys() ^ others.keys())])
