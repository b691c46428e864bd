"""Which examples make a batch, and where they are kept."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data.distributed import DistributedSampler

from autoencoders.data.examples import Examples


class Batches(DistributedSampler):
    """Whole batches' indices, (batch_size,) each, on the device where the examples lie.

    In training, the order is a function of the seed and the epoch, which Lightning tells; where
    the examples do not divide among processes, some come twice, so that no process waits for
    another. In evaluation each example comes once.

    Args:
        examples: what is indexed.
        batch_size: examples a batch.
        shuffle: for training.
        repeat: keep the first epoch's order in every epoch.
        seed: of the order.
        rank, world_size: this process, of how many.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        shuffle: bool,
        repeat: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(examples, world_size, rank, shuffle, seed)
        self.examples = examples
        self.batch_size = batch_size
        self.repeat = repeat

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(0 if self.repeat else epoch)

    def __iter__(self) -> Iterator[Any]:
        order = super().__iter__() if self.shuffle else self._mine()
        batches = torch.tensor(list(order)).to(self.examples.stored.device).split(self.batch_size)
        yield from batches[: len(self)]

    def __len__(self) -> int:
        n = self.num_samples if self.shuffle else len(self._mine())
        full, rest = divmod(n, self.batch_size)
        # Batch normalization has nothing to normalise over in a last batch of one example.
        return full + (rest > (1 if self.shuffle else 0))

    def _mine(self) -> range:
        return range(self.rank, len(self.examples), self.num_replicas)


def place_for(examples: Examples, device: torch.device) -> torch.device:
    """Where a data set lies: on the GPU that trains, if that leaves most of its memory free."""
    if device.type != "cuda":
        return torch.device("cpu")
    free, _ = torch.cuda.mem_get_info(device)
    return device if len(examples) * examples[0].x.nbytes < free / 4 else torch.device("cpu")


def as_it_is(batch: Any) -> Any:
    """The collation of what `Batches` has put together already."""
    return batch
