"""Diagrams that explain: the reparameterization trick, what a regulariser does."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Patch
from torch import Tensor

from autoencoders.figures.codes import scatter
from autoencoders.figures.images import montage
from autoencoders.figures.style import INK, PALETTE, headed, pale

BLUE, ORANGE, GREEN = PALETTE[:3]
RED, GREY = PALETTE[5], PALETTE[6]

# The reparameterization trick --------------------------------------------------------------------

Place = tuple[float, float]
Gradient = bool  # whether one flows back along an arrow


def reparameterization() -> Figure:
    """The VAE's computation with a plain draw, which stops the gradient, and with the trick."""
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    plain, trick = figure.subplots(1, 2)
    plain.set_title("A plain draw stops the gradient", fontsize=12, color=INK)
    z = _node(plain, (6.2, 3), r"$z \sim N(\mu,\ \sigma^2)$", ORANGE, width=2.6)
    _around(plain, z, learns=False)
    plain.plot([4.85, 4.85], [3.85, 2.15], "x", color=RED, ms=14, mew=3.5, zorder=5, ls="")
    text = "no gradient passes a draw:\nthe cost cannot teach the encoder"
    plain.text(7.6, 1.0, text, color=RED, ha="center", va="center", fontsize=10)
    trick.set_title("With the trick the noise is one more input", fontsize=12, color=INK)
    z = _node(trick, (6.2, 3), r"$z = \mu + e^{\log\sigma^2/2}\,\varepsilon$", GREEN, width=2.6)
    _around(trick, z, learns=True)
    eps = _node(trick, (6.2, 1), r"$\varepsilon \sim N(0, I)$", GREY, width=2.1)
    _flow(trick, eps, z, gradient=False)
    text = "the only noise:\nnothing behind it learns"
    trick.text(7.5, 1, text, fontsize=9, color=INK, va="center")
    for axes in (plain, trick):
        axes.set_xlim(0, 10.6)
        axes.set_ylim(0.3, 5.8)
        axes.set_aspect("equal")
        axes.axis("off")
    handles = [
        Line2D([], [], color=INK, lw=1.5, marker=">", label="computation, forwards"),
        Line2D([], [], color=RED, lw=1.5, ls="--", marker="<", label="gradient, backwards"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return headed(figure, "The reparameterization trick", "")


def _around(axes: Axes, z: FancyBboxPatch, learns: Gradient) -> None:
    """All boxes but the code's: the encoder's, which learn where the gradient gets by z, and the
    decoder's, which always do."""
    x = _node(axes, (0.5, 3), "$x$", GREY, width=0.7)
    encoder = _node(axes, (1.9, 3), "encoder", BLUE, width=1.4)
    mean = _node(axes, (3.6, 4.6), r"$\mu$", BLUE, width=1.3)
    log_var = _node(axes, (3.6, 1.4), r"$\log \sigma^2$", BLUE, width=1.3)
    decoder = _node(axes, (8.9, 3), "decoder", BLUE, width=1.4)
    x_hat = _node(axes, (8.9, 4.9), r"$\hat{x}$", GREY, width=0.7)
    axes.text(9.4, 4.9, r"$c(x, \hat{x})$", fontsize=11, color=INK, va="center")
    _flow(axes, x, encoder, gradient=False)
    for head in (mean, log_var):
        _flow(axes, encoder, head, gradient=learns)
        _flow(axes, head, z, gradient=learns)
    _flow(axes, z, decoder, gradient=True)
    _flow(axes, decoder, x_hat, gradient=True)


def _node(axes: Axes, place: Place, text: str, colour: str, width: float) -> FancyBboxPatch:
    x, y = place
    style = "round,pad=0,rounding_size=0.15"
    box = FancyBboxPatch((x - width / 2, y - 0.4), width, 0.8, boxstyle=style, lw=1.5, zorder=3)
    box.set(facecolor=pale(colour), edgecolor=colour)
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", fontsize=11, color="black", zorder=4)
    return box


def _flow(axes: Axes, start: FancyBboxPatch, end: FancyBboxPatch, gradient: Gradient) -> None:
    """An arrow between two boxes, and the gradient's way back beside it."""
    a, b = (np.array([p.get_x() + p.get_width() / 2, p.get_y() + 0.4]) for p in (start, end))
    axes.add_patch(_arrow(a, b, start, end, INK, "-"))
    if gradient:
        along = (b - a) / np.hypot(*(b - a))
        beside = 0.2 * np.array([along[1], -along[0]])
        axes.add_patch(_arrow(b + beside, a + beside, end, start, RED, "--"))


def _arrow(
    a: np.ndarray, b: np.ndarray, start: Patch, end: Patch, colour: str, style: str
) -> FancyArrowPatch:
    """From a in one patch to b in another, drawn outside of both."""
    arrow = FancyArrowPatch(
        (a[0], a[1]), (b[0], b[1]), patchA=start, patchB=end, arrowstyle="-|>", mutation_scale=12
    )
    arrow.set(color=colour, linestyle=style, linewidth=1.5)
    return arrow


# What a regulariser does -------------------------------------------------------------------------

ELLIPSES = 60  # posteriors that are drawn


class Plane(NamedTuple):
    """A model with two latent dimensions.

    label: its name.
    codes: (N, 2), posterior means.
    decoded: at the points of `plane_grid`, (side^2, C, H, W) in [0, 1].
    stds: of the posteriors, (N, 2); None where they are points.
    """

    label: str
    codes: Tensor
    decoded: Tensor
    stds: Tensor | None = None


def plane_grid(side: int, prior_std: float) -> Tensor:
    """Codes (side^2, 2) at quantiles of the prior N(0, prior_std^2 I), in reading order: the second
    coordinate falls from row to row, the first grows along it."""
    quantiles = prior_std * torch.special.ndtri((torch.arange(side) + 0.5) / side)
    rows, columns = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return torch.stack([columns, rows], dim=2).flatten(0, 1)


def latent_planes(
    planes: Sequence[Plane],
    labels: Tensor,
    class_names: Sequence[str],
    prior_std: float,
    title: str,
    note: str = "",
) -> Figure:
    """Codes by class above what decodes between them, a column for each model.

    Circles stand at one and two standard deviations of the prior, ellipses at one of a posterior.

    Args:
        labels: (N,), indices into `class_names`.
        prior_std: sigma of the prior N(0, sigma^2 I).
    """
    figure = Figure(figsize=(3.9 * len(planes) + 0.9, 8.0), layout="constrained")
    axes = figure.subplots(2, len(planes), squeeze=False, height_ratios=(1, 1))
    for plane, (above, below) in zip(planes, axes.T, strict=True):
        _codes(above, plane, labels, class_names, prior_std)
        canvas = montage(plane.decoded.split(math.isqrt(len(plane.decoded))))
        below.imshow(canvas.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
        below.axis("off")
    axes[1, 0].set_title("decoded at quantiles of the prior", fontsize=10, color=INK, loc="left")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False)
    return headed(figure, title, note)


def _codes(
    axes: Axes, plane: Plane, labels: Tensor, class_names: Sequence[str], prior_std: float
) -> None:
    scatter(axes, plane.codes.cpu().numpy(), labels, class_names)
    for radius in (prior_std, 2 * prior_std):
        axes.add_patch(Circle((0, 0), radius, fill=False, ec="black", ls="--", lw=1.2))
    if plane.stds is not None:
        several = zip(plane.codes[:ELLIPSES], plane.stds, labels, strict=False)
        for (x, y), (width, height), label in several:
            colour = PALETTE[int(label) % len(PALETTE)]
            ellipse = Ellipse((float(x), float(y)), 2 * float(width), 2 * float(height))
            ellipse.set(facecolor=colour + "30", edgecolor=colour, linewidth=0.8)
            axes.add_patch(ellipse)
    reach = max(2.3 * prior_std, 1.05 * float(plane.codes.abs().max()))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal", adjustable="box")
    axes.set_title(plane.label, fontsize=12, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
