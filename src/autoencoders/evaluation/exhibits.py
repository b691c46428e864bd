"""What is shown of one trained model."""

import torch
from matplotlib.figure import Figure

from autoencoders.data import DataModule, to_floats
from autoencoders.evaluation import vectors
from autoencoders.evaluation.evaluate import Evaluation
from autoencoders.figures import charts, codes, diagrams, images
from autoencoders.models import AutoEncoder

SHOWN = 2000  # codes in the figure of the latent space


def of_model(model: AutoEncoder, data: DataModule, epochs: int) -> dict[str, Figure]:
    """A trained model's figures, by the names of the functions that draw them."""
    exhibits = (*(IMAGE_EXHIBITS if is_image(data) else vectors.EXHIBITS), *EXHIBITS)
    note = parameters(model, epochs)
    return {exhibit.__name__: exhibit(model, data, note) for exhibit in exhibits}


def of_evaluation(
    model: AutoEncoder, data: DataModule, epochs: int, evaluation: Evaluation
) -> dict[str, Figure]:
    """What an evaluation adds: samples of each sampler, the classes that a classifier sees in them,
    and those that come nearest to a training example."""
    note = parameters(model, epochs)
    figures: dict[str, Figure] = {}
    if is_image(data):
        for name, values in evaluation.generated.items():
            title = f"{heading(model, data)}: decoded draws from the {name}"
            figures[f"samples_{name}"] = images.image_grid(to_floats(values[:100]), title, note)
        title = f"{heading(model, data)}: of each class, the sample nearest to a training image"
        rows = zip(("samples", "nearest training\nimages"), evaluation.closest, strict=True)
        figures["nearest_training_images"] = images.image_rows(
            [(label, to_floats(values)) for label, values in rows], title, note
        )
    elif evaluation.generated:
        figures["feature_moments"] = vectors.feature_moments(model, data, evaluation, note)
        if len(data.train.labels.unique()) > 1:
            figures["marker_features"] = vectors.marker_features(model, data, evaluation, note)
    if evaluation.class_shares:
        title = f"{heading(model, data)}: what a classifier sees in the samples"
        figures["class_shares"] = charts.class_shares(
            evaluation.class_shares, data.class_names, title, note
        )
    return figures


def reconstructions(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = data.test.x(24).to(model.device)
    rows = []
    for twelve in x.split(12):
        rows += [("test images", twelve), (model.label, model.reconstruct(twelve))]
    whole = [row for row in rows if len(row[1]) == len(rows[0][1])]
    return images.image_rows(whole, f"{heading(model, data)}: reconstructions", note)


def samples(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = model.sample(100, torch.Generator().manual_seed(0))
    return images.image_grid(x, f"{heading(model, data)}: decoded draws from the prior", note)


def latent_space(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    z = torch.cat([model.encode(x.to(model.device)).cpu() for x in data.test.x(SHOWN).split(100)])
    labels = data.test.labels[: len(z)]
    title = f"{heading(model, data)}: latent space"
    return codes.latent_space(z, labels, data.class_names, model.prior.std, title, note)


def networks(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    x = data.test.x(1).to(model.device)
    z = model.encode(x)
    rows = [{"encoder": (model.encoder, x), "decoder": (model.decoder, z)}]
    for name, network in model.named_children():
        if name not in rows[0] and any(True for _ in network.parameters()):
            rows.append({name: (network, z)})  # such as a discriminator, of codes
    return diagrams.networks(rows, f"{heading(model, data)}: networks", note)


EXHIBITS = (latent_space, networks)  # of any data
IMAGE_EXHIBITS = (reconstructions, samples)  # of images


def is_image(data: DataModule) -> bool:
    return len(data.shape) == 3


def heading(model: AutoEncoder, data: DataModule) -> str:
    return f"{model.label} on {data.label}"


def parameters(model: AutoEncoder, epochs: int) -> str:
    """What a figure's footnote says of a model: its own weights, then what all models have."""
    own = [f"{name} = {value:.4g}" for name, value in model.own_weights().items()]
    shared = [f"{name} = {model.hparams[name]}" for name in ("prior_std", "latent_dim", "cost")]
    return ", ".join([*own, *shared, repr(model.network), f"{epochs} epoch{'s' * (epochs != 1)}"])
