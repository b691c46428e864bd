"""Figures of images and codes: tensors in, matplotlib Figures out, no model and no disk.

The palette is Okabe & Ito's, which colour-blind readers can tell apart, and two more for ten
classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
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
    from sklearn.decomposition import PCA  # takes a second: only who draws it pays

    points = codes.float().cpu().numpy()
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    components = min(2, points.shape[1])
    pca = PCA(components).fit(points)
    plane = np.zeros((len(points), 2))
    plane[:, :components] = pca.transform(points)
    for index, name in enumerate(class_names):
        chosen = plane[labels.cpu().numpy() == index]
        left.scatter(*chosen.T, s=5, linewidths=0, color=PALETTE[index % len(PALETTE)], label=name)
    share = pca.explained_variance_ratio_.sum()
    left.set_title(f"Test codes by class (PCA, {share:.0%} of the variance)", fontsize=11)
    left.set_aspect("equal", adjustable="datalim")
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
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=14, color=INK)
    figure.supxlabel(note, fontsize=8, color=INK)
    return figure


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
    figure.supxlabel(note, fontsize=8, color=INK)
    return figure, axes
