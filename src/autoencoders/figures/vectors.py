"""Figures of vectors and their features, such as cells and their genes."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.figures.style import INK, PALETTE, explain, headed, label_plainly

LEAST = 1e-6  # of its largest number: a narrower range cannot be cut into bins
NAMED = 6  # features that are named in a panel, those of the largest variance


def moments(real: Tensor, generated: Mapping[str, Tensor], title: str, note: str = "") -> Figure:
    """A row of panels for each generated set: its features' means and variances against the real
    ones', and both sets' totals.

    Args:
        real: (N, features).
        generated: by the set's name, (M, features) each.
    """
    figure = Figure(figsize=(10, 3.1 * len(generated) + 0.6), layout="constrained")
    axes = figure.subplots(len(generated), 3, squeeze=False)
    for (name, values), (left, middle, right) in zip(generated.items(), axes, strict=True):
        for panel, moment in ((left, "mean"), (middle, "variance")):
            x, y = (v.mean(0) if moment == "mean" else v.var(0) for v in (real, values))
            _against(panel, x, y)
            panel.set_xlabel(f"{moment}, real examples", fontsize=9)
            panel.set_ylabel(f"{moment}, {name}", fontsize=9)
        totals = [v.double().sum(1).numpy() for v in (real, values)]
        edges = np.linspace(*_most(np.concatenate(totals)), 41)
        right.hist(totals[0], edges, density=True, color=PALETTE[6], label="real examples")
        right.hist(
            totals[1], edges, density=True, color=PALETTE[0], label=name, histtype="step", lw=2
        )
        right.set_xlabel("sum over an example's features", fontsize=9)
        right.set_yticks([])
        right.legend(frameon=False, fontsize=8)
        right.spines[["top", "right", "left"]].set_visible(False)
    return headed(figure, title, note)


def _most(values: np.ndarray) -> tuple[float, float]:
    """The range of all but the outermost values, wide enough for a histogram."""
    low, high = np.quantile(values, [0.002, 0.998])
    wider = max(0.0, LEAST * max(abs(low), abs(high), 1.0) - (high - low))
    return low - wider, high + wider


def errors(
    variances: Tensor,
    by_model: Mapping[str, Tensor],
    names: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    """A panel for each model: its squared error by feature against the feature's variance. On the
    line it knows no more than the mean; below, the more. Features without variance or error have no
    place on logarithmic axes.

    Args:
        variances: of the features, (features,).
        by_model: mean squared errors, (features,) each.
        names: of the features; empty where they have none.
    """
    columns = math.ceil(math.sqrt(len(by_model)))
    lines = math.ceil(len(by_model) / columns)
    size = (max(4.2 * columns, 7.0), 3.6 * lines + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, (label, error) in zip(panels, by_model.items(), strict=False):
        _errors(panel, variances, error, names)
        panel.set_title(f"{label}: {_known(variances, error)}", fontsize=11, color=INK)
    for panel in panels[len(by_model) :]:
        panel.set_visible(False)
    figure.supylabel("mean squared error", fontsize=9)
    return headed(figure, title, note)


def _errors(panel: Axes, variances: Tensor, error: Tensor, names: Sequence[str]) -> None:
    """A model's panel."""
    shown = ((variances > 0) & (error > 0)).nonzero()[:, 0]
    hidden = len(error) - len(shown)
    unseen = f"; {hidden:,} at 0 not shown" if hidden else ""
    panel.set_xlabel(f"variance of the feature{unseen}", fontsize=9)
    if not len(shown):
        explain(panel, "no error" if variances.any() else "all examples are equal")
        return
    variances, error = variances[shown], error[shown]
    _against(panel, variances, error)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        label_plainly(axis)
    if names:
        _name_largest(panel, variances, error, [names[i] for i in shown.tolist()])


def _known(variances: Tensor, error: Tensor) -> str:
    """What a model knows of the features, in words."""
    if not variances.sum() > 0:
        return "no variance to know"
    unknown = (error.sum() / variances.sum()).item()
    if unknown > 1:
        return f"error {unknown:.3g} times the variance"
    return f"{1 - unknown:.0%} of the variance"


def _name_largest(panel: Axes, variances: Tensor, error: Tensor, names: Sequence[str]) -> None:
    """Names right of a panel with logarithmic axes, one below the other."""
    largest = variances.topk(min(NAMED, len(names))).indices
    low, high = panel.get_ylim()
    line = (high / low) ** (1 / 24)  # of text
    height = math.inf
    for index in largest[error[largest].argsort(descending=True)].tolist():
        dot = variances[index].item(), error[index].item()
        height = min(dot[1], height / line)
        panel.annotate(
            names[index],
            dot,
            xytext=(1.02, height),
            textcoords=panel.get_yaxis_transform(),
            fontsize=7,
            color=INK,
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": INK, "relpos": (0, 0.5)},
        )


class Block(NamedTuple):
    """Examples of a heat map: their name, values (n, features) and classes (n,)."""

    name: str
    values: Tensor
    labels: Tensor


def heat_map(
    blocks: Sequence[Block],
    features: Sequence[str],
    class_names: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    """Blocks of examples one above the other, each sorted by class; a column for each feature, in
    standard deviations from its mean over the first block."""
    first = blocks[0].values
    mean, std = first.mean(0), first.std(0).clamp_min(1e-6)
    figure = Figure(figsize=(max(7.0, 0.26 * len(features) + 2.5), 7.5), layout="constrained")
    axes = figure.subplots(len(blocks), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, values, labels) in zip(axes, blocks, strict=True):
        order = labels.argsort(stable=True)
        scaled = ((values[order] - mean) / std).numpy()
        image = panel.imshow(
            scaled, aspect="auto", cmap="viridis", vmin=-1, vmax=2.5, interpolation="nearest"
        )
        _mark_classes(panel, labels[order], class_names)
        panel.set_ylabel(name, fontsize=11, color=INK)
    axes[-1].set_xticks(range(len(features)), features, rotation=90, fontsize=7)
    bar = figure.colorbar(image, ax=list(axes), shrink=0.5, pad=0.01)
    bar.set_label("standard deviations from the mean", fontsize=9)
    return headed(figure, title, note)


def _mark_classes(panel: Axes, labels: Tensor, class_names: Sequence[str]) -> None:
    """Names beside the rows of each class, and a line where it ends."""
    classes, counts = labels.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    for end in ends[:-1].tolist():
        panel.axhline(end - 0.5, color="white", lw=1)
    middles = (ends - counts / 2 - 0.5).tolist()
    names = [class_names[index] if index >= 0 else "no label" for index in classes]
    panel.set_yticks(middles, names, fontsize=7)
    panel.tick_params(length=0)


def _against(panel: Axes, x: Tensor, y: Tensor) -> None:
    """A dot for each feature, and the line on which both are equal."""
    panel.scatter(x.numpy(), y.numpy(), s=6, color=PALETTE[0], alpha=0.5, linewidths=0)
    ends = [min(x.min(), y.min()).item(), max(x.max(), y.max()).item()]
    panel.plot(ends, ends, color=INK, lw=1, ls="--")
    panel.spines[["top", "right"]].set_visible(False)
