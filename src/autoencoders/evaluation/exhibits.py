"""What is shown of one trained model."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from autoencoders.data import DataModule, to_floats
from autoencoders.distributions import NormalPosterior
from autoencoders.evaluation import vectors
from autoencoders.evaluation.evaluate import HELD_OUT, Evaluation, encode
from autoencoders.features import shipped_classifier
from autoencoders.figures import charts, codes, diagrams, images
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.samplers import ClassSampler

# Figures by name, each drawn when it is called: one that fails must not cost the others.
Drawings = dict[str, Callable[[], Figure]]

SHOWN = 2000  # codes in the figures of the latent space
STEPS = 7  # of an interpolation
CLASSES = 20  # rows of samples by class, at most


def of_model(model: AutoEncoder, data: DataModule, epochs: int) -> Drawings:
    """A trained model's figures, by the names of the functions that draw them."""
    of_kind = IMAGE_EXHIBITS if is_image(data) else vectors.EXHIBITS
    of_planes = PLANE_EXHIBITS if is_image(data) and model.latent_dim == 2 else ()
    exhibits = (*of_kind, *of_planes, *EXHIBITS)
    note = parameters(model, epochs)
    return {exhibit.__name__: partial(exhibit, model, data, note) for exhibit in exhibits}


def of_training(
    model: AutoEncoder, data: DataModule, epochs: int, history: Mapping[str, Mapping[int, float]]
) -> Drawings:
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
) -> Drawings:
    """What an evaluation adds: samples of each sampler, the classes that a classifier sees in them,
    and those that come nearest to a training example."""
    note = parameters(model, epochs)
    drawings: Drawings = {}
    if is_image(data):
        for name in evaluation.generated:
            drawings[f"samples_{name}"] = partial(
                generated_images, model, data, evaluation, note, name
            )
            sampler = evaluation.samplers[name]
            if isinstance(sampler, ClassSampler) and data.class_names:
                drawings[f"samples_{name}_by_class"] = partial(by_class, model, data, sampler, note)
        drawings["nearest_training_images"] = partial(
            nearest_training_images, model, data, evaluation, note
        )
    elif evaluation.generated:
        drawings["feature_moments"] = partial(
            vectors.feature_moments, model, data, evaluation, note
        )
        if len(data.train.labels.unique()) > 1:
            drawings["marker_features"] = partial(
                vectors.marker_features, model, data, evaluation, note
            )
    if evaluation.class_shares:
        drawings["class_shares"] = partial(class_shares, model, data, evaluation, note)
    return drawings


def generated_images(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str, sampler: str
) -> Figure:
    title = f"{heading(model, data)}: decoded draws from the {sampler}"
    return images.image_grid(to_floats(evaluation.generated[sampler][:100]), title, note)


def class_shares(model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str) -> Figure:
    title = f"{heading(model, data)}: what a classifier sees in the samples"
    note = f"{shipped_classifier(evaluation.conditions['extractor'])}; {note}"
    return charts.class_shares(evaluation.class_shares, data.class_names, title, note)


def nearest_training_images(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str
) -> Figure:
    generated, train, labels, distances = evaluation.closest
    rows = [("samples", to_floats(generated)), ("nearest training\nimages", to_floats(train))]
    names = [data.class_names[label] for label in labels] if data.class_names else [""] * len(train)
    captions = [f"{name}\n{d:.3f}" for name, d in zip(names, distances.tolist(), strict=True)]
    title = f"{heading(model, data)}: of each class, the sample nearest to a training image"
    below = "below: the training image's class and the root mean squared difference per pixel"
    held_out = evaluation.metrics.get(f"{HELD_OUT}/nearest_train")
    of_test = f" (on average of unseen real images: {held_out:.3f})" if held_out else ""
    return images.image_rows(rows, title, f"{below}{of_test}; {note}", captions)


def by_class(model: AutoEncoder, data: DataModule, sampler: ClassSampler, note: str) -> Figure:
    """A row of samples for each class."""
    generator = torch.Generator().manual_seed(0)
    rows = [
        (data.class_names[label], model.sample(10, generator, sampler, label))
        for label in sampler.labels[:CLASSES]
    ]
    return images.image_rows(rows, f"{heading(model, data)}: samples of each class", note)


