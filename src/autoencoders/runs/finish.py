"""What a tested model leaves in its run's folder, and the same in its loggers."""

import io
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from autoencoders.data import DataModule, to_floats
from autoencoders.errors import InputError, describe
from autoencoders.evaluation import (
    Evaluation,
    Settings,
    evaluate,
    of_evaluation,
    of_model,
    of_training,
)
from autoencoders.evaluation.exhibits import Plots
from autoencoders.figures import style
from autoencoders.files import FIGURES, METRICS, shown, write_whole
from autoencoders.models import AutoEncoder
from autoencoders.runs.evaluations import Record, home_of, publish, record_figures
from autoencoders.runs.state import mark
from autoencoders.samplers import Sampler
from autoencoders.terminal import stages
from autoencoders.training import EpochLogger, TensorBoard
from autoencoders.training.digest import weights_digest

PROJECTED = 2500  # codes in TensorBoard's projector, each with its thumbnail
DPI = 150
ERRORS = "errors.txt"  # in an evaluation's folder


def finish(
    model: AutoEncoder,
    data: DataModule,
    metrics: dict[str, float],
    history: Mapping[str, Mapping[int, float]],
    evaluation: tuple[Settings, Mapping[str, Sampler]] | None,
    loggers: Sequence[EpochLogger],
    run: Path,
    checkpoint: str = "last",
    quiet: bool = False,
) -> dict[str, float]:
    """Evaluate and draw a tested model; leave the evaluation in its home, and the same in loggers.

    Numbers and samplers come first; a figure that fails is a printed line.

    Args:
        metrics: of training and test.
        history: by name, the `train/` and `val/` metrics of each epoch.
        evaluation: its settings and samplers; None leaves it out.
        loggers: of its home.
        run: the run's folder.
        checkpoint: the name of the one whose weights the model has.
        quiet: print no stages where output is no terminal, as of a multirun's jobs.

    Returns:
        The metrics, as metrics.json holds them.

    Raises:
        InputError: it could not be evaluated; what was tested is in metrics.json.
    """
    home, epochs = home_of(run, checkpoint), int(metrics["epochs"])
    with stages("evaluation", quiet) as begin:
        measured, failure = attempt(model, data, evaluation, begin)
        metrics = finite({**metrics, **(measured.metrics if measured else {})})
        record = Record(
            weights=weights_digest(model.state_dict()),
            checkpoint=checkpoint,
            epochs=epochs,
            latent_dim=model.latent_dim,
            **(measured.conditions if measured else of_test(data)),
            left_out=measured.left_out if measured else [],
        )
        record = publish(home, record, metrics, measured.samplers if measured else {})
        for logger in loggers:
            logger.log_final(metrics, max(epochs - 1, 0))  # where the curves end
        begin("figures")
        plots = {**of_training(model, data, epochs, history), **of_model(model, data, epochs)}
        plots |= of_evaluation(model, data, epochs, measured) if measured else {}
        errors = draw(home, record, plots, loggers)
        if measured:
            errors = [*measured.errors, *errors, *project(measured, data, epochs, loggers)]
    for line in record.left_out:
        print(f"not measured: {line}")
    if errors:
        write_whole(home / record.files / ERRORS, "\n".join(errors))
        print(f"stack traces: {shown(home / record.files / ERRORS)}")
    if checkpoint == "last":
        mark(run, finished=True)
    if failure is not None:
        line = describe(failure) or f"{type(failure).__name__}: {failure}"
        what_there_is = f"{shown(home / METRICS)} has what the test has measured"
        raise InputError(f"not evaluated: {line}; {what_there_is}") from failure
    return metrics


def attempt(
    model: AutoEncoder,
    data: DataModule,
    evaluation: tuple[Settings, Mapping[str, Sampler]] | None,
    begin: Callable[[str], None],
) -> tuple[Evaluation | None, Exception | None]:
    """Evaluate a model, if it is asked for; or what kept it from being evaluated."""
    if evaluation is None:
        return None, None
    try:
        return evaluate(model, data, *evaluation, begin), None
    except Exception as error:  # whatever it is, what the test has measured stands
        return None, error


