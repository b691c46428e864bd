"""What a run prints, and what it does not."""

import logging
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch import nn

from autoencoders.runs import METRICS, shown


def quiet_lightning() -> None:
    """Silence Lightning's notices that say nothing of the run at hand."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for notice in (
        "does not have many workers",  # data lies in memory
        "number of training batches",  # epochs are the x-axis, not steps
        "exists and is not empty",  # a run resumed in place
        "Total length of `list` across ranks is zero",  # no validation set
        "isinstance.treespec, LeafSpec",  # between Lightning and torch
    ):
        warnings.filterwarnings("ignore", f".*{notice}")


def print_model(model: nn.Module) -> None:
    """A line for each of the model's networks, with its parameters."""
    for name, network in model.named_children():
        if count := sum(parameter.numel() for parameter in network.parameters()):
            Console().print(f"{name:<15}{count:>12,} parameters", highlight=False)


def print_run(metrics: dict[str, float], folder: Path) -> None:
    """A table of the test metrics, and where the run's figures and folder lie."""
    table = Table(title="Test metrics", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        if not name.startswith(("train/", "val/")):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
    console = Console(soft_wrap=True)
    console.print(table)
    folder = shown(folder)
    for figure in sorted((folder / "figures").glob("*.png")):
        console.print(f"figure   {figure}", highlight=False)
    console.print(f"metrics  {folder / METRICS}", highlight=False)
    console.print(f"run      {folder}", highlight=False)
