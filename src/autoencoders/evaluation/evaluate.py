"""What a trained model is worth: the quality of its samples and of its codes."""

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, Field, PositiveInt
from torch import Tensor

from autoencoders.data import DataModule, Examples
from autoencoders.errors import InputError
from autoencoders.features import EXTRACTORS, Extractor, load_extractor
from autoencoders.metrics import latents, samples
from autoencoders.metrics.base import Metric
from autoencoders.metrics.samples import Judged, Sample
from autoencoders.models import AutoEncoder
from autoencoders.models.base import inference
from autoencoders.samplers import Density, Prior, Sampler

BATCH = 100  # activations that stay in a processor's cache
CLOSEST = 10  # samples that are shown beside their nearest training example
TRAIN_PER_TEST = 6  # training codes for each example judged on, as MNIST has
FLOOR, HELD_OUT, RECONSTRUCTION = "floor", "held_out", "reconstruction"

TAKEN = (FLOOR, HELD_OUT, RECONSTRUCTION, "latent", "train", "val", "test")


def _free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"no sampler may have one of the names {', '.join(TAKEN)}")
    return name


# What a sampler's metrics begin with.
SamplerName = Annotated[str, Field(pattern=r"^\w+$"), AfterValidator(_free)]


class Settings(BaseModel, extra="forbid"):
    """What an evaluation depends on; runs compare only where these agree.

    split: `test`, or `val` where something is chosen by the numbers, as in a search.
    images: how many examples of it, and as many generated and training ones, at most.
    features: what they are compared on: `cnn`, the classifier that ships for the data set, `pca`,
        `inception`, or `auto`: the classifier where one ships, else `pca`.
    neighbours: k of precision and recall, density and coverage.
    seed: of every draw.
    samplers: by name, the config of each.
    """

    split: Literal["test", "val"] = "test"
    images: Annotated[int, Field(ge=20)] = 10_000
    features: Literal["auto", "cnn", "pca", "inception"] = "auto"
    neighbours: PositiveInt = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    samplers: dict[SamplerName, dict[str, Any]] = {}


class Codes(NamedTuple):
    """Codes of n examples, (n, latent_dim) each: posterior means, and draws from the posterior."""

    mean: Tensor
    z: Tensor


class Closest(NamedTuple):
    """Generated examples that come near to training examples, and those.

    generated, train: (n, *shape) each, as `Examples.values` holds them.
    labels: the training examples' classes, (n,).
    distances: root mean squared difference per dimension of each pair, (n,).
    """

    generated: Tensor
    train: Tensor
    labels: Tensor
    distances: Tensor


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


def check(model: AutoEncoder, data: DataModule, settings: Settings, objective: str = "") -> None:
    """Raise InputError where an evaluation could not begin, before training rather than after it.

    Args:
        objective: a metric that is to be measured.

    Raises:
        InputError: no such features of this data set, or an objective on other features.
    """
    if settings.features == "inception":
        if data.kind != "image" or data.shape[0] not in (1, 3):
            raise InputError(
                "evaluation.features=inception: takes grey or colour images; the data set's"
                f" examples are of the shape {data.shape}; set evaluation.features=pca"
            )
        if not data.bounded:
            raise InputError(
                "evaluation.features=inception: takes images in [0, 1]; set evaluation.features=pca"
            )
    distance = load_extractor(settings.features, data.extractor).distance
    of, _, key = objective.rpartition("/")
    others = {extractor.distance.key for extractor in EXTRACTORS} - {distance.key}
    if key in others and of not in ("train", "val", "test"):  # where training measures none
        raise InputError(
            f"objective={objective}: examples of this data set are compared on other features:"
            f" objective={of}/{distance.key}; or set evaluation.features="
        )


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
    judge = Judge(extractor, real, data.train, settings)
    fitted: dict[str, Sampler] = {}
    generated: dict[str, Tensor] = {}
    for name, sampler in samplers.items():
        begin(f"{len(real):,} samples: {name}")
        with judge.part(name):
            fit = sampler.fit(train_codes.z, model.prior, settings.seed, train.labels)
            z = fit.draw(len(real), stream(settings.seed, name))
            values = decode(model, z, given)
            fitted[name], generated[name] = fit, values

    begin("metrics of reconstructions")
    with judge.part(RECONSTRUCTION):
        judge.examples(RECONSTRUCTION, decode(model, codes.mean, real))
    judged: dict[str, Sample] = {}
    for name, values in generated.items():
        begin(f"metrics of samples: {name}")
        judged[name] = judge.examples(name, values)
        judge.density(name, fitted[name], codes.z)
    begin("metrics of codes")
    judge.codes(codes, train_codes, model, data, train)
    return Evaluation(
        {**judge.metrics, "evaluation_seconds": time.perf_counter() - start},
        [f"{', '.join(of)}: {line}" for line, of in judge.left_out.items()],
        judge.errors,
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
        {name: s for name, s in judge.class_shares.items() if name != RECONSTRUCTION},
        closest(next(iter(judged.values()), judge.real), data.train),
        fitted,
    )


