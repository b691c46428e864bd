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

from omegaconf import OmegaConf

from autoencoders.comparison.columns import COLUMNS, Column
from autoencoders.comparison.runs import FinishedRun, check_comparable
from autoencoders.runs import shown, write_whole

FLOOR = "real images"
# In which runs must agree for their numbers to tell models apart.
SIZES = ("epochs", "model.latent_dim", "model.hidden_dim", "dataset.batch_size", "dataset.val_size")
MODEL_ORDER = tuple(f"autoencoders.models.{name}" for name in ("AE", "VAE", "WAEGAN", "WAEMMD"))


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
        rows: the models', without the floor.
        floor: what a perfect model would reach, see `Column`.
        columns: those that any row has a value of.

    Raises:
        InputError: the runs are of different data sets or evaluated differently.
    """

    def __init__(self, runs: list[FinishedRun]) -> None:
        check_comparable(runs)
        self.dataset = runs[0].dataset
        self.conditions = runs[0].conditions
        groups = group_by_config(runs)
        known = {key for run in runs for key in run.metrics}
        self.columns = [column for column in COLUMNS if column.key in known]
        means = [
            {column.key: _mean(column.key, group) for column in self.columns} for group in groups
        ]
        self.rows = [
            Row(label, group, {c.key: cell for c in self.columns if (cell := _cell(c, i, means))})
            for i, (label, group) in enumerate(zip(labels(groups), groups, strict=True))
        ]
        floors = {c.key: _mean(c.floor, runs) for c in self.columns if c.floor}
        self.floor = {key: Cell(cell.mean) for key, cell in floors.items() if cell is not None}

    @property
    def split(self) -> str:
        """What the images that models are judged on are called."""
        return {"test": "test", "val": "validation"}[self.conditions["split"]]

    @property
    def distance(self) -> str:
        """The measure whose values are Frechet distances: `fd_cnn` or `fid`."""
        return "fid" if self.conditions["features"] == "inception" else "fd_cnn"

    def sections(self) -> list[tuple[str, list[Column]]]:
        """The columns by section, in order."""
        names = dict.fromkeys(column.section for column in self.columns)
        return [(name, [c for c in self.columns if c.section == name]) for name in names]

    @property
    def objective(self) -> Column:
        """What the runs were to minimise, where every row has it, else the Frechet distance of
        samples from the prior, else what the table begins with."""
        asked = {str(run.cfg.objective) for row in self.rows for run in row.runs}
        keys = {*asked} if len(asked) == 1 else set()
        shared = [c for c in self.columns if all(c.key in row.cells for row in self.rows)]
        lowest = [c for c in shared if c.key in keys and c.better != "higher"]
        return (lowest or [c for c in shared if c.key == f"prior/{self.distance}"] or shared)[0]

    def varied(self) -> dict[str, list[Any]]:
        """The settings in which rows differ, numbers or words, a value for each row."""
        flat = [_flat(_settings(row.runs[0])) for row in self.rows]
        shared = [key for key in flat[0] if all(key in settings for settings in flat)]
        values = {key.rpartition(".")[2]: [settings[key] for settings in flat] for key in shared}
        return {
            key: those
            for key, those in values.items()
            if key != "_target_" and len(set(map(str, those))) > 1
            if all(isinstance(value, int | float | str) for value in those)
        }

    def differences(self) -> str:
        """In which sizes the rows differ, and in epochs; empty where in none."""
        flat = [{**_flat(_settings(run)), **run.metrics} for row in self.rows for run in row.runs]
        parts = []
        for key in SIZES:
            found = {str(settings[key]) for settings in flat if key in settings}
            values = sorted(found, key=lambda value: (len(value), value))  # as whole numbers
            if len(values) > 4:
                values = [f"{values[0]} to {values[-1]}"]
            if len(found) > 1:
                parts.append(f"{key} ({', '.join(values)})")
        return f"the runs differ in {', '.join(parts)}" if parts else ""

    def best(self, n: int) -> list[Row]:
        """Of more than n rows the n that reached the least objective, the least first."""
        if len(self.rows) <= n:
            return self.rows
        return sorted(self.rows, key=lambda row: row.cells[self.objective.key].mean)[:n]

    def write(self, folder: Path) -> None:
        """Write comparison.md, comparison.csv and comparison.json."""
        write_whole(folder / "comparison.md", self.to_markdown())
        write_whole(folder / "comparison.json", json.dumps(self.to_records(), indent=2) + "\n")
        write_whole(folder / "comparison.csv", self.to_csv())

    def to_markdown(self) -> str:
        """A table for each section, with the floor in the first row and best values in bold."""
        lines = [f"# {_escape(self.conditions['dataset'])}", "", self.caption(), ""]
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
        features = self.conditions["features"]
        return (
            f"{n:,} images of each kind against {n:,} {self.split} images, on the features of"
            f" {'the data set' + chr(39) + 's own CNN' if features == 'cnn' else 'Inception v3'}."
            f" The row '{FLOOR}' is what training images reach by the same measures (as nearest"
            " training image: held-out images; in the latent space: draws from the prior); best"
            " values are marked; ± is the standard deviation over seeds."
        )

    def _flat_rows(self) -> Iterable[dict[str, Any]]:
        yield {"model": FLOOR, "runs": "", **{key: c.mean for key, c in self.floor.items()}}
        for row in self.rows:
            means = {key: cell.mean for key, cell in row.cells.items()}
            stds = {f"{k} std": c.std for k, c in row.cells.items() if c.std is not None}
            yield {"model": row.label, "runs": len(row.runs), **means, **stds}


def group_by_config(runs: list[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs that differ in nothing but the seed together, in the order of the models' names."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
    order = {target: i for i, target in enumerate(MODEL_ORDER)}
    return sorted(groups.values(), key=lambda g: order.get(g[0].cfg.model._target_, len(order)))


def labels(groups: list[list[FinishedRun]]) -> list[str]:
    """A name for each group: the model's, and where several share it, what sets them apart."""
    from hydra.utils import get_class

    names = [str(get_class(group[0].cfg.model._target_).label) for group in groups]  # type: ignore[attr-defined]
    flat = [_flat(_settings(group[0])) for group in groups]
    found: list[str] = []
    for i, name in enumerate(names):
        same = [j for j, other in enumerate(names) if other == name]
        keys = [k for k in flat[i] if len({str(flat[j].get(k)) for j in same}) > 1]
        apart = ", ".join(f"{key.rpartition('.')[2]} {_short(flat[i][key])}" for key in keys)
        if len(keys) > 2:  # a search: the numbers would not fit beside a row of images
            apart = groups[i][0].folder.name
        label = f"{name} ({apart})" if apart else name
        again = sum(other.partition(" #")[0] == label for other in found)
        found.append(f"{label} #{again + 1}" if again else label)
    return found


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _settings(run: FinishedRun) -> dict[str, Any]:
    """The part of a run's config that its numbers depend on, but for the seed."""
    whole: Any = OmegaConf.to_container(run.cfg, resolve=False)
    kept = {key: whole.get(key) for key in ("model", "dataset", "trainer", "ckpt_path")}
    kept["dataset"] = {k: v for k, v in kept["dataset"].items() if k not in ("data_dir", "seed")}
    return kept


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, dict)
        found |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def _mean(key: str, runs: list[FinishedRun]) -> Cell | None:
    values = [run.metrics[key] for run in runs if key in run.metrics]
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Cell(statistics.fmean(values), std)


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
