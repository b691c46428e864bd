"""Figures of series."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.figures.style import INK, PALETTE, headed


def series_rows(rows: Sequence[tuple[str, Tensor]], title: str, note: str = "") -> Figure:
    """Rows of panels, each with its label; a line for each channel, on one scale throughout.

    Args:
        rows: pairs of a label and series (n, C, T), as many in each row.
    """
    columns = len(rows[0][1])
    figure = Figure(figsize=(1.9 * columns + 1.2, 1.2 * len(rows) + 0.9), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for (label, series), line in zip(rows, panels, strict=True):
        for panel, one in zip(line, series.detach().float().cpu(), strict=True):
            for i, channel in enumerate(one):
                panel.plot(channel, color=PALETTE[i % len(PALETTE)], lw=1.2)
            panel.spines[["top", "right"]].set_visible(False)
            panel.tick_params(labelsize=7)
        line[0].set_ylabel(label, fontsize=9, color=INK)
    return headed(figure, title, note)
