"""Data held in memory and served in batches."""

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeInt, validate_call
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from autoencoders.data.batches import Batches, as_it_is, place_for
from autoencoders.data.examples import Batch, Examples, join, scaled, to_floats
from autoencoders.data.manifest import (
    SPLITS,
    Changes,
    Description,
    Manifest,
    number_classes,
    printable,
    record,
    restore,
)
from autoencoders.errors import InputError

# What principal components are fitted on, at most: examples, and numbers in all of them, so that
# large images take no more memory.
REFERENCE, REFERENCE_NUMBERS = 10_000, 20_000_000

Kind = Literal["image", "series", "vector"]
# The dimensions of one example of each kind.
DIMENSIONS: dict[Kind, str] = {"image": "CHW", "series": "CT", "vector": "D"}
THINGS: dict[Kind, str] = {"image": "images", "series": "series", "vector": "rows"}


class DataModule(pl.LightningDataModule):
    """A training, a validation and a test set, served as `Batch`.

    The validation set is cut from the training set by a split that `seed` fixes; the test set is
    the official one and only ever that. A data set is a subclass that says what its data are, in
    the attributes below, and has a `load`.

    Args:
        data_dir: where data sets lie, and where downloads go.
        batch_size: examples a batch, at least two, since batch normalization needs company.
        val_size: examples of the validation set; 0 trains on all.
        seed: fixes the validation split.

    Attributes:
        label: the data set's name in figures and tables.
        shape: of one example: (C, H, W) of an image, (C, T) of a series, (features,) of a vector.
        kind: which of the three it is: how it is drawn and compared.
        bounded: whether all values lie in [0, 1], as pixels do.
        class_names: what the labels mean; empty where there are none.
        factor_names: of further labels, what the examples vary in; empty where none are known.
        covariate_names: of what else a model is told of an example; empty where there is nothing.
        feature_names: what the dimensions of vectors are called; empty where they have no names.
        extractor: the name of its feature extractor, where one ships.
        judged_on: what models are judged on: the test set, or the validation set where something is
            chosen by the numbers and the test set must stay unseen.
        preprocessing: what `load` has fitted on training examples or found in its source, as JSON
            takes it; where there is a `recorded`, that of its description is used again.
        remarks: clauses of the inventory, on what was found and chosen.
        left_out: what was found and not used: names by the reason.
        recorded: the manifest of the run that these data are read for; None for a new run.
        take_new: whether examples that this run does not know are taken.
        changes: what has changed since that run was trained.
        overfit_batches: so many batches of the training set, or as a float that share of them, are
            all that is trained on; 0 for all.

    Raises:
        InputError: (in `prepare_data` or `setup`) data that cannot be had, damaged files, or a
            `val_size` that leaves nothing to train on.
    """

    label: str
    shape: tuple[int, ...]
    kind: ClassVar[Kind] = "image"
    bounded: bool = True
    class_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    covariate_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    extractor: ClassVar[str] = ""
    judged_on: Literal["test", "val"] = "test"
    overfit_batches: int | float = 0

    recorded: Manifest | None = None
    take_new: bool = False
    changes: Changes | None = None

    train: Examples
    val: Examples
    test: Examples
    reference: Examples  # some of training and validation, the same whatever the seed

    @validate_call
    def __init__(
        self,
        *,
        data_dir: Path = Path("data"),
        batch_size: Annotated[int, Field(ge=2, lt=2**63)] = 256,
        val_size: NonNegativeInt = 0,
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
    ) -> None:
        super().__init__()
        self.preprocessing: dict[str, Any] = {}
        self.remarks: list[str] = []
        self.left_out: dict[str, list[str]] = {}
        self.data_dir = data_dir
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed

    @classmethod
    def is_in(cls, data_dir: Path) -> bool:
        """Whether this data set's files lie in `data_dir`; True where it needs none."""
        return True

    def load(self) -> tuple[Examples, ...]:
        """All training examples and all test examples; or the training examples, a validation set
        of the data's own, and the test examples."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if hasattr(self, "test"):  # Lightning asks once for fitting and once for testing
            return
        self._arrange(*self.load())
        if self.recorded:
            self._arrange_as_recorded(self.recorded)
        self._say(self.inventory)

    @property
    def inventory(self) -> str:
        """A line on what was read and what was left out."""
        parts = {"training": self.train, "validation": self.val, "test": self.test}
        n = sum(map(len, parts.values()))
        classes = f" in {len(self.class_names)} classes" if self.class_names else ""
        what = f"{self.label}: {n:,} {THINGS[self.kind]}{classes}, {_size(self.shape, self.kind)}"
        splits = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
        left_out = ", ".join(f"{len(names):,} {why}" for why, names in self.left_out.items())
        seen = np.concatenate([self.train.digests, self.val.digests])
        copies = int(np.isin(self.test.digests, seen).sum())
        clauses = [
            what,
            *self.remarks,
            splits,
            *([f"copies of other examples in the test set: {copies:,}"] if copies else []),
            *([f"left out: {left_out}"] if left_out else []),
        ]
        return "; ".join(clauses)

    @property
    def manifest(self) -> Manifest:
        """What a run remembers of these data."""
        low, high = to_floats(self.reference.values).aminmax()
        parts = [self.train, self.val, self.test]
        description = Description(
            label=self.label,
            kind=self.kind,
            shape=self.shape,
            bounded=self.bounded,
            class_names=self.class_names,
            factor_names=self.factor_names,
            covariate_names=self.covariate_names,
            feature_names=self.feature_names,
            range=(low.item(), high.item()),
            examples=dict(zip(SPLITS, map(len, parts), strict=True)),
            named=all(part.names is not None for part in parts),
            preprocessing=self.preprocessing,
            inventory=self.inventory,
            left_out={why: list(names) for why, names in self.left_out.items()},
        )
        return record(description, parts, self.reference)

    def _arrange(self, train: Examples, *others: Examples) -> None:
        """Take a training, perhaps a validation, and a test set."""
        *own_val, self.test = others
        everything = join([train, *own_val]) if own_val else train
        self._check_kind(everything)
        size = len(train) if own_val else len(everything) - self.val_size
        if size < 2:
            raise InputError(
                f"dataset.val_size={self.val_size}: leaves fewer than two of {len(everything)}"
                f" examples to train on; allowed: at most {len(everything) - 2}"
            )
        some = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
        many = max(2, min(REFERENCE, REFERENCE_NUMBERS // math.prod(everything.shape)))
        self.reference = everything.subset(some[:many].sort().values)
        self.train, self.val = (train, *own_val) if own_val else self.split(everything, size)

    def _arrange_as_recorded(self, manifest: Manifest) -> None:
        """Take the splits and the numbers of classes that a run's manifest has, and say what has
        changed since."""
        parts = [
            number_classes(manifest, self.class_names, part)
            for part in (self.train, self.val, self.test)
        ]
        sets, self.reference, self.changes = restore(manifest, parts, self.take_new)
        self.train, self.val, self.test = sets
        known = manifest.description.class_names
        if known and (unknown := [n for n in self.class_names if printable(n) not in known]):
            self._say(
                f"{self.label}: left out: classes that the run does not know: {', '.join(unknown)}"
            )
        if lines := self.changes.of(*SPLITS):
            left_out = any(self.changes.new.values()) and not self.take_new
            how = "; new ones are left out (allow_changed_data=true takes them)" if left_out else ""
            self._say(f"{self.label}: since the run was trained, {', '.join(lines)}{how}")
        self.class_names = manifest.description.class_names

    @rank_zero_only
    def _say(self, line: str) -> None:
        print(line)

    def class_name(self, label: int) -> str:
        """What a label means; nothing for -1, or where there are no classes."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else ""

    @property
    def spec(self) -> dict[str, Any]:
        """What a model is told of its data, by the names of its arguments."""
        return {
            "shape": self.shape,
            "kind": self.kind,
            "bounded": self.bounded,
            "classes": len(self.class_names),
        }

    @property
    def reader(self) -> dict[str, Any]:
        """How its examples are read from files, as JSON takes it: new ones are read alike."""
        return {}

    def in_units(self, x: Tensor) -> Tensor:
        """Vectors (n, features) in the units of their source, if they were standardised."""
        return x

    def pixels(self, x: Tensor) -> Tensor:
        """Images (n, C, H, W) as they are shown: in [0, 1], grey or in three colours.

        What is not in [0, 1] is scaled by the range of the reference examples; of other numbers of
        channels the mean is shown.
        """
        if not self.bounded:
            low, high = to_floats(self.reference.values).aminmax()
            x = (x - low.to(x)) / (high - low).clamp_min(1e-12).to(x)
        return x if x.shape[1] in (1, 3) else x.mean(1, keepdim=True)

    def _check_kind(self, examples: Examples) -> None:
        """Raise InputError where the data are not what the data set says."""
        found, dimensions = examples.shape, DIMENSIONS[self.kind]
        if len(found) != len(dimensions):
            raise InputError(
                f"{self.label}: kind={self.kind} is of the shape ({', '.join(dimensions)}), its"
                f" examples are of {found}; {type(self).__name__} must say which kind they are:"
                f" {', '.join(DIMENSIONS)}"
            )
        if (names := set(self.covariate_names)) != set(examples.covariates):
            raise InputError(
                f"{self.label}: says that its covariates are {sorted(names)}, its examples have"
                f" {sorted(examples.covariates)}"
            )

    def refuse_changes(self, *splits: str) -> None:
        """Raise InputError if examples of these splits are not as the run has them, unless new ones
        are taken."""
        lines = self.changes.of(*splits, new=False) if self.changes and not self.take_new else []
        if lines:
            raise InputError(
                f"{self.label}: since the run was trained, {', '.join(lines)}; put them back, or"
                " set allow_changed_data=true for what is there now"
            )

    def judge_on(self, split: Literal["test", "val"]) -> None:
        """Have models judged on the test set or on the validation set.

        Raises:
            InputError: there is no validation set.
        """
        self.setup()
        if split == "val" and not len(self.val):
            raise InputError(
                "evaluation.split=val: there is no validation set with dataset.val_size=0; set a"
                " larger dataset.val_size"
            )
        self.judged_on = split

    @property
    def held_out(self) -> Examples:
        """The examples that models are judged on, see `judged_on`."""
        return self.val if self.judged_on == "val" else self.test

    @property
    def held_out_name(self) -> str:
        """What they are called."""
        return {"test": "test", "val": "validation"}[self.judged_on]

    def split(self, everything: Examples, size: int) -> tuple[Examples, Examples]:
        """`size` examples to train on, and the others to validate on."""
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(self.seed))
        train, val = order[:size].sort().values, order[size:].sort().values
        return everything.subset(train), everything.subset(val)

    def train_dataloader(self) -> DataLoader:
        batches = self._batches(self.train, shuffle=True)
        if len(batches) == 0:  # of one example for each process
            raise InputError(
                f"dataset.val_size={self.val_size}: leaves {len(self.train)} examples to train on,"
                f" where {batches.num_replicas} processes need two each; lower it, or"
                " trainer.devices"
            )
        return self._loader(self._overfitted(batches) if self.overfit_batches else batches)

    def val_dataloader(self) -> DataLoader | list[Any]:
        return self._loader(self._batches(self.val)) if len(self.val) else []

    def test_dataloader(self) -> DataLoader:
        return self._loader(self._batches(self.test))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Scale on the device, where bytes travel four times lighter than floats."""
        return scaled(batch)

    def _overfitted(self, batches: Batches) -> Batches:
        """The first `overfit_batches` of a training epoch's batches, the same in every epoch."""
        asked, known = self.overfit_batches, len(batches)
        n = min(asked, known) if isinstance(asked, int) else int(asked * known)
        if n == 0:
            raise InputError(
                f"trainer.overfit_batches={asked}: less than one of {known} batches; give 1 or"
                f" more, or a share of at least 1/{known}"
            )
        if self.trainer and self.trainer.is_global_zero:
            print(f"trainer.overfit_batches={asked}: trains on the same {n} of {known} batches")
        first = batches.examples.subset(slice(n * self.batch_size * batches.num_replicas))
        return self._batches(first, shuffle=True, repeat=True)

    def _batches(
        self, examples: Examples, *, shuffle: bool = False, repeat: bool = False
    ) -> Batches:
        place: dict[str, int] = {}
        if self.trainer:
            examples = examples.to(place_for(examples, self.trainer.strategy.root_device))
            place = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
            processes = self.trainer.world_size
            if not shuffle and len(examples) < processes:  # one would wait for the others for ever
                raise InputError(
                    f"dataset.val_size={self.val_size}: {len(examples)} examples do not go round"
                    f" {processes} processes; allowed: 0, or at least {processes}"
                )
        return Batches(
            examples, self.batch_size, shuffle=shuffle, repeat=repeat, seed=self.seed, **place
        )

    def _loader(self, batches: Batches) -> DataLoader:
        # No worker processes: indexing a tensor is faster than handing a batch between processes.
        # A generator of its own: a loader draws a seed for workers, which would shift the models'.
        generator = torch.Generator()
        return DataLoader(
            batches.examples,
            batch_size=None,
            sampler=batches,
            collate_fn=as_it_is,
            generator=generator,
        )


def _size(shape: tuple[int, ...], kind: Kind) -> str:
    """An example's shape as the inventory shows it."""
    if kind == "image":
        channels, height, width = shape
        return f"{height}x{width}x{channels}"
    return f"{shape[0]} columns" if kind == "vector" else f"{shape[0]} channels of {shape[1]} steps"
