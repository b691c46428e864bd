"""What is shown of several trained models side by side."""

import re
from collections.abc import Mapping
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.comparison.table import Comparison, Row
from autoencoders.data import DataModule
from autoencoders.evaluation import series
from autoencoders.evaluation.coding import encode
from autoencoders.evaluation.exhibits import STEPS, Plots, between, covariates, pairs
from autoencoders.evaluation.settings import RECONSTRUCTION
from autoencoders.evaluation.vectors import SHOWN, error_by_feature
from autoencoders.features import shipped_classifier
from autoencoders.figures import charts, codes, images, vectors
from autoencoders.figures.series import series_rows
from autoencoders.models import AutoEncoder

Models = Mapping[str, AutoEncoder]  # by the label that their row gets
ROW = 12  # images in a row


def of_models(models: Models, data: DataModule, note: str = "", points: int = 5000) -> Plots:
    """Exhibits of several models, by name.

    Args:
        models: by the label that their row gets.
        note: a footnote.
        points: held-out examples in the embeddings.
    """
    exhibits = EXHIBITS[data.kind]
    plots = {exhibit.__name__: partial(exhibit, models, data, note) for exhibit in exhibits}
    return {**plots, "embeddings": partial(embeddings, models, data, note, points)}


def reconstructions(models: Models, data: DataModule, note: str = "") -> Figure:
    """Held-out images above a row of reconstructions for each model."""
    rows = [(f"{data.held_out_name} images", data.held_out.x(ROW))]
    for label, model in models.items():
        batch = data.held_out.batch(ROW, model.device)
        rows.append((label, model.reconstruct(batch.x, **batch.given)))
    return images.image_rows(
        _pixels(rows, data), f"{data.label}: reconstructions of {data.held_out_name} images", note
    )


def samples(models: Models, data: DataModule, note: str = "") -> Figure:
    """Pixel noise above a row of decoded draws from the prior for each model."""
    noise = torch.rand(ROW, *data.shape, generator=torch.Generator().manual_seed(0))
    rows = [("pixel noise", noise)]
    for label, model in models.items():
        rows.append((label, draws(model, data, ROW)))
    return images.image_rows(
        _pixels(rows, data), f"{data.label}: decoded draws from the prior", note
    )


def interpolation(models: Models, data: DataModule, note: str = "") -> Figure:
    """One pair of held-out images in detail."""
    rows = between(models, data, pairs(data, 1)[0], ROW)
    return images.image_rows(
        rows, f"{data.label}: from one {data.held_out_name} image to another", note
    )


def interpolations(models: Models, data: DataModule, note: str = "") -> Figure:
    """Nine pairs, three in a line."""
    blocks = [between(models, data, pair, STEPS) for pair in pairs(data, 9)]
    title = f"{data.label}: from one {data.held_out_name} image to another, nine times"
    return images.image_blocks(blocks, 3, title, note)


def embeddings(models: Models, data: DataModule, note: str = "", points: int = 5000) -> Figure:
    """PCA and t-SNE of held-out examples, as they are and as each model's codes."""
    examples = data.held_out.subset(slice(points))
    x = examples.x()
    columns = [("pixels" if data.kind == "image" else "data", x.flatten(1))]
    columns += [(label, encode(model, examples).mean) for label, model in models.items()]
    title = f"{data.label}: {len(x):,} {data.held_out_name} examples and their codes"
    return codes.embeddings(columns, data.held_out.labels[: len(x)], data.class_names, title, note)


def feature_errors(models: Models, data: DataModule, note: str = "") -> Figure:
    """Each model's error by feature."""
    x = data.held_out.x()
    by_model = {label: error_by_feature(model, data.held_out) for label, model in models.items()}
    title = f"{data.label}: error of the reconstructions by feature"
    return vectors.errors(x.var(0, correction=0), by_model, data.feature_names, title, note)


def feature_moments(models: Models, data: DataModule, note: str = "") -> Figure:
    """Each model's draws from the prior, as many as there are held-out examples."""
    x = data.held_out.x(SHOWN)
    generated = {label: draws(model, data, len(x)).cpu() for label, model in models.items()}
    title = f"{data.label}: features and totals of decoded draws from the prior"
    return vectors.moments(x, generated, title, note)


def draws(model: AutoEncoder, data: DataModule, n: int) -> Tensor:
    """n decoded draws from the prior, the same codes of every model with the same prior."""
    return model.sample(n, torch.Generator().manual_seed(0), **covariates(data, n, model))


