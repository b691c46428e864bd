"""What a trained model is worth: the quality of its samples and of its codes."""

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor

from autoencoders import exhibits
from autoencoders.data import ImageDataModule, Images, to_pixels
from autoencoders.errors import InputError, describe
from autoencoders.metrics import latents
from autoencoders.metrics.features import Extractor, Inception, fingerprint, load_extractor
from autoencoders.metrics.samples import (
    entropy,
    frechet_distance,
    kernel_distance,
    nearest,
    overlap,
    radii,
)
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.runs import EVALUATION, MIXTURE, write_whole
from autoencoders.samplers import Mixture

BATCH = 100  # activations that stay in a processor's cache
SEARCHED = 2000  # images of a kind whose nearest training image is looked for
CLOSEST = 10  # samples that are shown beside their nearest training image
SAMPLERS = ("prior", "mixture")
USES = ("split", "floor", "posterior", "fit", "prior", "mixture", "latent")  # of random numbers
PROJECTED = 2500  # codes in TensorBoard's projector, each with its thumbnail


class Settings(BaseModel):
    """What an evaluation depends on; runs compare only where these agree.

    split: `test`, or `val` where something is chosen by the numbers, as in a search.
    images: how many images of it, drawn at random, and as many generated and training ones, at
        most.
    features: `cnn`, the data set's own extractor, or `inception`.
    components: of the Gaussian mixture that is fitted on the training codes.
    neighbours: k of precision and recall, density and coverage.
    seed: of every draw.
    """

    model_config = ConfigDict(extra="forbid")

    split: Literal["test", "val"] = "test"
    images: Annotated[int, Field(ge=20)] = 10_000
    features: Literal["cnn", "inception"] = "cnn"
    components: PositiveInt = 10
    neighbours: PositiveInt = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @classmethod
    def of(cls, cfg: DictConfig) -> "Settings":
        """Those of a config.

        Raises:
            InputError: a key outside what is allowed.
        """
        try:
            return cls.model_validate(dict(cfg.evaluation))
        except ValidationError as error:
            raise InputError(describe(error, "evaluation")) from error


class Codes(NamedTuple):
    """Codes of n images, (n, latent_dim) each: posterior means, and draws from the posterior."""

    mean: Tensor
    z: Tensor


class Evaluation(NamedTuple):
    """What `evaluate` finds.

    metrics: numbers by name, `<of what>/<measure>`.
    mixture: fitted on the training codes.
    samples: by sampler, uint8, (n, C, H, W).
    class_shares: of the real images and the samples, as the classifier sees them, (classes,) each;
        empty with features that know no classes.
    closest: the samples from the prior that come nearest to a training image, of each class as
        many, and those images, uint8, (CLOSEST, C, H, W) each.
    codes: of the real images.
    omissions: a line for what could not be measured on so few images or classes.
    """

    metrics: dict[str, float]
    mixture: Mixture
    samples: dict[str, Tensor]
    class_shares: dict[str, Tensor]
    closest: tuple[Tensor, Tensor]
    codes: Codes
    omissions: list[str]


