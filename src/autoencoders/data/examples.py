"""Examples in memory, and a batch of them.

Images stay uint8, vectors float32: a batch is one indexing operation, and images are scaled to
[0, 1] on the device.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Batch(NamedTuple):
    """Examples as models take them.

    x: (B, *shape), as `to_floats` gives it.
    labels: int64, (B,), indices into the data module's `class_names`; None where nobody gives any.
    covariates: whatever else the data module declares in `covariate_names`, such as the batch that
        a cell was measured in, or its library size: by name, (B, ...).
    """

    x: Tensor
    labels: Tensor | None = None
    covariates: Mapping[str, Tensor] = {}

    @property
    def given(self) -> dict[str, Any]:
        """All but x, by the names that `encode`, `decode` and `reconstruct` take."""
        return {"labels": self.labels, **self.covariates}


class Examples(Dataset):
    """Examples in memory, with their labels.

    Args:
        values: (N, *shape): images as uint8, (N, C, H, W), all else as float32.
        labels: int64, (N,), indices into the data module's `class_names`; by default all 0.
        factors: int64, (N, F), a column for each of its `factor_names`; by default none.
        covariates: by the data module's `covariate_names`, (N, ...) each; by default none.
    """

    def __init__(
        self,
        values: Tensor,
        labels: Tensor | None = None,
        factors: Tensor | None = None,
        covariates: Mapping[str, Tensor] | None = None,
    ) -> None:
        n = len(values)
        self.values = values
        self.labels = torch.zeros(n, dtype=torch.long) if labels is None else labels
        self.factors = torch.zeros(n, 0, dtype=torch.long) if factors is None else factors
        self.covariates = dict(covariates or {})

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Batch:
        """One example and what is known of it, or for a slice or a tensor of indices (B,) a batch,
        x as it is stored."""
        covariates = {name: values[index] for name, values in self.covariates.items()}
        return Batch(self.values[index], self.labels[index], covariates)

    def batch(self, n: int | None = None, device: torch.device | str | None = None) -> Batch:
        """The first n as models take them, on `device`; by default all."""
        return move(scaled(self[:n]), device)

    def batches(self, size: int, device: torch.device | str | None = None) -> Iterator[Batch]:
        """All, in their order, as models take them, on `device`."""
        for start in range(0, len(self), size):
            yield move(scaled(self[start : start + size]), device)

    def x(self, n: int | None = None) -> Tensor:
        """The first n as models take them, (n, *shape), float32; by default all."""
        return to_floats(self.values[:n])

    def subset(self, indices: Tensor | slice) -> "Examples":
        """Those of them; a slice copies nothing, so that values on disk stay there."""
        return self._each(lambda part: part[indices])

    def resample(self, n: int, generator: torch.Generator) -> "Examples":
        """n of them, drawn with replacement."""
        return self.subset(torch.randint(len(self), (n,), generator=generator))

    def to(self, device: torch.device) -> "Examples":
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        covariates = {name: change(values) for name, values in self.covariates.items()}
        return Examples(change(self.values), change(self.labels), change(self.factors), covariates)


def as_batch(batch: Any) -> Batch:
    """What a loader serves, of this project or of another: a `Batch`, x, or x and labels."""
    if isinstance(batch, Batch):
        return batch
    return Batch(batch) if isinstance(batch, Tensor) else Batch(*batch[:2])


def scaled(batch: Batch) -> Batch:
    """A batch as it is stored -> as models take it."""
    return batch._replace(x=to_floats(batch.x))


def move(batch: Batch, device: torch.device | str | None) -> Batch:
    """A batch on `device`; None leaves it where it is."""
    if device is None:
        return batch
    labels = None if batch.labels is None else batch.labels.to(device)
    covariates = {name: values.to(device) for name, values in batch.covariates.items()}
    return Batch(batch.x.to(device), labels, covariates)


def to_floats(values: Tensor) -> Tensor:
    """What models take: uint8 images scaled to [0, 1]; floats as they are."""
    return values.float() / 255 if values.dtype == torch.uint8 else values