def _pixels(rows: list[tuple[str, Tensor]], data: DataModule) -> list[tuple[str, Tensor]]:
    return [(label, data.pixels(x)) for label, x in rows]


def series_reconstructions(models: Models, data: DataModule, note: str = "") -> Figure:
    """Held-out series above a row of reconstructions for each model."""
    n = series.ROW
    rows = [(data.held_out_name, data.held_out.x(n))]
    for label, model in models.items():
        batch = data.held_out.batch(n, model.device)
        rows.append((label, model.reconstruct(batch.x, **batch.given)))
    return series_rows(rows, f"{data.label}: reconstructions", note)


EXHIBITS = {
    "image": (reconstructions, samples, interpolation, interpolations),
    "series": (series_reconstructions,),
    "vector": (feature_errors, feature_moments),
}


def of_comparison(
    comparison: Comparison, shown: list[Row], note: str, log: Mapping[str, bool] | None = None
) -> Plots:
    """Charts of a comparison's numbers, by name.

    Args:
        shown: the rows that are drawn.
        log: by setting, whether a search drew it on a logarithmic scale.
    """
    plots: Plots = {
        "errors": partial(errors, comparison, shown, note),
        "sample_quality": partial(sample_quality, comparison, shown, note),
    }
    if len(comparison.varied()) > 1 and len(comparison.rows) > 2:
        plots["search"] = partial(search, comparison, log)
    return plots


def search(comparison: Comparison, log: Mapping[str, bool] | None = None) -> Figure:
    """A line for each row, through its settings to its objective."""
    objective = comparison.objective
    reached = (objective.name, [row.cells[objective.key].mean for row in comparison.rows])
    return charts.parallel_coordinates(
        comparison.varied(),
        reached,
        f"{comparison.label}: what was searched, and what it gave",
        log=log,
        higher=objective.better == "higher",
    )


def errors(comparison: Comparison, shown: list[Row], note: str) -> Figure:
    """Reconstruction error by model."""
    keys = {f"{comparison.split} MSE": f"{comparison.conditions['split']}/mse"}
    return charts.bars(
        _heights(shown, keys),
        f"{comparison.label}: error of the reconstructions",
        "mean squared error per dimension",
        _with_seeds(note, shown),
        stds=_stds(shown, keys),
    )


def sample_quality(comparison: Comparison, shown: list[Row], note: str) -> Figure:
    """Frechet distance by model, of reconstructions and of each sampler's samples."""
    distance = comparison.distance
    kinds = (RECONSTRUCTION, *comparison.samplers)
    keys = {kind: f"{kind}/{distance.key}" for kind in kinds}
    floor = comparison.floor.get(f"{RECONSTRUCTION}/{distance.key}")
    classifier = shipped_classifier(str(comparison.conditions.get("extractor")))
    return charts.bars(
        _heights(shown, keys),
        f"{comparison.label}: distance of generated from {comparison.split} examples",
        f"{distance.name}, lower is better",
        _with_seeds("; ".join(filter(None, (classifier, note))), shown),
        floor=("real examples", floor.mean) if floor else None,
        stds=_stds(shown, keys),
    )


def _heights(shown: list[Row], keys: Mapping[str, str]) -> list[tuple[str, dict[str, float]]]:
    return [
        (row.label, {name: row.cells[k].mean for name, k in keys.items() if k in row.cells})
        for row in shown
    ]


def _stds(shown: list[Row], keys: Mapping[str, str]) -> list[dict[str, float]]:
    return [
        {
            name: std
            for name, key in keys.items()
            if key in row.cells and (std := row.cells[key].std) is not None
        }
        for row in shown
    ]


def _with_seeds(note: str, shown: list[Row]) -> str:
    """A footnote, and what the error bars are where there are any."""
    seeds = {row.label: len(row.runs) for row in shown if len(row.runs) > 1}
    if not seeds:
        return note
    counts = sorted(set(seeds.values()))
    several = f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    return f"{note}; error bars: standard deviation over {several}"


def shared_parameters(notes: Mapping[str, str]) -> str:
    """One footnote of several models': what they share once, the rest by model."""
    # A comma in brackets belongs to a network's arguments.
    parts = {label: re.split(r", (?![^()]*\))", note) for label, note in notes.items()}
    shared = [part for part in next(iter(parts.values())) if all(part in p for p in parts.values())]
    own = [
        f"{label}: {', '.join(rest)}"
        for label, note in parts.items()
        if (rest := [part for part in note if part not in shared])
    ]
    return "; ".join([", ".join(shared), *own])