def evaluate(model: AutoEncoder, data: ImageDataModule, settings: Settings) -> Evaluation:
    """Measure a trained model on the split's images; the same numbers for the same seed.

    Samples from the prior and from a Gaussian mixture fitted on the training codes, and the
    reconstructions, are rounded to 8 bits, as the real images are. As many training images, which
    are as good as a model's could be, are the floor. (How near samples come to the training images
    is held against how near images come that the model has not seen.)

    Raises:
        InputError: there are no features for this data set, or codes are NaN or infinite.
    """
    start = time.perf_counter()
    extractor = choose_extractor(data, settings).to(model.device)
    test = judged_on(data, settings)
    n = len(test)
    streams = {use: stream(settings.seed, use) for use in USES}
    torch.manual_seed(streams["posterior"].initial_seed())  # draws on the model's device
    train_codes, codes = encode(model, data.train.images), encode(model, test.images)
    mixture = Mixture.fit(train_codes.z, settings.components, streams["fit"].initial_seed())

    images = {
        "floor": data.train.images[torch.randperm(len(data.train), generator=streams["floor"])[:n]],
        "reconstruction": decode(model, codes.mean),
        "prior": decode(model, model.sample_prior(n, streams["prior"])),
        "mixture": decode(model, mixture.draw(n, streams["mixture"])),
    }
    metrics, shares = judge_images(images, test.images, extractor, settings.neighbours)
    to_train = {
        name: nearest(those[:SEARCHED], data.train.images)
        for name, those in {"held_out": test.images, **{s: images[s] for s in SAMPLERS}}.items()
    }
    metrics |= {f"{name}/nearest_train": found[0].mean().item() for name, found in to_train.items()}
    distances, indices = to_train["prior"]
    closest = first_of_each_class(distances.argsort(), data.train.labels[indices], CLOSEST)

    measures = latents.readability(train_codes.mean, data.train.labels, codes.mean, test.labels)
    if n > 1:
        draws = [model.sample_prior(n, streams["latent"]).cpu() for _ in range(3)]
        measures |= latents.prior_distances(codes.z, draws[0], model.prior_std)
        floors = latents.prior_distances(draws[1], draws[2], model.prior_std)
        measures |= {f"{name}_floor": value for name, value in floors.items()}
    metrics |= {f"latent/{name}": value for name, value in measures.items()}
    metrics["evaluation_seconds"] = time.perf_counter() - start
    return Evaluation(
        metrics,
        mixture,
        {name: images[name] for name in SAMPLERS},
        shares,
        (images["prior"][closest], data.train.images[indices[closest]]),
        codes,
        omissions(n, len(data.train.labels.unique()), settings.neighbours),
    )


def stream(seed: int, use: str) -> torch.Generator:
    """The random numbers of one of the `USES`: no other use draws the same, nor does training."""
    entropy = np.random.SeedSequence(seed, spawn_key=(USES.index(use),))
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0]))


def omissions(images: int, classes: int, neighbours: int) -> list[str]:
    """What cannot be measured on so few images of the split, or classes of training images."""
    lines = []
    if images <= neighbours:
        lines.append(
            f"precision, recall, density, coverage: evaluation.neighbours={neighbours} needs more"
            f" images than {images}"
        )
    if images < 2:
        lines.append("distances of images and of codes: there is one image alone")
    if classes < 2:
        lines.append("latent/probe_accuracy: the training images are of one class")
    return lines


def evaluate_run(
    model: AutoEncoder,
    data: ImageDataModule,
    settings: Settings,
    folder: Path,
    epochs: int,
    board: Any = None,
) -> dict[str, float]:
    """Evaluate, and leave in the run's folder what stands beside metrics.json: figures, the fitted
    mixture, the settings, and in TensorBoard's projector the test codes.

    Args:
        board: TensorBoard's writer, where there is one.

    Returns:
        The metrics.
    """
    found = evaluate(model, data, settings)
    for line in found.omissions:
        print(f"not measured: {line}")
    step = max(epochs - 1, 0)  # where the last epoch's curves end
    exhibits.leave(
        exhibits.of_evaluation(model, data, epochs, found), folder / "figures", board, step
    )
    found.mixture.save(folder / MIXTURE)
    used = {**conditions(data, settings), "components": len(found.mixture.weights)}
    write_whole(folder / EVALUATION, json.dumps(used, indent=2) + "\n")
    if board:
        codes = found.codes.mean[:PROJECTED]
        images, labels = judged_on(data, settings)[: len(codes)]
        names = [data.class_names[label] for label in labels.tolist()]
        board.add_embedding(codes, names, to_pixels(images), step, f"{settings.split} codes")
    return found.metrics


def first_of_each_class(order: Tensor, labels: Tensor, n: int) -> Tensor:
    """Of indices in order, (N,), the first of each class, then the second of each, and so on until
    there are n; sorted by class. MNIST's images nearest to each other would all be ones."""
    labels = labels[order]
    rank = (labels[:, None] == labels).tril(-1).sum(1)  # how many of its class come before
    chosen = rank.argsort(stable=True)[:n]
    return order[chosen[labels[chosen].argsort(stable=True)]]


