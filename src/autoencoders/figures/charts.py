"""Figures of numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from autoencoders.figures.style import INK, PALETTE, headed, label_plainly

# Of a decade: matplotlib's own labels there are formulas, which a figure is saved without.
LOG_TICKS = (1, 2, 5)


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
    log: Mapping[str, bool] | None = None,
    higher: bool = False,
) -> Figure:
    """A line for each trial of a search, through its settings to what it reached.

    Args:
        settings: by name, a value for each trial; an axis each, with a mark for each of them where
            they are words, and at whole numbers alone where they are whole.
        objective: its name and values, the last axis; the better, the darker the line.
        log: by name, whether an axis is logarithmic; one that is not named is so where the largest
            value is over ten times the least.
        higher: whether higher values of the objective are better, rather than lower ones.
    """
    columns = {**settings, objective[0]: objective[1]}
    figure = Figure(figsize=(2.2 * len(columns) + 2, 4.6), layout="constrained")
    axes = figure.subplots()
    scales = [_Scale.of(values, (log or {}).get(name)) for name, values in columns.items()]
    for x, (name, scale) in enumerate(zip(columns, scales, strict=True)):
        _axis(axes, x, name, scale)
    lines = np.array([scale.heights for scale in scales]).T
    shades = colormaps["viridis"](np.linspace(0, 0.9, 256))  # no faint yellow
    dark = ListedColormap(shades[::-1] if higher else shades)
    for line in lines[np.argsort(lines[:, -1] if higher else -lines[:, -1])]:  # the best on top
        axes.plot(range(len(columns)), line, lw=1.8, color=dark(line[-1]))
    axes.set_xlim(-0.3, len(columns) - 0.5)
    axes.set_ylim(-0.05, 1.15)
    axes.axis("off")
    norm = (LogNorm if scales[-1].log else Normalize)(min(objective[1]), max(objective[1]))
    ticks = LogLocator(subs=LOG_TICKS) if scales[-1].log else None
    mappable = ScalarMappable(norm, dark)
    colours = figure.colorbar(mappable, ax=axes, shrink=0.8, ticks=ticks, format="{x:g}")
    colours.minorticks_off()
    if scales[-1].log:
        label_plainly(colours.ax.yaxis)
    colours.set_label(f"{objective[0]}, the darker the better")
    return headed(figure, title, note)


class _Scale(NamedTuple):
    """Values on an axis: their heights between 0 and 1, and its marks as heights and texts."""

    heights: np.ndarray
    marks: list[tuple[float, str]]
    log: bool

    @classmethod
    def of(cls, values: Sequence[float | str], log: bool | None) -> "_Scale":
        if any(isinstance(value, str) for value in values):
            words = sorted(set(map(str, values)))
            places = np.linspace(0, 1, len(words)) if len(words) > 1 else np.zeros(1)
            height = dict(zip(words, places.tolist(), strict=True))
            heights = np.array([height[str(value)] for value in values])
            return cls(heights, [(h, word) for word, h in height.items()], False)
        numbers = np.array(values, dtype=float)
        least, largest = numbers.min(), numbers.max()
        log = bool(least > 0 and (largest > 10 * least if log is None else log))
        scale, marks = (np.log, np.geomspace) if log else (np.asarray, np.linspace)
        low, span = scale(least), max(scale(largest) - scale(least), 1e-12)
        whole = all(isinstance(value, int) for value in values)
        ticks = np.unique(marks(least, largest, 3).round() if whole else marks(least, largest, 3))
        texts = [f"{tick:,.0f}" if whole else f"{tick:.3g}" for tick in ticks]
        places = (scale(ticks) - low) / span
        return cls((scale(numbers) - low) / span, list(zip(places, texts, strict=True)), log)


def _axis(axes: Axes, x: int, name: str, scale: _Scale) -> None:
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    axes.plot([x, x], [0, 1], color=INK, lw=1)
    for height, text in scale.marks:
        axes.text(x + 0.03, height, text, fontsize=9, color=INK, va="center", bbox=white, zorder=3)
    heading = f"{name} (log)" if scale.log else name
    axes.text(x, 1.08, heading, ha="center", fontsize=11, color=INK)


def loss_curves(history: Mapping[str, Mapping[int, float]], title: str, note: str = "") -> Figure:
    """A panel for each term of an objective, training beside validation.

    Args:
        history: by name, `train/<term>` or `val/<term>`, values by epoch from 1. The terms are
            those of training; a panel is logarithmic where the largest value is over ten times the
            least.
    """
    terms = [name.removeprefix("train/") for name in history if name.startswith("train/")]
    columns = min(len(terms), 3)
    lines = -(-len(terms) // columns)
    figure = Figure(figsize=(3.7 * columns + 0.3, 2.8 * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for term, axes in zip(terms, panels, strict=False):
        values: list[float] = []
        stages = (("train", "training", PALETTE[0]), ("val", "validation", PALETTE[5]))
        for stage, label, colour in stages:
            points = history.get(f"{stage}/{term}", {})
            marker = "o" if len(points) <= 30 else ""
            axes.plot(
                list(points), list(points.values()), color=colour, marker=marker, ms=4, label=label
            )
            values += points.values()
        if min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=LOG_TICKS))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            label_plainly(axes.yaxis)
        axes.set_title(term.replace("_", " "), fontsize=11, color=INK)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels:  # those that are left
        axes.axis("off")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
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
