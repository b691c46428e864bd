"""What a run, a comparison and a multirun print at their end."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from autoencoders.comparison.table import FLOOR, Comparison
from autoencoders.evaluation import catalogue
from autoencoders.evaluation.advice import far_from_prior
from autoencoders.files import FIGURES, METRICS, shown
from autoencoders.models import AutoEncoder
from autoencoders.runs.jobs import Job, is_job, rounded


def print_model(model: nn.Module) -> None:
    """A line for each of the model's networks, with its parameters: shared ones count once, and
    those that no network owns come last."""
    counted: set[int] = set()
    for name, network in (*model.named_children(), ("others", model)):
        new = [p for p in network.parameters() if id(p) not in counted]
        counted |= {id(parameter) for parameter in new}
        if count := sum(parameter.numel() for parameter in new):
            _console().print(f"{name:<15}{count:>12,} parameters")


@contextmanager
def stages(work: str) -> Iterator[Callable[[str], None]]:
    """What shows each stage of some work as it begins: on a terminal in one line, which goes when
    all is done, else a plain line each; but none for a multirun's jobs."""
    console = _console()
    if console.is_terminal:
        with console.status(work) as status:
            yield lambda stage: status.update(f"{work}: {stage}")
    elif is_job():
        yield lambda stage: None
    else:
        yield lambda stage: print(f"{work}: {stage}", flush=True)


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that metrics.json can hold; a line names those that are NaN or infinite."""
    kept = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if len(kept) < len(metrics):
        names = ", ".join(name for name in metrics if name not in kept)
        _console().print(f"not in metrics.json, since NaN or infinite: {names}")
    return kept


def print_run(
    metrics: dict[str, float],
    samplers: Sequence[str],
    folder: Path,
    split: Literal["test", "val"] = "test",
    verbose: bool = False,
) -> None:
    """The run's numbers by section, and where everything lies.

    Args:
        samplers: the names of those that it was evaluated with.
        split: what it was measured on.
        verbose: all numbers and figures, in place of those that matter most.
    """
    console = _console()
    if verbose:
        columns = catalogue.columns(samplers, metrics, split)
    else:
        columns = catalogue.headlines(samplers, split)
    title = {"test": "Test", "val": "Validation"}[split]
    table = Table(title=f"{title} of {shown(folder)}", title_justify="left")
    for heading in ("", "", "value", FLOOR):
        table.add_column(heading, justify="right" if heading else "left")
    section = ""
    for column in columns:
        if column.key not in metrics:
            continue
        new = column.section != section
        if new:
            table.add_section()
            section = column.section
        floor = metrics.get(column.floor or "")
        table.add_row(
            Text(section if new else "", "bold"),
            column.name,
            _number(metrics[column.key]),
            "" if floor is None else _number(floor),
        )
    console.print(table)
    _print_files(console, folder, verbose)


def print_advice(model: AutoEncoder, metrics: dict[str, float]) -> None:
    """What the numbers suggest to change, if they suggest anything."""
    if line := far_from_prior(model, metrics):
        _console().print(line)


def print_comparison(comparison: Comparison, folder: Path) -> None:
    """The comparison's table, turned and in sections as a terminal is narrow, and its files."""
    console = _console()
    for section, columns in comparison.sections():
        table = Table(title=f"{section}: {comparison.label}", title_justify="left")
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
    _print_files(console, folder, verbose=True)


def print_jobs(jobs: list[Job], command: str | None) -> None:
    """What became of a multirun's jobs, and the command that goes on with those that are left."""
    table = Table(title=f"Jobs of {shown(jobs[0].folder.parent)}", title_justify="left")
    for heading in ("job", "overrides", "status", str(jobs[0].config.objective)):
        table.add_column(heading)
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        status, result = job.outcome()
        own = " ".join(override for override in job.overrides if override not in shared)
        result = result if isinstance(result, str) else f"{result:.4g}"
        table.add_row(str(job.number), rounded(own), status, result)
    _console().print(table)
    if command:
        print(f"continue with: {command}")


def _console() -> Console:
    """For paths and values, which are printed as they are: no markup, emoji or highlights."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _print_files(console: Console, folder: Path, verbose: bool) -> None:
    folder = shown(folder)
    figures = sorted([*folder.glob(f"{FIGURES}/*.png"), *folder.glob("*.png")])
    files = [
        *([("figure", file) for file in figures] if verbose else [("figures", folder / FIGURES)]),
        ("metrics", folder / METRICS),
        ("table", folder / "comparison.md"),
        ("page", folder / "index.html"),
        ("folder", folder),
    ]
    for kind, file in files:
        if file.exists():
            console.print(f"{kind:<9}{file}")
