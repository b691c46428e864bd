"""Figures of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.figures.style import INK, PALETTE, headed


def bars(
    groups: Sequence[tuple[str, Mapping[str, float]]],
    title: str,
    ylabel: str,
    note: str = "",
    floor: tuple[str, float] | None = None,
    stds: Sequence[Mapping[str, float]] = (),
) -> Figure:
    """Grouped bars, each with its value.

    Args:
        groups: pairs of a group's name, below the axis, and its bars' heights by name.
        ylabel: what the heights are.
        floor: name and height of a line that no bar can be expected to fall below.
        stds: for each group standard deviations by bar, which error bars show; a bar may lack one.
    """
    names = list(dict.fromkeys(name for _, heights in groups for name in heights))
    figure = Figure(
        figsize=(max(7.0, 0.8 * len(groups) * len(names) + 1), 4.2), layout="constrained"
    )
    axes = figure.subplots()
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        places = [x + (i - (len(names) - 1) / 2) * width for x in range(len(groups))]
        heights = [values.get(name, np.nan) for _, values in groups]
        spread = [values.get(name, 0.0) for values in stds] or None
        container = axes.bar(
            places,
            heights,
            0.92 * width,
            yerr=spread,
            color=PALETTE[i % len(PALETTE)],
            error_kw={"ecolor": "black", "lw": 1.5},
            label=name,
        )
        axes.bar_label(container, [f"{h:.3g}" for h in heights], fontsize=9, padding=2)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups], fontsize=11)
    axes.set_ylabel(ylabel)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    if floor:
        label = f"{floor[0]} ({floor[1]:.3g})"
        axes.axhline(floor[1], color="black", ls="--", lw=1.2, zorder=3, label=label)
        low, high = axes.get_ylim()
        axes.set_ylim(bottom=min(low, floor[1]) - 0.03 * (high - low))  # off the axis
    if len(names) > 1 or floor:
        axes.legend(
            frameon=False, ncols=len(names) + 1, loc="lower center", bbox_to_anchor=(0.5, 1)
        )
    return headed(figure, title, note)


def parallel_coordinates(
    settings: Mapping[str, Sequence[float | str]],
    objective: tuple[str, Sequence[float]],
    title: str,
    note: str = "",
) -> Figure:
    """A line for each trial of a search, through its settings to what it reached.

    Args:
        settings: by name, a value for each trial; an axis each: logarithmic where the largest is
            over ten times the least, and with a mark for each of them where they are words.
        objective: its name and values, the last axis; the lower, the darker the line.
    """
    columns = {**settings, objective[0]: objective[1]}
    figure = Figure(figsize=(2.2 * len(columns) + 1, 4.6), layout="constrained")
    axes = figure.subplots()
    heights = []
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    number: dict[str, Any] = {"color": INK, "va": "center", "bbox": white, "zorder": 3}
    for x, (name, values) in enumerate(columns.items()):
        are_words = any(isinstance(value, str) for value in values)
        words = sorted(set(map(str, values))) if are_words else []
        numbers = np.array([words.index(str(v)) if are_words else float(v) for v in values])
        log = numbers.min() > 0 and numbers.max() > 10 * numbers.min()
        scaled = np.log(numbers) if log else numbers
        low, span = scaled.min(), max(np.ptp(scaled), 1e-12)
        heights.append((scaled - low) / span)
        axes.plot([x, x], [0, 1], color=INK, lw=1)
        for height in np.linspace(0, 1, len(words) or 3):
            value = np.exp(low + height * span) if log else low + height * span
            text = words[round(value)] if words else f"{value:.3g}"
            axes.text(x + 0.03, height, text, fontsize=9, **number)
        axes.text(x, 1.08, f"{name}{' (log)' if log else ''}", ha="center", fontsize=11, color=INK)
    lines = np.array(heights).T
    for line in lines[np.argsort(-lines[:, -1])]:  # the best on top
        axes.plot(range(len(columns)), line, lw=1.8, color=colormaps["viridis"](0.9 * line[-1]))
    axes.set_xlim(-0.3, len(columns) - 0.5)
    axes.set_ylim(-0.05, 1.15)
    axes.axis("off")
    return headed(figure, title, note)


def class_shares(
    shares: Mapping[str, Tensor], class_names: Sequence[str], title: str, note: str = ""
) -> Figure:
    """How often each class occurs in several sets of images.

    Args:
        shares: by set, (classes,) each.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(shares)
    for i, (name, share) in enumerate(shares.items()):
        places = np.arange(len(class_names)) + (i - (len(shares) - 1) / 2) * width
        colour = PALETTE[6] if i == 0 else PALETTE[i - 1]  # grey for what the others stand against
        axes.bar(places, 100 * share.numpy(), 0.95 * width, color=colour, label=name)
    axes.set_xticks(range(len(class_names)), class_names)
    axes.set_ylabel("share of images, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(shares), loc="lower center", bbox_to_anchor=(0.5, 1))
    return headed(figure, title, note)