def reconstructions(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = data.held_out.x(24).to(model.device)
    rows = []
    for twelve in x.split(12):
        rows += [(f"{data.held_out_name} images", twelve), (model.label, model.reconstruct(twelve))]
    whole = [row for row in rows if len(row[1]) == len(rows[0][1])]
    return images.image_rows(whole, f"{heading(model, data)}: reconstructions", note)


def samples(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = model.sample(100, torch.Generator().manual_seed(0))
    return images.image_grid(x, f"{heading(model, data)}: decoded draws from the prior", note)


def interpolations(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    blocks = [between({model.label: model}, *pair, STEPS) for pair in pairs(data, 9)]
    title = f"{heading(model, data)}: from one {data.held_out_name} image to another, nine times"
    return images.image_blocks(blocks, 3, title, note)


def latent_plane(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    mean, _ = encode(model, data.held_out.values[:SHOWN])
    with inference(model):
        posterior = model.posterior(data.held_out.x(diagrams.ELLIPSES).to(model.device))
    stds = (posterior.log_var / 2).exp() if isinstance(posterior, NormalPosterior) else None
    decoded = model.decode(diagrams.plane_grid(15, model.prior.std).to(model.device))
    plane = diagrams.Plane(f"{data.held_out_name} codes by class", mean, decoded, stds)
    circles = "dashed: 1 and 2 standard deviations of the prior"
    ellipses = "" if stds is None else "; ellipses: 1 of some posteriors"
    return diagrams.latent_planes(
        [plane],
        data.held_out.labels[: len(mean)],
        data.class_names,
        model.prior.std,
        f"{heading(model, data)}: the latent plane",
        f"{circles}{ellipses}; {note}",
    )


def latent_space(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    with torch.random.fork_rng():  # for a posterior's draws
        torch.manual_seed(0)
        mean, z = encode(model, data.held_out.values[:SHOWN])
    labels = data.held_out.labels[: len(z)]
    title = f"{heading(model, data)}: latent space"
    return codes.latent_space(mean, z, labels, data.class_names, model.prior.std, title, note)


def networks(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = data.held_out.x(1).to(model.device)
    z = model.encode(x)
    rows = [{"encoder": (model.encoder, x), "decoder": (model.decoder, z)}]
    for name, network in model.named_children():
        if name not in rows[0] and any(True for _ in network.parameters()):
            rows.append({name: (network, z)})  # such as a discriminator, of codes
    return diagrams.networks(rows, f"{heading(model, data)}: networks", note)


EXHIBITS = (latent_space, networks)  # of any data
IMAGE_EXHIBITS = (reconstructions, samples, interpolations)  # of images
PLANE_EXHIBITS = (latent_plane,)  # of images through two latent dimensions


def between(
    models: Mapping[str, AutoEncoder], first: Tensor, second: Tensor, steps: int
) -> list[tuple[str, Tensor]]:
    """Rows of steps from one image (C, H, W) to another: in pixels, then in each latent space."""
    t = torch.linspace(0, 1, steps)
    rows = [("pixels", torch.lerp(first, second, t[:, None, None, None]))]
    for label, model in models.items():
        start, end = model.encode(torch.stack([first, second]).to(model.device))
        rows.append((label, model.decode(torch.lerp(start, end, t[:, None].to(model.device)))))
    return rows


def pairs(data: DataModule, n: int) -> list[tuple[Tensor, Tensor]]:
    """Pairs of held-out images of neighbouring classes, 0 and 1, 2 and 3, and so on."""
    labels = data.held_out.labels
    of_class = [(labels == index).nonzero()[:, 0] for index in labels.unique()]
    chosen = []
    for i in range(2 * n):
        several = of_class[i % len(of_class)]
        chosen.append(int(several[i // len(of_class) % len(several)]))
    x = to_floats(data.held_out.values[chosen])
    return list(zip(x[::2], x[1::2], strict=True))


def is_image(data: DataModule) -> bool:
    return len(data.shape) == 3


def heading(model: AutoEncoder, data: DataModule) -> str:
    return f"{model.label} on {data.label}"


def parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of a model: its own weights, then what all models have."""
    own = [f"{name} = {value:.4g}" for name, value in model.own_weights().items()]
    shared = [f"{name} = {model.hparams[name]}" for name in ("prior_std", "latent_dim", "cost")]
    return ", ".join([*own, *shared, repr(model.network), f"{epochs} epoch{'s' * (epochs != 1)}"])