def digest_of(values: Tensor) -> str:
    """SHA-256 of examples (N, *shape): whether two models were judged on the same ones."""
    return hashlib.sha256(
        values.cpu().contiguous().flatten().view(torch.uint8).numpy().data
    ).hexdigest()


class Judge:
    """Takes the metrics of one set after another, against the same real examples."""

    def __init__(
        self, extractor: Extractor, real: Examples, train: Examples, settings: Settings
    ) -> None:
        self.extractor = extractor
        self.settings = settings
        self.real = self._sample(real.values)
        self.labels = real.labels
        self.factors = real.factors
        self.train = train.values
        self.metrics: dict[str, float] = {}
        self.left_out: dict[str, list[str]] = {}  # of what, by what and why
        self.errors: list[str] = []
        self.of_examples = (samples.frechet(extractor.distance), *samples.METRICS)
        self.log_probs: list[Tensor] = []  # of the codes, by each density but the prior's
        self.class_shares: dict[str, Tensor] = {}
        if self.real.classes is not None:
            self.class_shares["real images"] = samples.class_shares(self.real.classes)
        several = choose(train, len(real), stream(settings.seed, FLOOR))
        floors = {FLOOR: self._sample(several.values), HELD_OUT: self.real}
        for metric in self.of_examples:
            if metric.floor:
                self._take(metric.floor, metric, self._judged(floors[metric.floor]))

    @contextmanager
    def part(self, of: str, what: str = "all") -> Iterator[None]:
        """Leaves a part of the evaluation out if it fails: the other numbers stand."""
        try:
            yield
        except Exception as error:
            line = " ".join(str(error).split())
            if not isinstance(error, InputError | ValueError):  # a fault of a model's or a metric's
                line = f"{type(error).__name__}: {line}"
                self.errors.append(traceback.format_exc())
            self._leave_out(of, what, line)

    def examples(self, name: str, values: Tensor) -> Sample:
        """Judge examples (n, *shape), as `Examples.values` holds them."""
        sample = self._sample(values)
        for metric in self.of_examples:
            self._take(name, metric, self._judged(sample))
        if sample.classes is not None:
            self.class_shares[name] = samples.class_shares(sample.classes)
        return sample

    def density(self, name: str, sampler: Sampler, z: Tensor) -> None:
        """Judge how likely a sampler finds codes (N, latent_dim), where it has a density."""
        if isinstance(sampler, Density):
            with self.part(name, "log_likelihood"):
                log_probs = sampler.log_prob(z)
                self._take(name, latents.DENSITY, log_probs)
                if not isinstance(sampler, Prior):
                    self.log_probs.append(log_probs)

    def codes(
        self, codes: Codes, train: Codes, model: AutoEncoder, data: DataModule, examples: Examples
    ) -> None:
        """Judge codes: against the prior, and where there are labels, by what they tell of them.

        Args:
            examples: those that the codes `train` are of.
        """
        n, prior = len(codes.z), model.prior.frozen()
        if densities := [log_probs for log_probs in self.log_probs if log_probs.isfinite().all()]:
            likeliest = max(densities, key=lambda log_probs: log_probs.mean().item())
            with self.part("latent", "kl"):  # a prior of one's own may know no density
                of_prior = prior.log_prob(codes.z.double().to(model.device)).cpu()
                self._take("latent", latents.KL, likeliest, of_prior)
        of_seed = partial(stream, self.settings.seed)
        draws = [prior.draw(n, of_seed(f"prior {i}"), "cpu") for i in range(3)]
        for metric in latents.PRIOR_METRICS:
            self._take("latent", metric, codes.z, draws[0], prior.scale)
            self._take("latent", metric, draws[1], draws[2], prior.scale, suffix="_floor")
        known = (train.mean, examples.labels, codes.mean, self.labels)
        # A conditional model's encoder is given the labels: its codes may repeat them.
        for metric in latents.LABEL_METRICS if data.class_names and not model.conditional else ():
            self._take("latent", metric, *known)
        for i, factor in enumerate(data.factor_names):
            known = (train.mean, examples.factors[:, i], codes.mean, self.factors[:, i])
            for metric in latents.FACTOR_METRICS:
                self._take("latent", metric, *known, suffix=f"_{factor}")

    def _sample(self, values: Tensor) -> Sample:
        features = self.extractor.extract(values)
        return Sample(values, features.values, features.classes)

    def _judged(self, sample: Sample) -> Judged:
        return Judged(sample, self.real, self.train, self.settings.neighbours)

    def _take(self, of: str, metric: Metric, *arguments: Any, suffix: str = "") -> None:
        keys = ", ".join(f"{quantity.key}{suffix}" for quantity in metric.quantities)
        numbers: Mapping[str, float] = {}
        with self.part(of, keys):  # too few examples, or one class alone, is a ValueError
            numbers = metric.compute(*arguments)
        for key, value in numbers.items():
            if np.isfinite(value):
                self.metrics[f"{of}/{key}{suffix}"] = float(value)
            else:
                self._leave_out(of, f"{key}{suffix}", "NaN or infinite")

    def _leave_out(self, of: str, keys: str, reason: str) -> None:
        self.left_out.setdefault(f"{keys}: {reason}", []).append(of)


