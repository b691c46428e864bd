"""Every number that a run's metrics.json may hold, with its heading, in the order of tables."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from autoencoders.evaluation.settings import RECONSTRUCTION
from autoencoders.features import EXTRACTORS
from autoencoders.metrics import epoch, latents, samples
from autoencoders.metrics.base import Quantity

FLOOR = "real examples"  # the heading of what they reach by the same measure

TRAINING = (
    Quantity("parameters", "parameters"),
    Quantity("epochs", "epochs"),
    Quantity("train_seconds", "seconds"),
    Quantity("images_per_second", "images/s"),
    Quantity("peak_memory_gib", "peak memory, GiB"),
    Quantity("evaluation_seconds", "evaluation, s"),
)


class Column(NamedTuple):
    """One number.

    key: in metrics.json.
    section: that it belongs to.
    name: its heading.
    better: which values are; None where neither is.
    floor: the key of what real examples, or draws from the prior, reach by the same measure.
    """

    key: str
    section: str
    name: str
    better: Literal["lower", "higher"] | None
    floor: str | None = None


def columns(
    samplers: Iterable[str], names: Iterable[str] = (), split: str = "test"
) -> list[Column]:
    """The columns of runs that were evaluated with these samplers.

    Args:
        names: of the metrics that the runs have, among them the terms that objectives are made of,
            `<split>/<term>`, and the factors that codes were probed for.
        split: what the models were measured on, `test` or `val`.
    """
    names = sorted(names)
    of_errors = [
        Column(f"{split}/{q.key}", "Reconstruction", q.name, q.better) for q in epoch.QUANTITIES
    ]
    of_codes = [Column(f"{split}/{q.key}", "Latent space", q.name, q.better) for q in epoch.CODES]
    known = {column.key for column in (*of_errors, *of_codes)}
    own = [
        Column(key, "Objective", key.removeprefix(f"{split}/").replace("_", " "), None)
        for key in names
        if key.startswith(f"{split}/") and key not in known
    ]
    of_factors = [
        Column(key, "Latent space", f"{q.name}, {key.removeprefix(stem)}", q.better)
        for metric in latents.FACTOR_METRICS
        for q in metric.quantities
        for key in names
        if key.startswith(stem := f"latent/{q.key}_")
    ]
    return [
        *of_errors,
        *of_examples(RECONSTRUCTION, "Reconstruction"),
        *(column for name in samplers for column in of_sampler(name)),
        *(
            Column(f"latent/{q.key}", "Latent space", q.name, q.better)
            for q in latents.KL.quantities
        ),
        *(
            Column(f"latent/{q.key}", "Latent space", q.name, q.better, f"latent/{q.key}_floor")
            for metric in latents.PRIOR_METRICS
            for q in metric.quantities
        ),
        *(
            Column(f"latent/{q.key}", "Latent space", q.name, q.better)
            for metric in latents.LABEL_METRICS
            for q in metric.quantities
        ),
        *of_factors,
        *of_codes,
        *own,
        *(Column(q.key, "Training", q.name, q.better) for q in TRAINING),
    ]


def headlines(samplers: Iterable[str], split: str = "test") -> list[Column]:
    """The columns that matter most: whether the model reconstructs, how far its samples are from
    real examples, whether they are good and all of them there, how far the codes are from the
    prior, and what they say about classes."""
    samplers = list(samplers)
    distances = {extractor.distance.key for extractor in EXTRACTORS}
    first = next(iter(samplers), "")
    keys = {
        *(f"{split}/mse", "latent/kl", "latent/mmd", "latent/knn_accuracy", "train_seconds"),
        *(f"{first}/{measure}" for measure in ("precision", "recall")),
        *(f"{of}/{distance}" for of in (RECONSTRUCTION, *samplers) for distance in distances),
    }
    return [column for column in columns(samplers, split=split) if column.key in keys]


def of_sampler(name: str) -> list[Column]:
    """The columns of a sampler: its examples', and how likely it finds the codes."""
    section = f"Samples: {name}"
    density = [
        Column(f"{name}/{q.key}", section, q.name, q.better) for q in latents.DENSITY.quantities
    ]
    of_its_examples = of_examples(name, section)
    after = len(EXTRACTORS)  # the Frechet distances come first
    return [*of_its_examples[:after], *density, *of_its_examples[after:]]


def of_examples(name: str, section: str) -> list[Column]:
    """The columns of one set of examples: reconstructions, or a sampler's."""
    distances = (samples.frechet(extractor.distance) for extractor in EXTRACTORS)
    return [
        Column(f"{name}/{q.key}", section, q.name, q.better, f"{metric.floor}/{q.key}")
        for metric in (*distances, *samples.METRICS)
        for q in metric.quantities
    ]
