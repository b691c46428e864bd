"""What is shown of trained models: of one run, and of several side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders import figures
from autoencoders.data import ImageDataModule, to_pixels
from autoencoders.errors import InputError
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.runs import load_run, open_whole

if TYPE_CHECKING:
    from autoencoders.comparison.table import Comparison, Row
    from autoencoders.evaluation import Evaluation

SAMPLES = "decoded draws from the prior"
SHOWN = 6  # rows of a comparison at most that are shown in images, the best of a search


def of_model(model: AutoEncoder, data: ImageDataModule, epochs: int) -> dict[str, Figure]:
    """A trained model's figures, by name: reconstructions and codes of test images, and samples."""
    heading, note = _heading(model, data), parameters(model, epochs)
    x = first_pixels(data.test.images, 2000).to(model.device)
    with inference(model):
        codes = model.encode(x)
    refuse_diverged(codes)
    rows = []
    for twelve in x[:24].split(12):
        rows += [("test images", twelve), (model.label, model.reconstruct(twelve))]
    samples = model.sample(100, torch.Generator().manual_seed(0))
    labels = data.test.labels[: len(x)]
    return {
        "reconstructions": figures.image_rows(rows, f"{heading}: reconstructions", note),
        "samples": figures.image_grid(samples, f"{heading}: {SAMPLES}", note),
        "latent": figures.latent_space(
            codes, labels, data.class_names, model.prior_std, f"{heading}: latent space", note
        ),
    }


def refuse_diverged(codes: Tensor) -> None:
    """Raise InputError where a code is NaN or infinite."""
    if not codes.isfinite().all():
        raise InputError(
            "codes are NaN or infinite: training has diverged; lower model.lr and start again"
        )


def of_evaluation(
    model: AutoEncoder, data: ImageDataModule, epochs: int, found: "Evaluation"
) -> dict[str, Figure]:
    """What an evaluation adds: samples from the mixture, the classes of the samples, and those
    samples that come nearest to a training image."""
    heading, note = _heading(model, data), parameters(model, epochs)
    mixture = to_pixels(found.samples["mixture"][:100])
    samples, neighbours = (to_pixels(images) for images in found.closest)
    rows = [("samples", samples), ("nearest training\nimages", neighbours)]
    title = f"{heading}: of each class, the sample that comes nearest to a training image"
    drawn = {
        "samples_mixture": figures.image_grid(
            mixture, f"{heading}: decoded draws from a Gaussian mixture", note
        ),
        "nearest_training_images": figures.image_rows(rows, title, note),
    }
    if found.class_shares:
        title = f"{heading}: what a classifier sees in the samples"
        drawn["class_shares"] = figures.class_shares(
            found.class_shares, data.class_names, title, note
        )
    return drawn


def of_models(
    models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str, points: int = 5000
) -> dict[str, Figure]:
    """Exhibits 1 to 4 of several models, by name: reconstructions, samples, interpolations and
    embeddings.

    Args:
        models: by the label that their row gets.
        note: a footnote.
        points: test images in the embeddings.
    """
    return {
        "reconstructions": _reconstructions(models, data, note),
        "samples": _samples(models, data, note),
        "interpolation": _interpolation(models, data, note),
        "interpolations": _interpolations(models, data, note),
        "embeddings": _embeddings(models, data, note, points),
    }


def _reconstructions(models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str) -> Figure:
    x = first_pixels(data.test.images, 12)
    rows = [("test images", x)]
    rows += [(label, model.reconstruct(x.to(model.device))) for label, model in models.items()]
    return figures.image_rows(rows, f"{data.label}: reconstructions of test images", note)


def _samples(models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str) -> Figure:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(12, data.channels, data.image_size, data.image_size, generator=generator)
    rows = [("pixel noise", noise)]
    for label, model in models.items():
        rows.append((label, model.sample(12, torch.Generator().manual_seed(0))))
    return figures.image_rows(rows, f"{data.label}: {SAMPLES}", note)


def _interpolation(models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str) -> Figure:
    """One pair of test images in detail."""
    first, second = _pairs(data, 1)[0]
    rows = _between(models, first, second, 12)
    return figures.image_rows(rows, f"{data.label}: from one test image to another", note)


def _interpolations(models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str) -> Figure:
    """Nine pairs, three in a line."""
    blocks = [_between(models, *pair, 7) for pair in _pairs(data, 9)]
    title = f"{data.label}: from one test image to another, nine times"
    return figures.image_blocks(blocks, 3, title, note)


def _between(
    models: Mapping[str, AutoEncoder], first: Tensor, second: Tensor, steps: int
) -> list[tuple[str, Tensor]]:
    """Rows of steps from one image (C, H, W) to another: in pixels, then in each latent space."""
    t = torch.linspace(0, 1, steps)
    rows = [("pixels", torch.lerp(first, second, t[:, None, None, None]))]
    for label, model in models.items():
        with inference(model):
            start, end = model.encode(torch.stack([first, second]).to(model.device))
            rows.append((label, model.decode(torch.lerp(start, end, t[:, None].to(model.device)))))
    return rows


