"""What is shown of one trained model."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.data import Batch, DataModule, to_floats
from autoencoders.data.examples import move
from autoencoders.distributions import NormalPosterior, NormalPrior
from autoencoders.evaluation import series, vectors
from autoencoders.evaluation.coding import encode
from autoencoders.evaluation.evaluate import Evaluation
from autoencoders.evaluation.settings import HELD_OUT
from autoencoders.features import shipped_classifier
from autoencoders.figures import charts, codes, diagrams, images
from autoencoders.figures.networks import network_diagram
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.samplers import ClassSampler, Sampler

# Figures by name, each drawn when it is called: one that fails must not cost the others.
Plots = dict[str, Callable[[], Figure]]

SHOWN = 2000  # codes in the figures of the latent space
PRIOR_DRAWS = 20_000  # beside them
STEPS = 7  # of an interpolation
CLASSES = 20  # rows of samples by class, at most


def of_model(model: AutoEncoder, data: DataModule, epochs: int) -> Plots:
    """A trained model's figures, by the names of the functions that draw them."""
    of_planes = PLANE_EXHIBITS if has_plane(model, data) else ()
    exhibits = (*OF_KIND[data.kind], *of_planes, *EXHIBITS)
    note = parameters(model, epochs)
    return {exhibit.__name__: partial(exhibit, model, data, note) for exhibit in exhibits}


def of_training(
    model: AutoEncoder, data: DataModule, epochs: int, history: Mapping[str, Mapping[int, float]]
) -> Plots:
    """What training has left: a curve of each term, where there was an epoch.

    Args:
        history: by name, `train/<term>` or `val/<term>`, values by epoch from 1.
    """
    if not any(name.startswith("train/") for name in history):
        return {}
    title = f"{heading(model, data)}: the objective and its terms"
    return {"loss_curves": partial(charts.loss_curves, history, title, parameters(model, epochs))}


def of_evaluation(
    model: AutoEncoder, data: DataModule, epochs: int, evaluation: Evaluation
) -> Plots:
    """What an evaluation adds: samples of each sampler, the classes that a classifier sees in them,
    and those that come nearest to a training example."""
    note = parameters(model, epochs)
    plots: Plots = {}
    if data.kind == "image":
        for name in evaluation.generated:
            plots[f"samples_{name}"] = partial(
                generated_images, model, data, evaluation, note, name
            )
            sampler = evaluation.samplers[name]
            if data.class_names and (model.conditional or isinstance(sampler, ClassSampler)):
                plots[f"samples_{name}_by_class"] = partial(by_class, model, data, sampler, note)
        plots["nearest_training_images"] = partial(
            nearest_training_images, model, data, evaluation, note
        )
    elif data.kind == "series" and evaluation.generated:
        plots["samples"] = partial(series.generated_series, model, data, evaluation, note)
    elif evaluation.generated:
        plots["feature_moments"] = partial(vectors.feature_moments, model, data, evaluation, note)
        if len(data.train.labels.unique()) > 1:
            plots["marker_features"] = partial(
                vectors.marker_features, model, data, evaluation, note
            )
    if evaluation.class_shares:
        plots["class_shares"] = partial(class_shares, model, data, evaluation, note)
    return plots


def generated_images(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str, sampler: str
) -> Figure:
    title = f"{heading(model, data)}: decoded draws from the {sampler}"
    x = data.pixels(to_floats(evaluation.generated[sampler][:100]))
    return images.image_grid(x, title, note)


def class_shares(model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str) -> Figure:
    title = f"{heading(model, data)}: what a classifier sees in the samples"
    note = f"{shipped_classifier(evaluation.conditions['extractor'])}; {note}"
    return charts.class_shares(evaluation.class_shares, data.class_names, title, note)


def nearest_training_images(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str
) -> Figure:
    generated, train, labels, distances, files = evaluation.closest
    near, theirs = (data.pixels(to_floats(values)) for values in (generated, train))
    rows = [("samples", near), ("nearest training\nimages", theirs)]
    names = [data.class_name(label) for label in labels.tolist()]
    captions = [f"{name}\n{d:.3f}" for name, d in zip(names, distances.tolist(), strict=True)]
    if files:
        captions = [f"{c}\n{short(file)}" for c, file in zip(captions, files, strict=True)]
    title = f"{heading(model, data)}: of each class, the sample nearest to a training image"
    what = "class, " if files else "class and "
    last = ", its file" if files else ""
    below = f"below: the training image's {what}the root mean squared difference per pixel{last}"
    held_out = evaluation.metrics.get(f"{HELD_OUT}/nearest_train")
    of_test = f" (on average of unseen real images: {held_out:.3f})" if held_out else ""
    return images.image_rows(rows, title, f"{below}{of_test}; {note}", captions)


def short(name: str, length: int = 12) -> str:
    """The end of a file's name, after its folders."""
    last = name.rpartition("/")[2]
    return last if len(last) <= length else f"…{last[1 - length :]}"


def by_class(model: AutoEncoder, data: DataModule, sampler: Sampler, note: str) -> Figure:
    """A row of samples for each class."""
    generator = torch.Generator().manual_seed(0)
    known = sampler.labels if isinstance(sampler, ClassSampler) else range(model.classes)
    rows = []
    for label in list(known)[:CLASSES]:
        x = model.sample(10, generator, sampler, label, **covariates(data, 10, model))
        rows.append((data.class_names[label], data.pixels(x)))
    return images.image_rows(rows, f"{heading(model, data)}: samples of each class", note)