def conditions(data: ImageDataModule, settings: Settings) -> dict[str, Any]:
    """What two evaluations must share for their numbers to compare."""
    n = len(judged_on(data, settings))
    extractor = fingerprint(data.extractor) if settings.features == "cnn" else "inception"
    return {"dataset": data.label, **settings.model_dump(), "images": n, "extractor": extractor}


def judged_on(data: ImageDataModule, settings: Settings) -> Images:
    """Images of the split that is asked for, no more than there are training images: all of them,
    or some that the seed draws."""
    images = data.val if settings.split == "val" else data.test
    order = torch.randperm(len(images), generator=stream(settings.seed, "split"))
    return images.subset(order[: min(settings.images, len(data.train))].sort().values)


def choose_extractor(data: ImageDataModule, settings: Settings) -> Extractor:
    """The extractor that the settings name.

    Raises:
        InputError: there is none for this data set, or too little to judge on.
    """
    if settings.split == "val" and not data.val_size:
        raise InputError(
            "evaluation.split=val: there is no validation set with dataset.val_size=0; set a larger"
            " dataset.val_size"
        )
    most = min(settings.images, data.val_size if settings.split == "val" else settings.images)
    if settings.neighbours >= most:
        raise InputError(
            f"evaluation.neighbours={settings.neighbours}: needs more images to judge on than"
            f" {most}; allowed: at most {most - 1}"
        )
    return Inception() if settings.features == "inception" else load_extractor(data.extractor)


def encode(model: AutoEncoder, images: Tensor) -> Codes:
    """uint8 images (N, C, H, W) -> their codes, on the CPU.

    Raises:
        InputError: a code is NaN or infinite.
    """
    means, draws = [], []
    with inference(model):
        for batch in images.split(BATCH):
            mean, z = model.encode_and_draw(to_pixels(batch.to(model.device)))
            means.append(mean.cpu())
            draws.append(z.cpu())
    codes = Codes(torch.cat(means), torch.cat(draws))
    exhibits.refuse_diverged(codes.z)
    return codes


def decode(model: AutoEncoder, codes: Tensor) -> Tensor:
    """Codes (N, latent_dim) -> images of 8 bits, uint8 (N, C, H, W), on the CPU."""
    with inference(model):
        batches = [model.decode(z.to(model.device)) for z in codes.split(BATCH)]
    return torch.cat([(255 * batch).round().to(torch.uint8).cpu() for batch in batches])


def judge_images(
    images: dict[str, Tensor], test: Tensor, extractor: Extractor, neighbours: int
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Metrics of sets of images against the test images, as far as there are enough images, and
    the shares of the classes in each."""
    metrics: dict[str, float] = {}
    real = extractor.extract(test)
    enough = len(test) > neighbours
    real_radii = radii(real.values, neighbours) if enough else None
    shares = {} if real.classes is None else {"real images": _shares(real.classes)}
    for name, found in ((name, extractor.extract(those)) for name, those in images.items()):
        measures: dict[str, float] = {}
        if len(test) > 1:
            measures[extractor.name] = frechet_distance(real.values, found.values)
            measures["kernel_distance"] = kernel_distance(real.values, found.values)
        if enough:
            measures |= overlap(real.values, found.values, neighbours, real_radii)._asdict()
        if found.classes is not None:
            share = _shares(found.classes)
            measures["class_entropy"] = entropy(share)
            measures["rarest_class"] = share.min().item()
            if name in SAMPLERS:
                shares[name] = share
        metrics |= {f"{name}/{measure}": value for measure, value in measures.items()}
    return metrics, shares


def _shares(probabilities: Tensor) -> Tensor:
    """The share of images that the classifier places in each class: (N, classes) -> (classes,)."""
    n, classes = probabilities.shape
    return probabilities.argmax(1).bincount(minlength=classes).double() / n
