"""What a sampler's file must hold.

Whoever edits one, or takes that of another sampler, would otherwise see it in the draws alone.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from autoencoders.samplers.base import SupportsDraw

ROUNDING = 1e-5  # of a sum of weights in single precision
TRIED = 10  # draws


def checked(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[str | int, ...]],
    whole: Collection[str] = (),
) -> dict[str, Tensor]:
    """The tensors of a file, floats in double precision.

    Args:
        tensors: by name.
        shapes: what there must be; sizes of one name are equal.
        whole: names of those that hold whole numbers.

    Raises:
        ValueError: a tensor is missing, foreign, of another shape or kind, NaN or infinite.
    """
    if tensors.keys() != shapes.keys():
        held = ", ".join(sorted(tensors)) or "nothing"
        raise ValueError(f"holds {held}; must hold {', '.join(sorted(shapes))}")
    sizes: dict[str | int, int] = {}
    for name, shape in shapes.items():
        for size, n in zip(shape, tensors[name].shape, strict=False):
            if isinstance(size, str):
                sizes.setdefault(size, n)
        expected = tuple(sizes.get(size, size) for size in shape)
        _require(name, tensors[name], expected, name in whole)
    return {name: v.long() if name in whole else v.double() for name, v in tensors.items()}


def _require(name: str, value: Tensor, shape: tuple[str | int, ...], whole: bool) -> None:
    if tuple(value.shape) != shape:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"{name} has the shape {tuple(value.shape)}; must have ({expected})")
    if not value.numel():
        raise ValueError(f"{name} is empty")
    if value.is_complex() or value.is_floating_point() == whole:
        kind = "whole numbers" if whole else "floats"
        raise ValueError(f"{name} is of {value.dtype}; must be {kind}")
    if not value.double().isfinite().all():
        raise ValueError(f"{name} is NaN or infinite")


def require_weights(weights: Tensor) -> None:
    """Raise ValueError where the components' weights (K,) are no distribution."""
    if weights.min() < 0:
        raise ValueError(f"weights has {weights.min().item():.3g}; must be at least 0")
    if abs((total := weights.sum().item()) - 1) > ROUNDING:
        raise ValueError(f"weights add up to {total:.6g}; must add up to 1")


def require_draws(sampler: SupportsDraw) -> None:
    """Raise ValueError where a sampler draws what no decoder takes."""
    if not sampler.draw(TRIED, torch.Generator().manual_seed(0)).isfinite().all():
        raise ValueError("its draws are NaN or infinite")
