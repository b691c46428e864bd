"""Several finished runs in one table."""

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from autoencoders.comparison.rows import (
    FinishedRun,
    check_comparable,
    flat,
    group_by_config,
    labels,
    short_names,
    varied_config,
    without_repeats,
)
from autoencoders.evaluation import catalogue
from autoencoders.evaluation.catalogue import FLOOR, Column
from autoencoders.features import EXTRACTORS, shipped_classifier
from autoencoders.files import shown, write_whole
from autoencoders.metrics.base import Quantity

# In which runs must agree for their numbers to tell models apart.
SIZES = (
    "epochs",
    "model.latent_dim",
    "network.hidden_dim",
    "dataset.batch_size",
    "dataset.val_size",
)


class Cell(NamedTuple):
    """A row's value of a metric: mean and standard deviation over its runs (None for a single
    run), and whether no other row's mean is better."""

    mean: float
    std: float | None = None
    best: bool = False

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.2g}"
        whole = self.mean == int(self.mean) and abs(self.mean) >= 1
        return f"{self.mean:,.0f}{spread}" if whole else f"{self.mean:.4g}{spread}"


class Row(NamedTuple):
    """Runs that differ in nothing but the seed, and their values by the columns' keys."""

    label: str
    runs: list[FinishedRun]
    cells: dict[str, Cell]


