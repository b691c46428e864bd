"""What a run prints, and what it does not."""

import logging
import math
import re
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from autoencoders.comparison.columns import SAMPLE_MEASURES, floor_of
from autoencoders.comparison.table import FLOOR, Comparison
from autoencoders.config import EVALUATED
from autoencoders.runs import METRICS, shown
from autoencoders.sweeps import Job

IMAGES = {  # by their prefix in metrics.json
    "reconstruction": "reconstructions",
    "prior": "samples",
    "mixture": "samples, mixture",
}


def quiet_lightning() -> None:
    """Silence Lightning's notices that say nothing of the run at hand."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # their reports
    for notice in (
        "does not have many workers",  # data lies in memory
        "number of training batches",  # epochs are the x-axis, not steps
        "exists and is not empty",  # a run resumed in place
        "Total length of `list` across ranks is zero",  # no validation set
        "It is recommended to use .self.log",  # over processes the metrics are averaged already
        "isinstance.treespec, LeafSpec",  # between Lightning and torch
    ):
        warnings.filterwarnings("ignore", f".*{notice}")


def print_model(model: nn.Module) -> None:
    """A line for each of the model's networks, with its parameters."""
    for name, network in model.named_children():
        if count := sum(parameter.numel() for parameter in network.parameters()):
            _console().print(f"{name:<15}{count:>12,} parameters")


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that metrics.json can hold; a line names those that are NaN or infinite."""
    found = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if len(found) < len(metrics):
        names = ", ".join(name for name in metrics if name not in found)
        _console().print(f"not in metrics.json, since NaN or infinite: {names}")
    return found


def print_run(metrics: dict[str, float], folder: Path) -> None:
    """The run's test metrics, what its evaluation found, and where everything lies."""
    console = _console()
    console.print(_plain_table(metrics))
    if "evaluation_seconds" in metrics:
        console.print(_images_table(metrics))
        console.print(_latent_table(metrics))
    _print_files(console, folder)


def print_comparison(comparison: Comparison, folder: Path) -> None:
    """The comparison's table, turned and in sections as a terminal is narrow, and its files."""
    console = _console()
    for section, columns in comparison.sections():
        table = Table(title=f"{section}: {comparison.conditions['dataset']}", title_justify="left")
        table.add_column("")
        table.add_column(FLOOR, justify="right", style="dim")
        for row in comparison.rows:
            table.add_column(row.label, justify="right")
        for column in columns:
            cells = [row.cells.get(column.key) for row in comparison.rows]
            marked = [
                "" if c is None else Text(str(c), "bold green" if c.best else "") for c in cells
            ]
            table.add_row(column.name, str(comparison.floor.get(column.key, "")), *marked)
        console.print(table)
    if differences := comparison.differences():
        console.print(differences)
    _print_files(console, folder)


def print_jobs(jobs: list[Job], command: str | None) -> None:
    """What became of a multirun's jobs, and the command that goes on with those that are left."""
    table = Table(title=f"Jobs of {shown(jobs[0].folder.parent)}", title_justify="left")
    for heading in ("job", "overrides", "status", str(jobs[0].config.objective)):
        table.add_column(heading)
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        status, result = job.outcome()
        own = " ".join(override for override in job.overrides if override not in shared)
        own = re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda n: f"{float(n[0]):.4g}", own)
        result = result if isinstance(result, str) else f"{result:.4g}"
        table.add_row(job.folder.name, own, status, result)
    _console().print(table)
    if command:
        print(f"continue with: {command}")


def _console() -> Console:
    """For paths and values, which are printed as they are: no markup, emoji or highlights."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _plain_table(metrics: dict[str, float]) -> Table:
    table = Table(title="Test metrics", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    hidden = ("train/", "val/", *EVALUATED)
    for name, value in metrics.items():
        if not name.startswith(hidden):
            table.add_row(name, _number(value))
    return table


def _images_table(metrics: dict[str, float]) -> Table:
    """What is generated against the test images, beside what real images reach."""
    table = Table(title="Against images that were held out", title_justify="left")
    table.add_column("")
    for heading in (FLOOR, *IMAGES.values()):
        table.add_column(heading, justify="right")
    for key, heading, _ in SAMPLE_MEASURES:
        if floor_of(key) in metrics:
            values = [metrics.get(k) for k in (floor_of(key), *(f"{of}/{key}" for of in IMAGES))]
            table.add_row(heading, *("" if v is None else _number(v) for v in values))
    return table


def _latent_table(metrics: dict[str, float]) -> Table:
    """The codes against the prior, and what can be read off them."""
    table = Table(title="Latent space", title_justify="left")
    table.add_column("")
    table.add_column("draws from the prior", justify="right", style="dim")
    table.add_column("codes", justify="right")
    for name, value in metrics.items():
        if name.startswith("latent/") and not name.endswith("_floor"):
            floor = metrics.get(f"{name}_floor")
            heading = name.removeprefix("latent/").replace("_", " ")
            table.add_row(heading, "" if floor is None else _number(floor), _number(value))
    return table


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _print_files(console: Console, folder: Path) -> None:
    folder = shown(folder)
    files = [
        *(
            ("figure", file)
            for file in sorted([*folder.glob("figures/*.png"), *folder.glob("*.png")])
        ),
        ("metrics", folder / METRICS),
        ("table", folder / "comparison.md"),
        ("page", folder / "index.html"),
        ("folder", folder),
    ]
    for kind, file in files:
        if file.exists():
            console.print(f"{kind:<9}{file}")
