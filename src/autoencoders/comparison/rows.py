"""Finished runs as the rows of a table: which share a row, and what the row is called."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from autoencoders.errors import InputError

# What a run's numbers depend on, beside the data and the callbacks.
OF_NUMBERS = ("model", "network", "optimizer", "scheduler", "trainer", "ckpt_path")


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """What dotted keys are called in figures and tables: their last part, such as lr for
    optimizer.lr and discriminator_lr for model.discriminator_optimizer.lr; their last two where two
    end alike."""
    known = {key: key.replace("_optimizer.", "_").split(".") for key in keys}
    last = Counter(parts[-1] for parts in known.values())
    return {
        k: ".".join(parts[-2:] if last[parts[-1]] > 1 else parts[-1:]) for k, parts in known.items()
    }


class FinishedRun(NamedTuple):
    """A finished and evaluated run, as far as its files tell without its weights.

    dataset: its name in `dataset=`.
    model: the model's name in figures and tables.
    config: as composed, in plain values.
    conditions: what its evaluation depended on.
    command: that trains it.
    began: when it began to train, as text.
    """

    folder: Path
    dataset: str
    model: str
    config: dict[str, Any]
    metrics: dict[str, float]
    conditions: dict[str, Any]
    command: str = ""
    began: str = ""

    def settings(self) -> dict[str, Any]:
        """The part of the config that the numbers depend on, but for the seed."""
        kept = {key: self.config.get(key) for key in OF_NUMBERS}
        dataset = self.config["dataset"].items()
        kept["dataset"] = {k: v for k, v in dataset if k not in ("data_dir", "seed")}
        chosen = (self.config.get("callbacks") or {}).items()
        kept["callbacks"] = {
            name: {k: v for k, v in callback.items() if k != "_target_"}
            for name, callback in chosen
            if name != "lr_monitor"  # which changes no number
        }
        return kept

    def seeds(self) -> list[Any]:
        """What else of the config the numbers depend on: the seeds of training and of the split."""
        return [self.config.get("seed"), self.config["dataset"].get("seed")]


def by_data(runs: list[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs on one data set together: those whose examples are the same, or of which the seed
    chooses the examples, those of one name."""
    groups: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in runs:
        fixed = run.conditions["split"] != "val"
        examples = str(run.conditions["examples"]) if fixed else ""
        groups.setdefault((str(run.conditions["dataset"]), examples), []).append(run)
    return list(groups.values())


def check_comparable(runs: list[FinishedRun]) -> None:
    """Raise InputError where two runs' numbers mean different things."""
    first = runs[0]
    keys = set(first.conditions)
    if first.conditions["split"] == "val":  # which the seed cuts, in which runs of a row differ
        keys.discard("examples")
    for run in runs[1:]:
        for key in sorted(keys):
            here, there = first.conditions[key], run.conditions.get(key)
            if there == here:
                continue
            if key == "examples":
                raise InputError(
                    f"runs on different data do not compare: the test examples of {run.folder} are"
                    f" not those of {first.folder}; leave one out"
                )
            what = "data sets" if key == "dataset" else f"evaluation settings ({key})"
            raise InputError(
                f"runs of different {what} do not compare: {first.folder} has {here},"
                f" {run.folder} has {there}; leave one out{_mending(key)}"
            )


def _mending(condition: str) -> str:
    """What else makes runs comparable that differ in a condition of their evaluations."""
    if condition == "dataset":
        return ""
    typed = {"extractor": "", "samplers": " evaluation.samplers.<name>.<setting>=..."}
    return ", or evaluate again with python evaluate.py run=<folder>" + typed.get(
        condition, f" evaluation.{condition}=..."
    )


def without_repeats(runs: list[FinishedRun]) -> list[FinishedRun]:
    """The runs without those that repeat another's settings and seed: of each the newest. A printed
    line for each of the others: it would count as a further seed, and is none."""
    newest: dict[str, FinishedRun] = {}
    for run in runs:
        key = json.dumps([run.settings(), run.seeds()], sort_keys=True)
        if (other := newest.get(key)) is None:
            newest[key] = run
            continue
        newest[key] = max(other, run, key=lambda run: run.began)
        repeated = other if newest[key] is run else run
        print(f"left out: {repeated.folder}: the same settings and seed as {newest[key].folder}")
    return list(newest.values())


def group_by_config(runs: list[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs that differ in nothing but the seed together, in the order of the models' names."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.settings(), sort_keys=True), []).append(run)
    return sorted(groups.values(), key=lambda group: group[0].model)


def labels(groups: list[list[FinishedRun]]) -> list[str]:
    """A name for each group: the model's, and where several share it, what sets them apart."""
    names = [_difference(group[0], [other[0] for other in groups]) for group in groups]
    count = Counter(names)
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name} #{seen[name]}" if count[name] > 1 and seen[name] > 1 else name)
    return numbered


def _difference(run: FinishedRun, others: list[FinishedRun]) -> str:
    same = [flat(other.settings()) for other in others if other.model == run.model]
    own = flat(run.settings())
    keys = [key for key in own if len({str(settings.get(key)) for settings in same}) > 1]
    if len(keys) > 2:  # a search: the numbers would not fit beside a row of images
        number = re.match(r"\d+(?=_\D)", run.folder.name)  # of a job, as in 0_model=ae,seed=1
        return f"{run.model} ({number[0] if number else run.folder.name})"
    apart = ", ".join(f"{key.rpartition('.')[2]} {_short(own[key])}" for key in keys)
    return f"{run.model} ({apart})" if apart else run.model


def varied_config(runs: list[FinishedRun]) -> dict[str, list[str]]:
    """The keys of the runs' configs in which they differ, a value for each run; empty text where it
    has no such key. What the model is called says its class."""
    configs = [flat(run.config) for run in runs]
    keys = {key for config in configs for key in config} - {"model._target_", "dataset.data_dir"}
    values = {
        key: ["" if (value := config.get(key)) is None else _short(value) for config in configs]
        for key in sorted(keys)
    }
    return {key: texts for key, texts in values.items() if len(set(texts)) > 1}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, dict)
        leaves |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return leaves