def of_test(data: DataModule) -> dict[str, Any]:
    """The conditions of numbers that a test alone has measured."""
    return {"dataset": data.label, "split": data.judged_on}


def draw(home: Path, record: Record, plots: Plots, loggers: Sequence[EpochLogger]) -> list[str]:
    """Draw figures into <home>/figures/ and into loggers; write down what became of each.

    Returns:
        A stack trace for each that failed.
    """
    figures = dict.fromkeys(plots, "not drawn yet")
    record_figures(home, record, figures)
    errors = []
    for name, plot in plots.items():
        try:
            content = rendered(plot())
        except Exception as error:  # whatever it is, the numbers and the other figures stand
            figures[name] = not_drawn(name, error)
            errors.append(traceback.format_exc())
            continue
        write_whole(home / FIGURES / f"{name}.png", content)
        figures[name] = "drawn"
        for logger in loggers:
            with Image.open(io.BytesIO(content)) as image:
                logger.log_image(f"figures/{name}", [image], max(record.epochs - 1, 0))
    for logger in loggers:
        logger.save()
    record_figures(home, record, figures)
    return errors


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that metrics.json can hold; a line names those that are NaN or infinite."""
    kept = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if len(kept) < len(metrics):
        names = ", ".join(name for name in metrics if name not in kept)
        print(f"not in metrics.json, since NaN or infinite: {names}")
    return kept


def rendered(figure: Figure) -> bytes:
    """A figure as a PNG file has it."""
    content = io.BytesIO()
    style.save(figure, content, DPI)
    return content.getvalue()


def not_drawn(name: str, error: Exception) -> str:
    """Why a figure could not be drawn, which is printed too."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    print(f"not drawn: {name}: {reason}")
    return reason


def project(
    measured: Evaluation, data: DataModule, epochs: int, loggers: Sequence[EpochLogger]
) -> list[str]:
    """Show the codes in TensorBoard's projector; a stack trace if that fails."""
    try:
        for logger in loggers:
            if isinstance(logger, TensorBoard):
                _project(logger.experiment, measured, data, max(epochs - 1, 0))
    except Exception as error:  # such as a class's name that its files cannot hold
        not_drawn("TensorBoard's projector", error)
        return [traceback.format_exc()]
    return []


def _project(board: Any, measured: Evaluation, data: DataModule, epoch: int) -> None:
    """Show the test codes in TensorBoard's projector."""
    codes = measured.codes.mean[:PROJECTED]
    x, labels = measured.real.values[: len(codes)], measured.real.labels[: len(codes)]
    classes = [data.class_name(label) for label in labels.tolist()] if data.class_names else None
    images = (
        thumbnails(data.pixels(to_floats(x)), labels, bool(classes))
        if data.kind == "image"
        else None
    )
    tag = f"{measured.conditions['split']} codes"
    names = None if measured.real.names is None else measured.real.names[: len(codes)].tolist()
    if classes and names:
        rows = list(map(list, zip(classes, names, strict=True)))
        board.add_embedding(codes, rows, images, epoch, tag, metadata_header=["class", "name"])
    else:
        board.add_embedding(codes, classes or names, images, epoch, tag)


def thumbnails(x: Tensor, labels: Tensor, classes: bool) -> Tensor:
    """Images in [0, 1], (n, C, H, W), for the projector, which begins without colours for the
    classes: grey ones are drawn in their class's colour on white.

    Args:
        classes: whether the labels mean any.
    """
    if not classes or x.shape[1] != 1:
        return x
    palette = torch.tensor([to_rgb(colour) for colour in (*style.PALETTE, style.OTHERS)])
    colours = palette[torch.where(labels < 0, -1, labels % len(style.PALETTE))]
    return 1 - x * (1 - colours[:, :, None, None])  # (n, 3, H, W)