def _pairs(data: ImageDataModule, n: int) -> list[tuple[Tensor, Tensor]]:
    """Pairs of test images of neighbouring classes, 0 and 1, 2 and 3, and so on."""
    x, labels = to_pixels(data.test.images), data.test.labels
    of_class = [x[labels == index] for index in labels.unique()]
    chosen = []
    for i in range(2 * n):
        images = of_class[i % len(of_class)]
        chosen.append(images[i // len(of_class) % len(images)])
    return list(zip(chosen[::2], chosen[1::2], strict=True))


def _embeddings(
    models: Mapping[str, AutoEncoder], data: ImageDataModule, note: str, points: int
) -> Figure:
    x = first_pixels(data.test.images, points)
    columns = [("pixels", x.flatten(1))]
    for label, model in models.items():
        with inference(model):
            codes = [model.encode(batch.to(model.device)).cpu() for batch in x.split(500)]
        columns.append((label, torch.cat(codes)))
    title = f"{data.label}: {len(x):,} test images in pixel space and as codes"
    return figures.embeddings(columns, data.test.labels[: len(x)], data.class_names, title, note)


def of_comparison(comparison: "Comparison", points: int) -> dict[str, Figure]:
    """Exhibits 1 to 5 of the runs of a comparison, the first run of each row standing for it."""
    shown = comparison.best(SHOWN)
    first = {row.label: load_run(row.runs[0].folder) for row in shown}
    data = next(iter(first.values())).data
    models = {label: run.model for label, run in first.items()}
    note = shared_parameters({label: parameters(r.model, r.epochs) for label, r in first.items()})
    drawn = {**of_models(models, data, note, points), **_scores(comparison, shown, data, note)}
    varied = comparison.varied()
    if len(varied) > 1 and len(comparison.rows) > 2:
        objective = comparison.objective
        reached = (objective.name, [row.cells[objective.key].mean for row in comparison.rows])
        title = f"{data.label}: what was searched, and what it gave"
        drawn["search"] = figures.parallel_coordinates(varied, reached, title)
    return drawn


def _scores(
    comparison: "Comparison", shown: Sequence["Row"], data: ImageDataModule, note: str
) -> dict[str, Figure]:
    """Exhibit 5: the errors of the reconstructions, and the quality of what is generated."""

    def heights(keys: Mapping[str, str]) -> list[tuple[str, dict[str, float]]]:
        return [
            (row.label, {name: row.cells[k].mean for name, k in keys.items() if k in row.cells})
            for row in shown
        ]

    distance = comparison.distance
    name = {"fid": "FID", "fd_cnn": "FD-CNN"}[distance]
    kinds = ("reconstruction", "prior", "mixture")
    drawn = {
        "errors": figures.bars(
            heights({"test MSE": "test/mse"}),
            f"{data.label}: error of the reconstructions",
            "mean squared error per pixel",
            note,
        )
    }
    distances = heights({kind: f"{kind}/{distance}" for kind in kinds})
    if any(bars for _, bars in distances):
        floor = comparison.floor.get(f"prior/{distance}")
        drawn["sample_quality"] = figures.bars(
            distances,
            f"{data.label}: distance of generated from {comparison.split} images",
            f"{name}, lower is better",
            note,
            floor=("real images", floor.mean) if floor else None,
        )
    return drawn


def leave(drawn: Mapping[str, Figure], folder: Path, board: Any = None, epoch: int = 0) -> None:
    """Write figures as <folder>/<name>.png, and into TensorBoard where there is a writer."""
    for name, figure in drawn.items():
        with open_whole(folder / f"{name}.png") as file:
            figures.save(figure, file, dpi=150)
        if board:
            board.add_figure(f"figures/{name}", figure, epoch)


def first_pixels(images: Tensor, n: int) -> Tensor:
    """The first n of uint8 images as pixels in [0, 1]."""
    return to_pixels(images[:n])


def parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of a model."""
    signs = {"beta": "\u03b2", "reg_weight": "\u03bb", "prior_std": "\u03c3"}
    weights = [
        f"{sign} = {model.hparams[k]:.4g}" for k, sign in signs.items() if k in model.hparams
    ]
    sizes = [f"{k} = {model.hparams[k]}" for k in ("cost", "latent_dim", "hidden_dim")]
    return ", ".join([*weights, *sizes, f"{epochs} epoch{'s' if epochs != 1 else ''}"])


def shared_parameters(notes: Mapping[str, str]) -> str:
    """One footnote of several models': what they share once, the rest by model."""
    parts = {label: note.split(", ") for label, note in notes.items()}
    shared = [part for part in next(iter(parts.values())) if all(part in p for p in parts.values())]
    own = [
        f"{label}: {', '.join(rest)}"
        for label, note in parts.items()
        if (rest := [part for part in note if part not in shared])
    ]
    return "; ".join([", ".join(shared), *own])


def _heading(model: AutoEncoder, data: ImageDataModule) -> str:
    return f"{model.label} on {data.label}"
