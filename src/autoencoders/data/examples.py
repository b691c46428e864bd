"""Examples in memory, and a batch of them.

Images stay uint8, vectors float32: a batch is one indexing operation, and images are scaled to
[0, 1] on the device.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

BLOCK = 1000  # examples that are read at once


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
    """Examples in memory or mapped from disk, with what is known of each.

    Args:
        values: (N, *shape): images as uint8, (N, C, H, W), all else as float32.
        labels: int64, (N,), indices into the data module's `class_names`, -1 for an example without
            a label; by default all 0.
        factors: int64, (N, F), a column for each of its `factor_names`; by default none.
        covariates: by the data module's `covariate_names`, (N, ...) each; by default none.
        names: what the examples are called, such as files or rows; by default nothing.
        digests: uint64, (N,), see there; by default of `values`.
        rows: int64, (n,): the examples are these rows of `values`, which are not copied. All else
            is given for the n examples.
    """

    def __init__(
        self,
        values: Tensor,
        labels: Tensor | None = None,
        factors: Tensor | None = None,
        covariates: Mapping[str, Tensor] | None = None,
        *,
        names: Sequence[str] | np.ndarray | None = None,
        digests: np.ndarray | None = None,
        rows: Tensor | None = None,
    ) -> None:
        n = len(values) if rows is None else len(rows)
        self.stored = values
        self.rows = rows
        self.labels = torch.zeros(n, dtype=torch.long) if labels is None else labels
        self.factors = torch.zeros(n, 0, dtype=torch.long) if factors is None else factors
        self.covariates = dict(covariates or {})
        self.names = None if names is None else np.asarray(names, dtype=object)
        self._digests = digests

    def __len__(self) -> int:
        return len(self.stored) if self.rows is None else len(self.rows)

    def __getitem__(self, index: Any) -> Batch:
        """One example and what is known of it, or for a slice or a tensor of indices (B,) a batch,
        x as it is stored."""
        covariates = {name: values[index] for name, values in self.covariates.items()}
        x = self.stored[index if self.rows is None else self.rows[index]]
        return Batch(x, self.labels[index], covariates)

    @property
    def values(self) -> Tensor:
        """All as they are stored, (N, *shape); a copy if they are some rows of what is stored."""
        return self.stored if self.rows is None else self.stored[self.rows]

    @property
    def blockwise(self) -> "Tensor | Indexed":
        """The same without a copy, for who takes a block at a time."""
        return self.stored if self.rows is None else Indexed(self.stored, self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.stored.shape[1:])

    @property
    def digests(self) -> np.ndarray:
        """uint64, (N,): a number for what each example holds, the same wherever it is."""
        if self._digests is None:
            parts = (self[i : i + BLOCK].x.cpu().numpy() for i in range(0, len(self), BLOCK))
            numbers = (digest(values) for part in parts for values in part)
            self._digests = np.fromiter(numbers, np.uint64, len(self))
        return self._digests

    def batch(self, n: int | None = None, device: torch.device | str | None = None) -> Batch:
        """The first n as models take them, on `device`; by default all."""
        return move(scaled(self[:n]), device)

    def batches(self, size: int, device: torch.device | str | None = None) -> Iterator[Batch]:
        """All, in their order, as models take them, on `device`."""
        for start in range(0, len(self), size):
            yield move(scaled(self[start : start + size]), device)

    def x(self, n: int | None = None) -> Tensor:
        """The first n as models take them, (n, *shape), float32; by default all."""
        return to_floats(self[:n].x)

    def subset(self, indices: Tensor | slice) -> "Examples":
        """Those of them; their values are not copied."""
        index = torch.arange(len(self))[indices]
        return Examples(
            self.stored,
            self.labels[index],
            self.factors[index],
            {name: values[index] for name, values in self.covariates.items()},
            names=None if self.names is None else self.names[index.numpy()],
            digests=None if self._digests is None else self._digests[index.numpy()],
            rows=index if self.rows is None else self.rows[index],
        )

    def resample(self, n: int, generator: torch.Generator) -> "Examples":
        """n of them, drawn with replacement."""
        return self.subset(torch.randint(len(self), (n,), generator=generator))

    def to(self, device: torch.device) -> "Examples":
        """All on `device`."""
        if device == self.stored.device:
            return self
        return Examples(
            self.values.to(device),
            self.labels.to(device),
            self.factors.to(device),
            {name: values.to(device) for name, values in self.covariates.items()},
            names=self.names,
            digests=self._digests,
        )


@dataclass(frozen=True)
class Indexed:
    """Some rows of what is stored, read when they are asked for: for who goes through examples in
    blocks, however many there are."""

    stored: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Tensor:
        return self.stored[self.rows[index]]


def join(parts: Sequence[Examples]) -> Examples:
    """Examples one after the other; what they share on disk or in memory is not copied."""
    first, *others = parts
    shared = all(part.stored is first.stored for part in others)
    rows = [torch.arange(len(part)) if part.rows is None else part.rows for part in parts]
    named = all(part.names is not None for part in parts)
    return Examples(
        first.stored if shared else torch.cat([part.values for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.factors for part in parts]),
        {name: torch.cat([part.covariates[name] for part in parts]) for name in first.covariates},
        names=np.concatenate([part.names for part in parts]) if named else None,
        digests=np.concatenate([part.digests for part in parts]),
        rows=torch.cat(rows) if shared else None,
    )


def digest(content: bytes | np.ndarray) -> int:
    """A number below 2**64 for a file's or an array's content."""
    data = np.ascontiguousarray(content).data if isinstance(content, np.ndarray) else content
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


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
