"""What a tested model leaves in its run's folder, and the same in its loggers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from autoencoders.data import DataModule, to_floats
from autoencoders.evaluation import (
    Evaluation,
    Settings,
    evaluate,
    of_evaluation,
    of_model,
    of_training,
)
from autoencoders.figures import style
from autoencoders.files import (
    EVALUATION,
    FIGURES,
    METRICS,
    SAMPLERS,
    open_whole,
    replace_together,
    write_whole,
)
from autoencoders.models import AutoEncoder
from autoencoders.runs.report import finite, stages
from autoencoders.samplers import Sampler
from autoencoders.training import EpochLogger, TensorBoard

PROJECTED = 2500  # codes in TensorBoard's projector, each with its thumbnail
DPI = 150


def finish(
    model: AutoEncoder,
    data: DataModule,
    metrics: dict[str, float],
    history: Mapping[str, Mapping[int, float]],
    evaluation: tuple[Settings, Mapping[str, Sampler]] | None,
    loggers: Sequence[EpochLogger],
    folder: Path,
) -> dict[str, float]:
    """Draw and evaluate a tested model; leave figures, samplers, evaluation.json and metrics.json
    in the folder, all at once, and the same in the run's loggers.

    Args:
        metrics: of training and test.
        history: by name, the `train/` and `val/` metrics of each epoch.
        evaluation: its settings and samplers; None leaves it out.
        loggers: the run's.
        folder: the run's, or of another of its checkpoints.

    Returns:
        The metrics, as metrics.json holds them.
    """
    epochs = int(metrics["epochs"])
    with stages("evaluation") as begin:
        measured = evaluate(model, data, *evaluation, begin) if evaluation else None
        begin("figures")
        figures = {**of_training(model, data, epochs, history), **of_model(model, data, epochs)}
        if measured:
            figures |= of_evaluation(model, data, epochs, measured)
    if measured:
        metrics = {**metrics, **measured.metrics}
        for line in measured.left_out:
            print(f"not measured: {line}")
    metrics = finite(metrics)
    with replace_together(folder) as new:
        save_figures(figures, new / FIGURES)
        if measured:
            for name, sampler in measured.samplers.items():
                sampler.save(new / SAMPLERS / f"{name}.safetensors")
            write_whole(new / EVALUATION, json.dumps(measured.conditions, indent=2) + "\n")
        last = max(epochs - 1, 0)  # where the curves end
        for logger in loggers:
            for name in figures:
                with Image.open(new / FIGURES / f"{name}.png") as image:
                    logger.log_image(f"figures/{name}", [image], last)
            if measured and isinstance(logger, TensorBoard):
                _project(logger.experiment, measured, data, last)
            logger.log_final(metrics, last)
        # Last: it marks the run as finished.
        write_whole(new / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    return metrics


def save_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write figures as <folder>/<name>.png."""
    for name, figure in figures.items():
        with open_whole(folder / f"{name}.png") as file:
            style.save(figure, file, DPI)


def _project(board: Any, measured: Evaluation, data: DataModule, epoch: int) -> None:
    """Show the test codes in TensorBoard's projector."""
    codes = measured.codes.mean[:PROJECTED]
    values, labels = measured.real[: len(codes)]
    names = [data.class_names[label] for label in labels] if data.class_names else None
    images = thumbnails(values, labels, bool(names)) if len(data.shape) == 3 else None
    tag = f"{measured.conditions['split']} codes"
    board.add_embedding(codes, names, images, epoch, tag)


def thumbnails(values: Tensor, labels: Tensor, classes: bool) -> Tensor:
    """Images (n, C, H, W) for the projector, which begins without colours for the classes: grey
    ones are drawn in their class's colour on white.

    Args:
        classes: whether the labels mean any.
    """
    x = to_floats(values)
    if not classes or x.shape[1] != 1:
        return x
    colours = torch.tensor([to_rgb(colour) for colour in style.PALETTE])[
        labels % len(style.PALETTE)
    ]
    return 1 - x * (1 - colours[:, :, None, None])  # (n, 3, H, W)
