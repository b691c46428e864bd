"""Figures of images and codes: tensors in, matplotlib Figures out, no model and no disk.

The palette is Okabe & Ito's, which colour-blind readers can tell apart, and two more for ten
classes.
"""

import logging
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#999999",
    "#F0E442",
    "#000000",
    "#882255",
)
INK = "#333333"
GAP = 2  # pixels between images
BLOCK_GAP = 14  # and between groups of them


def montage(rows: Sequence[Tensor]) -> Tensor:
    """Rows of as many images each, (n, C, H, W) in [0, 1], as one image (C, height, width)."""
    columns, channels, height, width = rows[0].shape
    canvas = torch.ones(channels, len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    for i, row in enumerate(rows):
        for j, image in enumerate(row.detach().float().cpu()):
            top, left = i * (height + GAP), j * (width + GAP)
            canvas[:, top : top + height, left : left + width] = image
    return canvas.clamp(0, 1)


def image_rows(rows: Sequence[tuple[str, Tensor]], title: str, note: str = "") -> Figure:
    """Rows of images, each with its label.

    Args:
        rows: pairs of a label and images in [0, 1], (n, C, H, W), as many in each row.
        title: of the figure.
        note: a footnote, such as the run's parameters.
    """
    canvas = montage([images for _, images in rows])
    pitch = canvas.shape[1] + GAP
    figure, axes = _image_figure(canvas, title, note, label_width=1.3)
    axes.set_yticks([(i + 0.5) * pitch / len(rows) - GAP / 2 for i in range(len(rows))])
    axes.set_yticklabels([label for label, _ in rows], fontsize=11, color=INK)
    return figure


def image_grid(images: Tensor, title: str, note: str = "") -> Figure:
    """Images in [0, 1], (n, C, H, W) with n a square, as a square grid."""
    side = int(len(images) ** 0.5)
    figure, axes = _image_figure(montage(images[: side**2].split(side)), title, note)
    axes.set_yticks([])
    return figure


def image_blocks(
    blocks: Sequence[Sequence[tuple[str, Tensor]]], columns: int, title: str, note: str = ""
) -> Figure:
    """Groups of labelled rows of images in a grid, the labels at the left of it.

    Args:
        blocks: each rows as in `image_rows`, of one shape and with the same labels; in reading
            order.
        columns: of the grid.
    """
    labels = [label for label, _ in blocks[0]]
    canvases = [montage([images for _, images in block]) for block in blocks]
    channels, height, width = canvases[0].shape
    lines = len(blocks) // columns
    step_down, step_right = height + BLOCK_GAP, width + BLOCK_GAP
    canvas = torch.ones(channels, lines * step_down - BLOCK_GAP, columns * step_right - BLOCK_GAP)
    for i, block in enumerate(canvases):
        top, left = i // columns * step_down, i % columns * step_right
        canvas[:, top : top + height, left : left + width] = block
    figure, axes = _image_figure(canvas, title, note, label_width=1.3)
    pitch = (height + GAP) / len(labels)
    starts = [
        line * step_down + (row + 0.5) * pitch
        for line in range(lines)
        for row in range(len(labels))
    ]
    axes.set_yticks([start - GAP / 2 for start in starts], labels * lines, fontsize=9, color=INK)
    return figure


def latent_space(
    codes: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    prior_std: float,
    title: str,
    note: str,
) -> Figure:
    """Codes on their first two principal components, by class, beside all their coordinates'
    histogram against the prior's density.

    Args:
        codes: (N, latent_dim).
        labels: (N,), indices into `class_names`.
        prior_std: sigma of the prior N(0, sigma^2 I).
    """
    points = codes.float().cpu().numpy()
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    plane, share = principal_plane(codes)
    _scatter(left, plane, labels, class_names, size=5)
    left.set_title(f"Test codes by class (PCA, {share:.0%} of the variance)", fontsize=11)
    left.set_xlabel("first component")
    left.set_ylabel("second component")
    left.legend(
        markerscale=3, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )

    spread = max(4 * prior_std, float(np.abs(points).max()))
    grid = np.linspace(-spread, spread, 400)
    density = np.exp(-0.5 * (grid / prior_std) ** 2) / (prior_std * np.sqrt(2 * np.pi))
    edges = np.linspace(-spread, spread, 101)
    right.hist(points.ravel(), edges, density=True, color=PALETTE[4], label="codes")
    right.plot(grid, density, color=PALETTE[5], lw=2, label=f"prior N(0, {prior_std**2:g})")
    right.set_title("All coordinates of the codes against the prior", fontsize=11)
    right.set_xlabel("coordinate")
    right.set_ylabel("density")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    return _headed(figure, title, note)


def embeddings(
    columns: Sequence[tuple[str, Tensor]],
    labels: Tensor,
    class_names: Sequence[str],
    title: str,
    note: str = "",
) -> Figure:
    """PCA above t-SNE of several representations of the same N images, coloured by class.

    Args:
        columns: pairs of a name and points, (N, d) each.
        labels: (N,), indices into `class_names`.
    """
    figure = Figure(figsize=(2.7 * len(columns) + 1.2, 6.2), layout="constrained")
    axes = figure.subplots(2, len(columns), squeeze=False)
    for column, (name, points) in enumerate(columns):
        above, below = axes[:, column]
        plane, share = principal_plane(points)
        _scatter(above, plane, labels, class_names, size=3)
        above.set_title(name, fontsize=12, color=INK)
        above.set_xlabel(f"{share:.0%} of the variance", fontsize=9, color=INK)
        _scatter(below, tsne(points), labels, class_names, size=3)
        for panel in (above, below):
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_color("#cccccc")
            panel.spines[:].set_visible(True)
    axes[0, 0].set_ylabel("PCA", fontsize=12, color=INK)
    axes[1, 0].set_ylabel("t-SNE", fontsize=12, color=INK)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", markerscale=4, frameon=False)
    return _headed(figure, title, note)


def principal_plane(points: Tensor) -> tuple[np.ndarray, float]:
    """Points (N, d) on their first two principal components, (N, 2), and those' share of the
    variance. One-dimensional points lie on a line."""
    from sklearn.decomposition import PCA  # takes a second: only who draws it pays

    values = points.flatten(1).float().cpu().numpy()
    if not np.ptp(values, axis=0).any():  # one point, or all at one place
        return np.zeros((len(values), 2)), 1.0
    components = min(2, *values.shape)
    pca = PCA(components, random_state=0).fit(values)
    plane = np.zeros((len(values), 2))
    plane[:, :components] = pca.transform(values)
    return plane, float(pca.explained_variance_ratio_.sum())


def tsne(points: Tensor) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008) of points (N, d), (N, 2), from a PCA start."""
    from openTSNE import TSNE  # interpolates on a grid, several times as fast as a tree for 10,000

    logging.getLogger("openTSNE").setLevel(logging.ERROR)  # it tells of its choices as warnings
    values = points.flatten(1).float().cpu().numpy()
    if len(values) < 5:  # too few to have neighbours
        return principal_plane(points)[0]
    if values.shape[1] == 1:  # on a line, which the start needs as a plane
        values = np.hstack([values, np.zeros_like(values)])
    perplexity = min(30.0, (len(values) - 1) / 3)
    return np.asarray(
        TSNE(perplexity=perplexity, random_state=0, n_jobs=torch.get_num_threads()).fit(values)
    )


def bars(
    groups: Sequence[tuple[str, Mapping[str, float]]],
    title: str,
    ylabel: str,
    note: str = "",
    floor: tuple[str, float] | None = None,
) -> Figure:
    """Grouped bars, each with its value.

    Args:
        groups: pairs of a group's name, below the axis, and its bars' heights by name.
        ylabel: what the heights are.
        floor: name and height of a line that no bar can be expected to fall below.
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
        drawn = axes.bar(places, heights, 0.92 * width, color=PALETTE[i % len(PALETTE)], label=name)
        axes.bar_label(drawn, [f"{h:.3g}" for h in heights], fontsize=9, padding=2)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups], fontsize=11)
    axes.set_ylabel(ylabel)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    if floor:
        axes.axhline(floor[1], color=INK, ls="--", lw=1, label=f"{floor[0]} ({floor[1]:.3g})")
    if len(names) > 1 or floor:
        axes.legend(
            frameon=False, ncols=len(names) + 1, loc="lower center", bbox_to_anchor=(0.5, 1)
        )
    return _headed(figure, title, note)


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
        named = any(isinstance(value, str) for value in values)
        words = sorted(set(map(str, values))) if named else []
        numbers = np.array([words.index(str(v)) if named else float(v) for v in values])
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
    return _headed(figure, title, note)


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
    return _headed(figure, title, note)


