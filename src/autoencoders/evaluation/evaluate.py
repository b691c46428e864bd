"""What a trained model is worth: the quality of its samples and of its codes."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoencoders.data import DataModule, Examples
from autoencoders.evaluation.choosing import Closest, choose, closest, digest_of, stream
from autoencoders.evaluation.coding import Codes, decode, encode
from autoencoders.evaluation.measurements import Measurements
from autoencoders.evaluation.settings import RECONSTRUCTION, Settings
from autoencoders.features import load_extractor
from autoencoders.metrics.samples import Sample
from autoencoders.models import AutoEncoder
from autoencoders.samplers import Sampler

TRAIN_PER_TEST = 6  # training codes for each example judged on, as MNIST has


class Evaluation(NamedTuple):
    """What `evaluate` measures.

    metrics: numbers by name, `<of what>/<measure>`.
    left_out: a line for each metric that the data are too few for, that is NaN or infinite, or
        that failed.
    errors: a stack trace for each that failed.
    conditions: what two evaluations must share for their numbers to compare.
    real: the examples judged on.
    codes: of these.
    generated: by sampler, (n, *shape), as `Examples.values` holds them.
    class_shares: of the real examples and by sampler, as a classifier sees them, (classes,) each;
        empty with features that know no classes.
    closest: of the first sampler, the examples that come nearest to a training example, of each
        class as many, CLOSEST in all.
    samplers: the fitted ones.
    """

    metrics: dict[str, float]
    left_out: list[str]
    errors: list[str]
    conditions: dict[str, Any]
    real: Examples
    codes: Codes
    generated: dict[str, Tensor]
    class_shares: dict[str, Tensor]
    closest: Closest
    samplers: dict[str, Sampler]


def evaluate(
    model: AutoEncoder,
    data: DataModule,
    settings: Settings,
    samplers: Mapping[str, Sampler],
    begin: Callable[[str], None] = lambda stage: None,
) -> Evaluation:
    """Measure a trained model on the split's examples; the same numbers for the same seed.

    Samples and reconstructions are rounded to 8 bits where the real examples are. The floor
    is what as many training examples reach by the same measure. (How near samples come to the
    training set is held against how near real examples come that the model has not seen.)

    Args:
        begin: is told each stage of the work as it begins.

    Raises:
        InputError: codes are NaN or infinite.
    """
    start = time.perf_counter()
    data.judge_on(settings.split)
    begin("features of real examples")
    extractor = load_extractor(settings.features, data.extractor).fit(data.reference.values)
    extractor = extractor.to(model.device)
    held_out = data.held_out
    real = choose(held_out, min(settings.images, len(data.train)), stream(settings.seed, "real"))
    train = choose(data.train, TRAIN_PER_TEST * len(real), stream(settings.seed, "train"))
    begin(f"codes of {len(train):,} training and {len(real):,} {data.held_out_name} examples")
    with torch.random.fork_rng():  # for a posterior's draws
        torch.manual_seed(stream(settings.seed, "posterior").initial_seed())
        train_codes, codes = encode(model, train), encode(model, real)

    # What a conditional model's samples are decoded with: labels and covariates as they come.
    given = data.train.resample(len(real), stream(settings.seed, "given"))
    begin("metrics of real examples")
    measurements = Measurements(extractor, real, data.train, settings)
    fitted: dict[str, Sampler] = {}
    generated: dict[str, Tensor] = {}
    for name, sampler in samplers.items():
        begin(f"{len(real):,} samples: {name}")
        with measurements.part(name):
            fit = sampler.fit(train_codes.z, model.prior, settings.seed, train.labels)
            z = fit.draw(len(real), stream(settings.seed, name))
            values = decode(model, z, given)
            fitted[name], generated[name] = fit, values

    begin("metrics of reconstructions")
    with measurements.part(RECONSTRUCTION):
        measurements.examples(RECONSTRUCTION, decode(model, codes.mean, real))
    measured: dict[str, Sample] = {}
    for name, values in generated.items():
        begin(f"metrics of samples: {name}")
        measured[name] = measurements.examples(name, values)
        measurements.density(name, fitted[name], codes.z)
    begin("metrics of codes")
    measurements.codes(codes, train_codes, model, data, train)
    return Evaluation(
        {**measurements.metrics, "evaluation_seconds": time.perf_counter() - start},
        [f"{', '.join(of)}: {line}" for line, of in measurements.left_out.items()],
        measurements.errors,
        {
            "dataset": data.label,
            **settings.model_dump(),
            "images": len(real),
            "images_asked": settings.images,
            "extractor": extractor.fingerprint,
            "examples": digest_of(real.values),
        },
        real,
        codes,
        generated,
        {name: s for name, s in measurements.class_shares.items() if name != RECONSTRUCTION},
        closest(next(iter(measured.values()), measurements.real), data.train),
        fitted,
    )