def covariates(data: DataModule, n: int, model: AutoEncoder) -> dict[str, Any]:
    """Those of n training examples, drawn at random, for samples to be decoded with."""
    chosen = data.train.resample(n, torch.Generator().manual_seed(0))
    return dict(chosen.batch(device=model.device).covariates)


def reconstructions(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    rows = []
    for batch in data.held_out.subset(slice(24)).batches(12, model.device):
        x_hat = model.reconstruct(batch.x, **batch.given)
        rows.append((f"{data.held_out_name} images", data.pixels(batch.x)))
        rows.append((model.label, data.pixels(x_hat)))
    whole = [row for row in rows if len(row[1]) == len(rows[0][1])]
    return images.image_rows(whole, f"{heading(model, data)}: reconstructions", note)


def samples(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    generator = torch.Generator().manual_seed(0)
    x = model.sample(100, generator, **covariates(data, 100, model))
    title = f"{heading(model, data)}: decoded draws from the prior"
    return images.image_grid(data.pixels(x), title, note)


def interpolations(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    blocks = [between({model.label: model}, data, pair, STEPS) for pair in pairs(data, 9)]
    title = f"{heading(model, data)}: from one {data.held_out_name} image to another, nine times"
    return images.image_blocks(blocks, 3, title, note)


def latent_plane(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    mean, _ = encode(model, data.held_out.subset(slice(SHOWN)))
    with inference(model):
        posterior = model.posterior(data.held_out.batch(diagrams.ELLIPSES, model.device))
    stds = (posterior.log_var / 2).exp() if isinstance(posterior, NormalPosterior) else None
    std = model.prior.scale
    decoded = model.decode(diagrams.plane_grid(15, std).to(model.device))
    plane = diagrams.Plane(f"{data.held_out_name} codes by class", mean, data.pixels(decoded), stds)
    circles = "dashed: 1 and 2 standard deviations of the prior"
    ellipses = "" if stds is None else "; ellipses: 1 of some posteriors"
    return diagrams.latent_planes(
        [plane],
        data.held_out.labels[: len(mean)],
        data.class_names,
        std,
        f"{heading(model, data)}: the latent plane",
        f"{circles}{ellipses}; {note}",
    )


def latent_space(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    with torch.random.fork_rng():  # for a posterior's draws
        torch.manual_seed(0)
        mean, z = encode(model, data.held_out.subset(slice(SHOWN)))
    labels = data.held_out.labels[: len(z)]
    prior = model.prior.frozen().draw(PRIOR_DRAWS, torch.Generator().manual_seed(0), "cpu")
    title = f"{heading(model, data)}: latent space"
    return codes.latent_space(mean, z, labels, data.class_names, prior, title, note)


def networks(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    batch = data.held_out.batch(8, model.device)

    def compute() -> None:
        out = model(batch)
        model.losses(batch, out)  # a discriminator, say, is called here alone

    return network_diagram(model, compute, f"{heading(model, data)}: networks", note)


EXHIBITS = (latent_space, networks)  # of any data
OF_KIND = {
    "image": (reconstructions, samples, interpolations),
    "series": series.EXHIBITS,
    "vector": vectors.EXHIBITS,
}
PLANE_EXHIBITS = (latent_plane,)  # of images through two latent dimensions


def has_plane(model: AutoEncoder, data: DataModule) -> bool:
    """Whether there is a plane to decode images from, around a normal prior."""
    flat = model.latent_dim == 2 and isinstance(model.prior, NormalPrior)
    return data.kind == "image" and flat and not model.conditional


def between(
    models: Mapping[str, AutoEncoder], data: DataModule, pair: Batch, steps: int
) -> list[tuple[str, Tensor]]:
    """Rows of steps from one of a pair of images to the other: in pixels, then in each latent
    space, as the first one's class."""
    t = torch.linspace(0, 1, steps)
    first, second = pair.x
    rows = [("pixels", torch.lerp(first, second, t[:, None, None, None]))]
    for label, model in models.items():
        here = move(pair, model.device)
        start, end = model.encode(here.x, **here.given)
        z = torch.lerp(start, end, t[:, None].to(model.device))
        given = {name: v[:1].expand(steps, *v.shape[1:]) for name, v in here.given.items()}
        rows.append((label, model.decode(z, **given)))
    return [(label, data.pixels(x)) for label, x in rows]


def pairs(data: DataModule, n: int) -> list[Batch]:
    """Pairs of held-out images of neighbouring classes, 0 and 1, 2 and 3, and so on."""
    labels = data.held_out.labels
    known = labels[labels >= 0].unique() if (labels >= 0).any() else labels.unique()
    of_class = [(labels == index).nonzero()[:, 0] for index in known]
    chosen = []
    for i in range(2 * n):
        several = of_class[i % len(of_class)]
        chosen.append(int(several[i // len(of_class) % len(several)]))
    return list(data.held_out.subset(torch.tensor(chosen)).batches(2))


def heading(model: AutoEncoder, data: DataModule) -> str:
    return f"{model.label} on {data.label}"


def parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of a model: its own weights, then what all models have."""
    own = [f"{name} = {value:.4g}" for name, value in model.own_weights().items()]
    shared = [f"{name} = {model.hparams[name]}" for name in ("prior_std", "latent_dim", "cost")]
    return ", ".join([*own, *shared, repr(model.network), f"{epochs} epoch{'s' * (epochs != 1)}"])
