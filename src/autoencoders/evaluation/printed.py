"""What is printed of one trained model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text
from torch import nn

from autoencoders.evaluation.advice import far_from_prior
from autoencoders.evaluation.catalogue import FLOOR, headlines
from autoencoders.evaluation.catalogue import columns as columns_of
from autoencoders.files import shown
from autoencoders.models import AutoEncoder
from autoencoders.terminal import console, print_files


def print_model(model: nn.Module) -> None:
    """A line for each of the model's networks, with its parameters: shared ones count once, and
    those that no network owns come last."""
    counted: set[int] = set()
    for name, network in (*model.named_children(), ("others", model)):
        new = [p for p in network.parameters() if id(p) not in counted]
        counted |= {id(parameter) for parameter in new}
        if count := sum(parameter.numel() for parameter in new):
            console().print(f"{name:<15}{count:>12,} parameters")


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
    screen = console()
    columns = columns_of(samplers, metrics, split) if verbose else headlines(samplers, split)
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
    screen.print(table)
    print_files(folder, verbose)


def print_advice(model: AutoEncoder, metrics: dict[str, float]) -> None:
    """What the numbers suggest to change, if they suggest anything."""
    if line := far_from_prior(model, metrics):
        console().print(line)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
