"""The metrics of examples and codes, as far as they can be measured."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from autoencoders.data import DataModule, Examples
from autoencoders.errors import InputError
from autoencoders.evaluation.choosing import choose, stream
from autoencoders.evaluation.coding import Codes
from autoencoders.evaluation.settings import FLOOR, HELD_OUT, Settings
from autoencoders.features import Extractor
from autoencoders.metrics import latents, samples
from autoencoders.metrics.base import Metric
from autoencoders.metrics.distances import class_shares
from autoencoders.metrics.samples import ExampleSets, Sample
from autoencoders.models import AutoEncoder
from autoencoders.samplers import Density, Prior, Sampler


class Measurements:
    """Metrics of one set of examples after another, against the same real ones.

    Args:
        real: the examples that a model is judged on.
        train: all that it was trained on.

    Attributes:
        metrics: numbers by name, `<of what>/<measure>`.
        left_out: by what could not be measured and why, of which sets.
        errors: a stack trace for each metric that failed.
        class_shares: see `Evaluation`.
    """

    def __init__(
        self, extractor: Extractor, real: Examples, train: Examples, settings: Settings
    ) -> None:
        self.extractor = extractor
        self.settings = settings
        self.real = self._sample(real.values)
        self.labels = real.labels
        self.factors = real.factors
        self.train = train.blockwise
        self.metrics: dict[str, float] = {}
        self.left_out: dict[str, list[str]] = {}  # of what, by what and why
        self.errors: list[str] = []
        self.of_examples = (samples.frechet(extractor.distance), *samples.METRICS)
        self.log_probs: list[Tensor] = []  # of the codes, by each density but the prior's
        self.class_shares: dict[str, Tensor] = {}
        if self.real.classes is not None:
            self.class_shares["real images"] = class_shares(self.real.classes)
        several = choose(train, len(real), stream(settings.seed, FLOOR))
        floors = {FLOOR: self._sample(several.values), HELD_OUT: self.real}
        for metric in self.of_examples:
            if metric.floor:
                self._measure(metric.floor, metric, self._sets(floors[metric.floor]))

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
        """Measure examples (n, *shape), as `Examples.values` holds them."""
        sample = self._sample(values)
        for metric in self.of_examples:
            self._measure(name, metric, self._sets(sample))
        if sample.classes is not None:
            self.class_shares[name] = class_shares(sample.classes)
        return sample

    def density(self, name: str, sampler: Sampler, z: Tensor) -> None:
        """Measure how likely a sampler finds codes (N, latent_dim), where it has a density."""
        if isinstance(sampler, Density):
            with self.part(name, "log_likelihood"):
                log_probs = sampler.log_prob(z)
                self._measure(name, latents.DENSITY, log_probs)
                if not isinstance(sampler, Prior):
                    self.log_probs.append(log_probs)

    def codes(
        self, codes: Codes, train: Codes, model: AutoEncoder, data: DataModule, examples: Examples
    ) -> None:
        """Measure codes: against the prior, and by what they say of labels, if there are any.

        Args:
            examples: those that the codes `train` are of.
        """
        n, prior = len(codes.z), model.prior.frozen()
        if densities := [log_probs for log_probs in self.log_probs if log_probs.isfinite().all()]:
            likeliest = max(densities, key=lambda log_probs: log_probs.mean().item())
            with self.part("latent", "kl"):  # a prior of one's own may know no density
                of_prior = prior.log_prob(codes.z.double().to(model.device)).cpu()
                self._measure("latent", latents.KL, likeliest, of_prior)
        of_seed = partial(stream, self.settings.seed)
        draws = [prior.draw(n, of_seed(f"prior {i}"), "cpu") for i in range(3)]
        for metric in latents.PRIOR_METRICS:
            self._measure("latent", metric, codes.z, draws[0], prior.scale)
            self._measure("latent", metric, draws[1], draws[2], prior.scale, suffix="_floor")
        known = (train.mean, examples.labels, codes.mean, self.labels)
        # A conditional model's encoder is given the labels: its codes may repeat them.
        for metric in latents.LABEL_METRICS if data.class_names and not model.conditional else ():
            self._measure("latent", metric, *known)
        for i, factor in enumerate(data.factor_names):
            known = (train.mean, examples.factors[:, i], codes.mean, self.factors[:, i])
            for metric in latents.FACTOR_METRICS:
                self._measure("latent", metric, *known, suffix=f"_{factor}")

    def _sample(self, values: Tensor) -> Sample:
        features = self.extractor.extract(values)
        return Sample(values, features.values, features.classes)

    def _sets(self, sample: Sample) -> ExampleSets:
        return ExampleSets(sample, self.real, self.train, self.settings.neighbours)

    def _measure(self, of: str, metric: Metric, *arguments: Any, suffix: str = "") -> None:
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
