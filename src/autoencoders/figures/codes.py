"""Figures of codes."""

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.figures.style import INK, OTHERS, PALETTE, explain, headed

ROUNDING = 1e-6  # of single precision, over the size of numbers
LEAST = 5  # points that have neighbours


def latent_space(
    codes: Tensor,
    draws: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    prior: Tensor,
    title: str,
    note: str,
) -> Figure:
    """Codes on their first two principal components, by class, beside a histogram of all draws'
    coordinates against the prior's.

    Args:
        codes: posterior means, (N, latent_dim).
        draws: from the same posteriors, (N, latent_dim): a regulariser makes these the prior's, not
            the means, which lie closer together.
        labels: (N,), indices into `class_names`.
        prior: draws from the prior, (M, latent_dim).
    """
    of_prior = prior.float().cpu().numpy().ravel()
    coordinates = draws.float().cpu().numpy().ravel()
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    plane, share = principal_plane(codes)
    scatter(left, plane, labels, class_names)
    left.set_title(f"Codes by class (PCA, {_in_words(share)})", fontsize=11)
    left.set_xlabel("first component")
    left.set_ylabel("second component")
    if class_names:
        left.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

    spread = max(float(np.abs(of_prior).max()), float(np.abs(coordinates).max()))
    edges = np.linspace(-spread, spread, 101)
    right.hist(coordinates, edges, density=True, color=PALETTE[4], label="draws from the posterior")
    outline = {"histtype": "step", "color": PALETTE[5], "lw": 2}
    right.hist(of_prior, edges, density=True, label="draws from the prior", **outline)
    right.set_title("All coordinates of the codes against the prior", fontsize=11)
    right.set_xlabel("coordinate")
    right.set_ylabel("density")
    right.margins(y=0.25)  # room for the legend
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    return headed(figure, title, note)


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
        scatter(above, plane, labels, class_names)
        above.set_title(name, fontsize=12, color=INK)
        above.set_xlabel(_in_words(share), fontsize=9, color=INK)
        if len(points) < LEAST:
            explain(below, f"fewer than {LEAST} points")
        elif not vary(points):
            explain(below, "all points are equal")
        else:
            scatter(below, tsne(points), labels, class_names)
        for panel in (above, below):
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_color("#cccccc")
            panel.spines[:].set_visible(True)
    axes[0, 0].set_ylabel("PCA", fontsize=12, color=INK)
    axes[1, 0].set_ylabel("t-SNE", fontsize=12, color=INK)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False)
    return headed(figure, title, note)


def principal_plane(points: Tensor) -> tuple[np.ndarray, float]:
    """Points (N, d) on their first two principal components, (N, 2), and those' share of the
    variance, NaN where they have none. One-dimensional points lie on a line."""
    from sklearn.decomposition import PCA  # takes a second: only who draws it pays

    if not vary(points):
        return np.zeros((len(points), 2)), math.nan
    values = _centred(points)
    components = min(2, *values.shape)
    pca = PCA(components, random_state=0).fit(values)
    plane = np.zeros((len(values), 2))
    plane[:, :components] = pca.transform(values)
    return plane, float(pca.explained_variance_ratio_.sum())


def _in_words(share: float) -> str:
    return "no variance" if math.isnan(share) else f"{share:.0%} of the variance"


def _centred(points: Tensor) -> np.ndarray:
    """Points (N, d) less their mean, (N, d), in double precision: the rounding of a large mean, and
    of its square, would count as variance."""
    values = points.flatten(1).double().cpu().numpy()
    return values - values.mean(0)


def vary(points: Tensor) -> bool:
    """Whether points (N, d) differ by more than rounding does."""
    values = points.flatten(1).double()
    spread = values.amax(0) - values.amin(0)
    return bool((spread > ROUNDING * values.abs().amax(0)).any())


def tsne(points: Tensor) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008) of at least five points (N, d) that are not all equal,
    (N, 2), from a PCA start."""
    from openTSNE import TSNE  # interpolates on a grid, several times as fast as a tree for 10,000

    logging.getLogger("openTSNE").setLevel(logging.ERROR)  # it tells of its choices as warnings
    values = _centred(points).astype(np.float32)
    if values.shape[1] == 1:  # on a line, which the start needs as a plane
        values = np.hstack([values, np.zeros_like(values)])
    perplexity = min(30.0, (len(values) - 1) / 3)
    return np.asarray(
        TSNE(perplexity=perplexity, random_state=0, n_jobs=torch.get_num_threads()).fit(values)
    )


def scatter(axes: Axes, plane: np.ndarray, labels: Tensor, class_names: Sequence[str]) -> None:
    """Points (N, 2) by class, those of no class, -1, in grey; in a random order, so that no class
    covers the others; the fewer, the larger."""
    size = np.clip(10_000 / max(len(plane), 1), 3, 30)  # square points
    classes = labels.cpu().numpy()
    order = np.random.default_rng(0).permutation(len(plane))
    colours = np.where(classes < 0, OTHERS, np.array(PALETTE)[classes % len(PALETTE)])
    x, y = plane[order].T
    axes.scatter(x, y, s=size, linewidths=0, c=colours[order])
    for index, name in enumerate(class_names):  # for the legend
        axes.scatter([], [], s=40, linewidths=0, color=PALETTE[index % len(PALETTE)], label=name)
    if (classes < 0).any():
        axes.scatter([], [], s=40, linewidths=0, color=OTHERS, label="no label")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)
