"""Diagrams that explain: the reparameterization trick, networks, what a regulariser does."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from torch import Tensor, nn

from autoencoders.figures.codes import scatter
from autoencoders.figures.images import montage
from autoencoders.figures.style import INK, PALETTE, headed

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
    box.set(facecolor=_pale(colour), edgecolor=colour)
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


# Networks ----------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """What a layer makes.

    name: of its operations, a line each.
    shape: of its output for one example, (C, H, W) or (features,).
    parameters: how many it learns.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int


def layers(network: nn.Module, x: Tensor) -> list[Layer]:
    """What a network computes for x (B, *shape), in order.

    Each layer with a weight matrix or kernel begins a new entry, which normalization, activation
    and reshaping behind it join.
    """
    calls: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _: object, out: object) -> None:
        if isinstance(out, Tensor):  # a recurrent layer returns its state too
            calls.append((module, tuple(out.shape[1:])))

    # Padding belongs to the layer that follows, and flattening to no layer.
    skipped = nn.ZeroPad2d | nn.Flatten
    leaves = [m for m in network.modules() if not (list(m.children()) or isinstance(m, skipped))]
    handles = [module.register_forward_hook(note) for module in leaves]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(x)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    chain: list[Layer] = []
    for module, shape in calls:
        parameters = sum(p.numel() for p in module.parameters())
        name = _operation(module)
        if any(p.ndim > 1 for p in module.parameters()) or not chain:
            chain.append(Layer(name, shape, parameters))
        else:
            last = chain[-1]
            names = f"{last.name}\n{name}" if name else last.name
            chain[-1] = Layer(names, shape, last.parameters + parameters)
    return chain


def _operation(module: nn.Module) -> str:
    """A module in the field's words; nothing for what only reshapes or drops."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        kernel, stride = module.kernel_size[0], module.stride[0]
        kind = "conv" if isinstance(module, nn.Conv2d) else "transposed\nconv"
        return f"{kind} {kernel}x{kernel}" + (f"\nstride {stride}" if stride > 1 else "")
    if isinstance(module, nn.Unflatten | nn.Identity | nn.Dropout):
        return ""
    names = {"Linear": "linear", "BatchNorm2d": "batch norm", "BatchNorm1d": "batch norm"}
    return names.get(type(module).__name__, type(module).__name__)


def networks(
    rows: Sequence[Mapping[str, tuple[nn.Module, Tensor]]], title: str, note: str = ""
) -> Figure:
    """Networks as rows of boxes: maps as tall as they are, vectors as thin bars.

    Args:
        rows: for each row, networks by name with an input, (B, *shape), in the order of the
            computation; each begins with what it takes.
    """
    lines = [
        [
            (name, [Layer("input", tuple(x.shape[1:]), 0), *layers(network, x)])
            for name, (network, x) in row.items()
        ]
        for row in rows
    ]
    columns = max(sum(len(chain) for _, chain in line) for line in lines)
    figure = Figure(figsize=(1.17 * columns + 0.4, 2.75 * len(lines) + 0.5), layout="constrained")
    colours = itertools.cycle(PALETTE[:5])
    for axes, line in zip(figure.subplots(len(lines), 1, squeeze=False)[:, 0], lines, strict=True):
        x = 0
        for name, chain in line:
            _network(axes, x, name, chain, next(colours))
            x += len(chain)
        axes.set_xlim(-0.6, columns - 0.4)
        axes.set_ylim(-1.95, 1.75)
        axes.axis("off")
    return headed(figure, title, note)


def _network(axes: Axes, x: int, name: str, chain: Sequence[Layer], colour: str) -> None:
    """A network's boxes from x on, an arrow between each two, its name above."""
    parameters = sum(layer.parameters for layer in chain)
    heading = {"ha": "center", "fontsize": 11, "color": colour, "weight": "bold"}
    axes.text(x + (len(chain) - 1) / 2, 1.45, f"{name}: {parameters:,} parameters", heading)
    axes.plot([x - 0.35, x + len(chain) - 0.65], [1.36, 1.36], color=colour, lw=1.5)
    largest = max((layer.shape[-1] for layer in chain if len(layer.shape) == 3), default=1)
    for position, layer in enumerate(chain, start=x):
        _layer(axes, position, layer, colour if position > x else GREY, scale=1.05 / largest)
        if position > x:
            arrow = {"arrowstyle": "-|>", "color": INK}
            axes.annotate("", (position - 0.4, 0), (position - 0.6, 0), arrowprops=arrow)


def _layer(axes: Axes, x: int, layer: Layer, colour: str, scale: float) -> None:
    """One box: a map is a stack of squares, deeper the more channels; a vector is a bar."""
    if len(layer.shape) == 3:
        channels, height, width = layer.shape
        sheets = 1 + round(math.log2(channels) / 2)
        h, w = max(height * scale, 0.07), max(0.62 * width * scale, 0.05)
        shifts = [0.035 * (i - (sheets - 1) / 2) for i in reversed(range(sheets))]
    else:
        h, w, shifts = 0.13 * math.log2(math.prod(layer.shape) + 1), 0.1, [0.0]
    for shift in shifts:
        corner = (x - w / 2 + shift, -h / 2 + 1.5 * shift)
        axes.add_patch(Rectangle(corner, w, h, facecolor=_pale(colour), edgecolor=colour))
    axes.text(x, 0.9, " x ".join(map(str, layer.shape)), ha="center", fontsize=9, color=INK)
    text = layer.name + (f"\n{layer.parameters:,}" if layer.parameters else "")
    axes.text(x, -0.85, text, ha="center", va="top", fontsize=8, color=INK)


def _pale(colour: str) -> tuple[float, ...]:
    """The colour, three parts of four white."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(0.25 * part + 0.75 for part in parts)


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