def stream(seed: int, use: str) -> torch.Generator:
    """A generator on the CPU for one use, which shares no numbers with those for others."""
    entropy = np.random.SeedSequence([seed, *use.encode()]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy))


def choose(examples: Examples, n: int, generator: torch.Generator) -> Examples:
    """n of them, in their order; all where there are no more."""
    if n >= len(examples):
        return examples
    return examples.subset(torch.randperm(len(examples), generator=generator)[:n].sort().values)


def closest(generated: Sample, train: Examples) -> Closest:
    """Of generated examples those nearest to a training example, of each class as many, CLOSEST in
    all."""
    values, (distances, indices) = generated.values, generated.nearest(train.values)
    chosen = first_of_each_class(distances.argsort(), train.labels[indices], CLOSEST)
    near = indices[chosen]
    return Closest(values[chosen], train.values[near], train.labels[near], distances[chosen])


def first_of_each_class(order: Tensor, labels: Tensor, n: int) -> Tensor:
    """Of indices in order, (N,), the first of each class, then the second of each, and so on until
    there are n; sorted by class. MNIST's images nearest to each other would all be ones."""
    labels = labels[order]
    rank = (labels[:, None] == labels).tril(-1).sum(1)  # how many of its class come before
    chosen = rank.argsort(stable=True)[:n]
    return order[chosen[labels[chosen].argsort(stable=True)]]


def encode(model: AutoEncoder, examples: Examples) -> Codes:
    """The examples' codes, on the CPU.

    Raises:
        InputError: a code is NaN or infinite.
    """
    means, draws = [], []
    with inference(model):
        for batch in examples.batches(BATCH, model.device):
            posterior = model.posterior(batch)
            means.append(posterior.mean.cpu())
            draws.append(posterior.draw().cpu())
    codes = Codes(torch.cat(means), torch.cat(draws))
    if not codes.z.isfinite().all():
        raise InputError(
            "codes are NaN or infinite: training has diverged; lower optimizer.lr and start again"
        )
    return codes


def decode(model: AutoEncoder, z: Tensor, given: Examples) -> Tensor:
    """Codes (N, latent_dim) -> examples (N, *shape) as `Examples.values` holds them.

    Args:
        given: N examples, whose labels and covariates a conditional model is given.
    """
    pairs = zip(z.split(BATCH), given.batches(BATCH, model.device), strict=True)
    decoded = (model.decode(codes.to(model.device), **batch.given) for codes, batch in pairs)
    in_bytes = given.values.dtype == torch.uint8
    return torch.cat([_in_bytes(x) if in_bytes else x.cpu() for x in decoded])


def _in_bytes(x: Tensor) -> Tensor:
    return (255 * x).round().to(torch.uint8).cpu()
