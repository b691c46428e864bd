"""Which examples an evaluation looks at, the same ones for the same seed."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.data import Examples
from autoencoders.metrics.samples import Sample

CLOSEST = 10  # samples that are shown beside their nearest training example


class Closest(NamedTuple):
    """Generated examples that come near to training examples, and those.

    generated, train: (n, *shape) each, as `Examples.values` holds them.
    labels: the training examples' classes, (n,).
    distances: root mean squared difference per dimension of each pair, (n,).
    names: what the training examples are called; empty if they have no names.
    """

    generated: Tensor
    train: Tensor
    labels: Tensor
    distances: Tensor
    names: list[str]


def stream(seed: int, use: str) -> torch.Generator:
    """A generator on the CPU for one use, which shares no numbers with those for others."""
    entropy = np.random.SeedSequence([seed, *use.encode()]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy))


def choose(examples: Examples, n: int, generator: torch.Generator) -> Examples:
    """n of them, in their order; all where there are no more."""
    if n >= len(examples):
        return examples
    return examples.subset(torch.randperm(len(examples), generator=generator)[:n].sort().values)


def closest(generated: Sample, train: Examples) -> Closest:
    """Of generated examples those nearest to a training example, of each class as many, CLOSEST in
    all."""
    values, (distances, indices) = generated.values, generated.nearest(train.blockwise)
    chosen = first_of_each_class(distances.argsort(), train.labels[indices], CLOSEST)
    near = indices[chosen]
    names = [] if train.names is None else train.names[near.numpy()].tolist()
    theirs = train.blockwise[near]
    return Closest(values[chosen], theirs, train.labels[near], distances[chosen], names)


def first_of_each_class(order: Tensor, labels: Tensor, n: int) -> Tensor:
    """Of indices in order, (N,), the first of each class, then the second of each, and so on until
    there are n; sorted by class. MNIST's images nearest to each other would all be ones."""
    labels = labels[order]
    rank = (labels[:, None] == labels).tril(-1).sum(1)  # how many of its class come before
    chosen = rank.argsort(stable=True)[:n]
    return order[chosen[labels[chosen].argsort(stable=True)]]


def digest_of(values: Tensor) -> str:
    """SHA-256 of examples (N, *shape): whether two models were judged on the same ones."""
    return hashlib.sha256(
        values.cpu().contiguous().flatten().view(torch.uint8).numpy().data
    ).hexdigest()