class Comparison:
    """Finished runs as one table, a row for each configuration.

    Args:
        runs: at least one.

    Attributes:
        dataset: its name in `dataset=`; label: that in figures and tables.
        samplers: the names of those that samples were drawn with.
        rows: the models', without the floor.
        floor: what real examples reach, or draws from the prior where all runs have the same one,
            see `Column`.
        columns: those that any row has a value of.

    Raises:
        InputError: the runs are of different data sets or evaluated differently.
    """

    def __init__(self, runs: list[FinishedRun]) -> None:
        check_comparable(runs)
        runs = without_repeats(runs)
        self.dataset = runs[0].dataset
        self.conditions = runs[0].conditions
        self.label = str(self.conditions["dataset"])
        self.samplers = list(self.conditions["samplers"])
        groups = group_by_config(runs)
        known = {key for run in runs for key in run.metrics}
        columns = catalogue.columns(self.samplers, known, self.conditions["split"])
        self.columns = [c for c in columns if c.key in known]
        means = [
            {column.key: _mean(column.key, group) for column in self.columns} for group in groups
        ]
        self.rows = [
            Row(label, group, {c.key: cell for c in self.columns if (cell := _cell(c, i, means))})
            for i, (label, group) in enumerate(zip(labels(groups), groups, strict=True))
        ]
        floors = {c.key: _floor(c.floor, runs) for c in self.columns if c.floor}
        self.floor = {key: Cell(mean) for key, mean in floors.items() if mean is not None}

    @property
    def split(self) -> str:
        """What the images that models are judged on are called."""
        return {"test": "test", "val": "validation"}[self.conditions["split"]]

    @property
    def distance(self) -> Quantity:
        """What the Frechet distances in the table are called."""
        keys = {column.key.rpartition("/")[2] for column in self.columns}
        distances = [extractor.distance for extractor in EXTRACTORS]
        return next((d for d in distances if d.key in keys), distances[0])

    def sections(self) -> list[tuple[str, list[Column]]]:
        """The columns by section, in order."""
        names = dict.fromkeys(column.section for column in self.columns)
        return [(name, [c for c in self.columns if c.section == name]) for name in names]

    @property
    def objective(self) -> Column:
        """What the runs looked for the best of, where every row has it, else the Frechet distance
        of the first sampler's samples, else what the table begins with."""
        objectives = {str(run.config["objective"]) for row in self.rows for run in row.runs}
        keys = {*objectives} if len(objectives) == 1 else set()
        shared = [c for c in self.columns if all(c.key in row.cells for row in self.rows)]
        first = f"{next(iter(self.samplers), '')}/{self.distance.key}"
        named = [c for c in shared if c.key in keys and c.better]
        return (named or [c for c in shared if c.key == first] or shared)[0]

    def varied(self) -> dict[str, list[Any]]:
        """The settings in which rows differ, numbers or words, a value for each row."""
        settings_of = [flat(row.runs[0].settings()) for row in self.rows]
        shared = [k for k in settings_of[0] if all(k in settings for settings in settings_of)]
        values = {key: [settings[key] for settings in settings_of] for key in shared}
        varied = {
            key: those
            for key, those in values.items()
            if not key.endswith("_target_") and len(set(map(str, those))) > 1
            if all(isinstance(value, int | float | str) for value in those)
        }
        names = short_names(varied)
        return {names[key]: those for key, those in varied.items()}

    def varied_config(self) -> dict[str, list[str]]:
        """The keys of the configs in which runs differ, a value for each run, row by row."""
        return varied_config([run for row in self.rows for run in row.runs])

    def differences(self) -> str:
        """In which sizes the rows differ, and in epochs; empty where in none."""
        merged = [{**flat(run.settings()), **run.metrics} for row in self.rows for run in row.runs]
        parts = []
        for key in SIZES:
            values_of_key = {str(settings[key]) for settings in merged if key in settings}
            values = sorted(
                values_of_key, key=lambda value: (len(value), value)
            )  # as whole numbers
            if len(values) > 4:
                values = [f"{values[0]} to {values[-1]}"]
            if len(values_of_key) > 1:
                parts.append(f"{key} ({', '.join(values)})")
        return f"the runs differ in {', '.join(parts)}" if parts else ""

    def best(self, n: int) -> list[Row]:
        """Of more than n rows the n that reached the best objective, the best first."""
        if len(self.rows) <= n:
            return self.rows
        more = self.objective.better == "higher"
        return sorted(self.rows, key=lambda row: row.cells[self.objective.key].mean, reverse=more)[
            :n
        ]

    def write(self, folder: Path) -> None:
        """Write comparison.md, comparison.csv and comparison.json."""
        write_whole(folder / "comparison.md", self.to_markdown())
        write_whole(folder / "comparison.json", json.dumps(self.to_records(), indent=2) + "\n")
        write_whole(folder / "comparison.csv", self.to_csv())

    def to_markdown(self) -> str:
        """A table for each section, with the floor in the first row and best values in bold."""
        lines = [f"# {_escape(self.label)}", "", self.caption(), ""]
        if differences := self.differences():
            lines += [_escape(differences), ""]
        for section, columns in self.sections():
            lines += [f"## {section}", "", _line(["", *(column.name for column in columns)])]
            lines.append("|" + " --- |" + " ---: |" * len(columns))
            if any(column.key in self.floor for column in columns):
                lines.append(_line([FLOOR, *(str(self.floor.get(c.key, "")) for c in columns)]))
            for row in self.rows:
                cells = (_bold(row.cells.get(column.key)) for column in columns)
                lines.append(_line([_escape(row.label), *cells]))
            lines.append("")
        lines += ["Runs:", ""]
        lines += [
            f"- {_escape(row.label)}: {_escape(str(shown(run.folder)))}"
            for row in self.rows
            for run in row.runs
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """A line for each row of the table; standard deviations in columns of their own."""
        keys = [f"{column.key}{part}" for column in self.columns for part in ("", " std")]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["model", "runs", *keys])
        writer.writeheader()
        writer.writerows(self._flat_rows())
        return text.getvalue()

    def to_records(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "conditions": self.conditions,
            "floor": {key: cell.mean for key, cell in self.floor.items()},
            "rows": [
                {
                    "model": row.label,
                    "runs": [str(run.folder) for run in row.runs],
                    "metrics": {key: cell._asdict() for key, cell in row.cells.items()},
                }
                for row in self.rows
            ],
        }

    def caption(self) -> str:
        """What the numbers are, in a sentence or two."""
        n = self.conditions["images"]
        classifier = shipped_classifier(str(self.conditions.get("extractor")))
        features = f"{self.distance.name} names the features{classifier and f' ({classifier})'}"
        return (
            f"{n:,} examples of each kind against {n:,} {self.split} examples;"
            f" {features}. The row '{FLOOR}' is what training examples"
            " reach by the same measures (as nearest training example: held-out ones; in the latent"
            " space: draws from the prior); best values are marked; ± is the standard deviation"
            " over seeds."
        )

    def _flat_rows(self) -> Iterable[dict[str, Any]]:
        yield {"model": FLOOR, "runs": "", **{key: c.mean for key, c in self.floor.items()}}
        for row in self.rows:
            means = {key: cell.mean for key, cell in row.cells.items()}
            stds = {f"{k} std": c.std for k, c in row.cells.items() if c.std is not None}
            yield {"model": row.label, "runs": len(row.runs), **means, **stds}


def _mean(key: str, runs: list[FinishedRun]) -> Cell | None:
    values = [run.metrics[key] for run in runs if key in run.metrics]
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std)


def _floor(key: str, runs: list[FinishedRun]) -> float | None:
    values = [run.metrics[key] for run in runs if key in run.metrics]
    of_prior = key.endswith("_floor")
    if not values or (of_prior and not math.isclose(min(values), max(values), rel_tol=1e-3)):
        return None
    return statistics.fmean(values)


def _cell(column: Column, row: int, means: list[dict[str, Cell | None]]) -> Cell | None:
    """A row's cell, marked where it is the best of several that differ."""
    cell = means[row][column.key]
    others = [other[column.key] for other in means]
    values = [other.mean for other in others if other is not None]
    if cell is None or column.better is None or math.isclose(min(values), max(values)):
        return cell
    best = min(values) if column.better == "lower" else max(values)
    return cell._replace(best=math.isclose(cell.mean, best, rel_tol=1e-9))


def _escape(text: str) -> str:
    """Text as Markdown shows it literally, in a table too."""
    return re.sub(r"([\\`*<>|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bold(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"**{cell}**" if cell.best else str(cell)
