"""The part of a model's contract that its losses are held to."""

import torch
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.models import AutoEncoder
from autoencoders.testing.faults import call, require

COPIES = 4  # of each example, see `check_average`


def losses_of(model: AutoEncoder, batch: Batch) -> dict[str, Tensor]:
    name = type(model).__name__
    out = call(f"{name}.forward", model, batch)
    losses: dict[str, Tensor] = call(f"{name}.losses", model.losses, batch, out)
    return losses


def check_losses(model: AutoEncoder, batch: Batch) -> None:
    """Check what `losses` returns, and that the examples are left as they were."""
    name, before = type(model).__name__, batch.x.clone()
    losses = losses_of(model, batch)
    first = list(losses)[:2]
    require(
        first == ["loss", "reconstruction"],
        f'{name}.losses must begin with "loss" and "reconstruction", and begins with {first}',
    )
    mode = "training" if model.training else "evaluation"
    for key, value in losses.items():
        what = f'"{key}" of {name}.losses, for {len(batch.x)} examples in {mode},'
        require(isinstance(value, Tensor) and value.ndim == 0, f"{what} is no scalar tensor")
        require(bool(value.isfinite()), f"{what} is {value.item()}")
    require(losses["loss"].requires_grad, f'"loss" of {name}.losses has no gradient')
    require(torch.equal(batch.x, before), f"{name} changes the examples in place")


def check_average(model: AutoEncoder, batch: Batch) -> None:
    """Check that the reconstruction is no sum over the batch: of the same examples again and again
    it is about as large."""
    once = losses_of(model, batch)["reconstruction"].item()
    often = losses_of(model, repeated(batch))["reconstruction"].item()
    require(
        abs(often - once) < abs(once) + 1e-3,
        f'"reconstruction" of {type(model).__name__}.losses is no average over the batch: it is'
        f" {once:.4g}, and {often:.4g} with each example {COPIES} times",
    )


def first_of(batch: Batch, n: int = 1) -> Batch:
    covariates = {key: values[:n] for key, values in batch.covariates.items()}
    return Batch(batch.x[:n], None if batch.labels is None else batch.labels[:n], covariates)


def repeated(batch: Batch) -> Batch:
    def repeat(values: Tensor) -> Tensor:
        return torch.cat([values] * COPIES)

    covariates = {key: repeat(values) for key, values in batch.covariates.items()}
    return Batch(
        repeat(batch.x), None if batch.labels is None else repeat(batch.labels), covariates
    )
