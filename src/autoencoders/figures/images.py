"""Figures of images."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.figures.style import INK, footnote

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


def image_rows(
    rows: Sequence[tuple[str, Tensor]], title: str, note: str = "", captions: Sequence[str] = ()
) -> Figure:
    """Rows of images, each with its label.

    Args:
        rows: pairs of a label and images in [0, 1], (n, C, H, W), as many in each row.
        title: of the figure.
        note: a footnote, such as the run's parameters.
        captions: of the columns, below them.
    """
    canvas = montage([images for _, images in rows])
    pitch = canvas.shape[1] + GAP
    figure, axes = _image_figure(canvas, title, note, label_width=1.3)
    axes.set_yticks([(i + 0.5) * pitch / len(rows) - GAP / 2 for i in range(len(rows))])
    axes.set_yticklabels([label for label, _ in rows], fontsize=11, color=INK)
    if captions:
        step = (canvas.shape[2] + GAP) / len(captions)
        places = [(j + 0.5) * step - GAP / 2 for j in range(len(captions))]
        axes.set_xticks(places, captions, fontsize=9, color=INK)
        lines = max(caption.count("\n") + 1 for caption in captions)
        figure.set_figheight(figure.get_figheight() + 0.17 * lines)
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


def _image_figure(canvas: Tensor, title: str, note: str, label_width: float = 0.0) -> tuple:
    """A figure that holds one canvas (C, height, width) and its bare axes."""
    height, width = canvas.shape[1:]
    inches = 9 / max(width, height)
    figure = Figure(
        figsize=(width * inches + label_width, height * inches + 0.75), layout="constrained"
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
    footnote(figure, note)
    return figure, axes
