"""The contract of a data set."""

from collections import Counter

import torch
from torch import Tensor

from autoencoders.data import Batch, DataModule, Examples
from autoencoders.data.base import DIMENSIONS
from autoencoders.data.examples import join
from autoencoders.testing.faults import call, require, require_tensor

BLOCK = 1000  # examples that are held as floats at once
LEAKED = 0.1  # the share of the test set that may be in the training set: some data repeat


def check_data(data: DataModule) -> None:
    """Check a data set: all of its examples are read.

    They are what `shape`, `kind`, `bounded`, `class_names`, `factor_names` and `covariate_names`
    say. `load` gives the same examples each time; the split leaves none out, has none twice, and is
    the same for the same seed; no test example is in the training set. What the loaders serve is
    a `Batch`, and an epoch has each example once.

    Args:
        data: the data module, prepared or not. It is prepared and set up.

    Raises:
        AssertionError: a sentence that names the fault.
    """
    name = type(data).__name__
    with torch.random.fork_rng(devices=[]):
        call(f"{name}.prepare_data", data.prepare_data)
        call(f"{name}.setup", data.setup)
        check_names(name, data)
        for part in ("train", "val", "test"):
            check_examples(f"the {part} set of {name}", data, getattr(data, part))
        check_splits(name, data)
        check_loaders(name, data)


def check_names(name: str, data: DataModule) -> None:
    require(bool(data.label), f"{name} has no label")
    dimensions = DIMENSIONS[data.kind]
    require(
        len(data.shape) == len(dimensions),
        f"{name} says that an example is of the kind {data.kind}, ({', '.join(dimensions)}), and of"
        f" the shape {tuple(data.shape)}",
    )
    for names in ("class_names", "factor_names", "covariate_names", "feature_names"):
        values = getattr(data, names)
        require(len(set(values)) == len(values), f"{name}.{names} names something twice")
    require(
        not data.feature_names or (len(data.feature_names),) == tuple(data.shape),
        f"{name} has {len(data.feature_names)} feature_names and the shape {tuple(data.shape)}",
    )


def check_examples(name: str, data: DataModule, examples: Examples) -> None:
    """Check that examples are what the data set says of them."""
    for batch in examples.batches(BLOCK):
        require_tensor(f"x in {name}", batch.x, (len(batch.x), *data.shape))
        low, high = batch.x.min().item(), batch.x.max().item()
        inside = not data.bounded or 0 <= low <= high <= 1
        require(inside, f"{name} says that it is bounded, and has values of {low:g} to {high:g}")
    check_numbers(f"labels in {name}", examples.labels, (len(examples),))
    classes = max(len(data.class_names), 1)
    wrong = examples.labels[(examples.labels < -1) | (examples.labels >= classes)].unique().tolist()
    require(not wrong, f"{name} has {len(data.class_names)} class_names and the labels {wrong}")
    factors = (len(examples), len(data.factor_names))
    check_numbers(f"factors in {name}", examples.factors, factors)
    says, has = set(data.covariate_names), set(examples.covariates)
    require(says == has, f"{name} says that its covariates are {says}, and has {has}")
    for key, values in examples.covariates.items():
        require(len(values) == len(examples), f"{name} has {len(values)} values of {key}")


def check_numbers(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    found = tuple(values.shape)
    require(found == shape, f"{name} have the shape {found}, not {shape}")
    require(values.dtype == torch.int64, f"{name} are {values.dtype}, not torch.int64")


def check_splits(name: str, data: DataModule) -> None:
    """Check what was loaded and split against what `load` gives at a second time, with other random
    numbers."""
    torch.rand(1)  # another random state than at first
    *parts, test = call(f"{name}.load", data.load)
    everything = join(parts)  # the second part, if there is one, is the data's own validation set
    for part, examples, loaded in (
        ("training and validation", hashes(data.train) + hashes(data.val), hashes(everything)),
        ("test", hashes(data.test), hashes(test)),
    ):
        same = Counter(examples) == Counter(loaded)
        require(same, f"the {part} examples of {name} are not those that its load gives again")
    if len(parts) == 1:
        check_split(name, data, everything)
    known = {example for example, _ in hashes(everything)}
    leaked = sum(example in known for example, _ in hashes(test)) / len(test)
    require(leaked <= LEAKED, f"{leaked:.0%} of the test set of {name} is in its training set")


def check_split(name: str, data: DataModule, everything: Examples) -> None:
    """Check a split of three quarters and one quarter."""
    size = max(len(everything) * 3 // 4, 1)
    first, again = (call(f"{name}.split", data.split, everything, size) for _ in range(2))
    sizes, expected = tuple(map(len, first)), (size, len(everything) - size)
    require(sizes == expected, f"{name}.split gives {sizes} examples, not {expected}")
    (train, val), other = map(hashes, first), [*map(hashes, again)]
    require([train, val] == other, f"{name}.split gives another split each time with one seed")
    complete = Counter(train + val) == Counter(hashes(everything))
    require(complete, f"{name}.split leaves examples out, or has some in both parts")


def hashes(examples: Examples) -> list[tuple[int, int]]:
    """A number for each example, and its label."""
    numbers = [hash(x.numpy().tobytes()) for x in examples.values]
    return list(zip(numbers, examples.labels.tolist(), strict=True))


def check_loaders(name: str, data: DataModule) -> None:
    """Check what the loaders serve, as Lightning passes it on."""
    # Training leaves a last batch of one example out.
    for part, left_out in (("train", 1), ("test", 0)):
        loader = call(f"{name}.{part}_dataloader", getattr(data, f"{part}_dataloader"))
        seen = sum(check_batch(f"{name}.{part}_dataloader", data, batch) for batch in loader)
        n = len(getattr(data, part))
        whole = n - left_out <= seen <= n
        require(whole, f"{name}.{part}_dataloader serves {seen} examples of {n}")


def check_batch(loader: str, data: DataModule, batch: Batch) -> int:
    """Check a batch, and count its examples."""
    kind = type(batch).__name__
    require(isinstance(batch, Batch), f"{loader} serves a {kind}, not a Batch")
    moved = call("on_after_batch_transfer", data.on_after_batch_transfer, batch, 0)
    n = len(moved.x)
    require_tensor(f"x that {loader} serves", moved.x, (n, *data.shape))
    if moved.labels is not None:
        check_numbers(f"labels that {loader} serves", moved.labels, (n,))
    says, has = set(data.covariate_names), set(moved.covariates)
    require(says == has, f"{loader} serves the covariates {has}, not {says}")
    return n