def _scatter(
    axes: Axes, plane: np.ndarray, labels: Tensor, class_names: Sequence[str], size: float
) -> None:
    """Points (N, 2) by class, in a random order, so that no class lies on top of the others."""
    classes = labels.cpu().numpy()
    order = np.random.default_rng(0).permutation(len(plane))
    colours = np.array(PALETTE)[classes % len(PALETTE)]
    x, y = plane[order].T
    axes.scatter(x, y, s=size, linewidths=0, c=colours[order])
    for index, name in enumerate(class_names):  # for the legend
        axes.scatter([], [], s=size, linewidths=0, color=PALETTE[index % len(PALETTE)], label=name)
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)


def _headed(figure: Figure, title: str, note: str) -> Figure:
    figure.suptitle(title, fontsize=14, color=INK)
    _footnote(figure, note)
    return figure


def save(figure: Figure, file: BinaryIO, dpi: int) -> None:
    """Write a figure as PNG, its names and values as they are: a `$` begins no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    figure.savefig(file, format="png", dpi=dpi)


def _footnote(figure: Figure, note: str) -> None:
    """In as many lines as the figure's width asks for."""
    figure.supxlabel(textwrap.fill(note, int(16 * figure.get_figwidth())), fontsize=8, color=INK)


def _image_figure(canvas: Tensor, title: str, note: str, label_width: float = 0.0) -> tuple:
    """A figure that holds one canvas (C, height, width) and its bare axes."""
    height, width = canvas.shape[1:]
    inches = 9 / max(width, height)
    figure = Figure(
        figsize=(width * inches + label_width, height * inches + 0.55), layout="constrained"
    )
    axes = figure.subplots()
    axes.imshow(
        canvas.permute(1, 2, 0).squeeze(2).numpy(),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=14, color=INK)
    _footnote(figure, note)
    return figure, axes
