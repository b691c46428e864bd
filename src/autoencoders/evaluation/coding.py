"""Examples to codes and codes to examples, all of a set."""

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data import Examples
from autoencoders.errors import InputError
from autoencoders.models import AutoEncoder
from autoencoders.models.inference import inference

BATCH = 100  # activations that stay in a processor's cache


class Codes(NamedTuple):
    """Codes of n examples, (n, latent_dim) each: posterior means, and draws from the posterior."""

    mean: Tensor
    z: Tensor


def encode(model: AutoEncoder, examples: Examples) -> Codes:
    """The examples' codes, on the CPU.

    Raises:
        InputError: a code is NaN or infinite.
    """
    means, draws = [], []
    with inference(model):
        for batch in examples.batches(BATCH, model.device):
            posterior = model.posterior(batch)
            means.append(posterior.mean.cpu())
            draws.append(posterior.draw().cpu())
    codes = Codes(torch.cat(means), torch.cat(draws))
    if not codes.z.isfinite().all():
        raise InputError(
            "codes are NaN or infinite: training has diverged; lower optimizer.lr and start again"
        )
    return codes


def decode(model: AutoEncoder, z: Tensor, given: Examples) -> Tensor:
    """Codes (N, latent_dim) -> examples (N, *shape) as `Examples.values` holds them.

    Args:
        given: N examples, whose labels and covariates a conditional model is given.
    """
    pairs = zip(z.split(BATCH), given.batches(BATCH, model.device), strict=True)
    decoded = (model.decode(codes.to(model.device), **batch.given) for codes, batch in pairs)
    in_bytes = given.values.dtype == torch.uint8
    return torch.cat([_in_bytes(x) if in_bytes else x.cpu() for x in decoded])


def _in_bytes(x: Tensor) -> Tensor:
    return (255 * x).round().to(torch.uint8).cpu()
