"""What is shown of one model of vectors, such as cells described by their genes."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.data import DataModule, Examples
from autoencoders.evaluation.coding import encode
from autoencoders.evaluation.evaluate import Evaluation
from autoencoders.figures import codes, vectors
from autoencoders.figures.vectors import Block
from autoencoders.metrics.distances import nearest
from autoencoders.models import AutoEncoder

SHOWN = 2000  # examples at most
BATCH = 500
MARKERS = 3  # features that tell a class from the others


def embeddings(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    """PCA and t-SNE of held-out examples, as they are and as codes."""
    examples = data.held_out.subset(slice(SHOWN))
    x = examples.x()
    title = f"{model.label} on {data.label}: {data.held_out_name} examples and their codes"
    columns = [("data", x.flatten(1)), ("codes", encode(model, examples).mean)]
    return codes.embeddings(columns, data.held_out.labels[: len(x)], data.class_names, title, note)


def feature_errors(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = data.held_out.x()
    title = f"{model.label} on {data.label}: error of the reconstructions by feature"
    by_model = {model.label: error_by_feature(model, data.held_out)}
    return vectors.errors(x.var(0, correction=0), by_model, data.feature_names, title, note)


def error_by_feature(model: AutoEncoder, examples: Examples) -> Tensor:
    """Mean squared error of the reconstructions of vectors, (features,)."""
    squares = [
        (model.reconstruct(batch.x, **batch.given) - batch.x).square().sum(0).cpu()
        for batch in examples.batches(BATCH, model.device)
    ]
    return torch.stack(squares).sum(0) / len(examples)


def feature_moments(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str
) -> Figure:
    title = f"{model.label} on {data.label}: features and totals of generated examples"
    generated = {name: data.in_units(x) for name, x in evaluation.generated.items()}
    return vectors.moments(data.in_units(evaluation.real.values), generated, title, note)


def marker_features(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str
) -> Figure:
    """Each class's markers, in real examples above generated ones of the first sampler, which are
    given the class of their nearest training example."""
    chosen = markers(data.reference.values, data.reference.labels)
    sampler, generated = next(iter(evaluation.generated.items()))
    generated = generated[:SHOWN]
    labels = data.train.labels[nearest(generated, data.train.blockwise)[1]]
    real = evaluation.real
    blocks = [
        Block("real examples", real.values[:SHOWN, chosen], real.labels[:SHOWN]),
        Block(f"draws from the {sampler}", generated[:, chosen], labels),
    ]
    names = [data.feature_names[i] if data.feature_names else str(i) for i in chosen.tolist()]
    title = f"{model.label} on {data.label}: the features that mark each class"
    return vectors.heat_map(blocks, names, data.class_names, title, note)


def markers(values: Tensor, labels: Tensor) -> Tensor:
    """For each class in turn, the features whose mean over its examples lies furthest above that
    over the others, in standard deviations; none twice.

    Args:
        values: (N, features).
        labels: (N,), -1 of an example without one.

    Returns:
        Indices of features.
    """
    std = values.std(0).clamp_min(1e-6)
    chosen: list[int] = []
    for label in labels[labels >= 0].unique():
        own = labels == label
        if own.all():
            continue
        distance = (values[own].mean(0) - values[~own].mean(0)) / std
        distance[chosen] = -torch.inf
        free = min(MARKERS, len(distance) - len(chosen))
        chosen += distance.topk(free).indices.tolist()
    return torch.tensor(chosen, dtype=torch.long)


EXHIBITS = (embeddings, feature_errors)
