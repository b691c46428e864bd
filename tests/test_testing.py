"""The checks of `autoencoders.testing`: everything in the package passes them, and each kind of
fault is named."""

import ast
import inspect

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, choices, compose_train, exported, small_data, write_data
from hydra.utils import instantiate
from safetensors.torch import load_file, save_file
from small import adam
from torch import nn

import autoencoders.data
import autoencoders.models
import autoencoders.networks
import autoencoders.samplers
from autoencoders.data import Batch, DataModule, Examples
from autoencoders.metrics import distances, latents, samples
from autoencoders.metrics.base import Metric, Quantity
from autoencoders.models import AE, CVAE, AutoEncoder, VampVAE
from autoencoders.networks import MLP, Network, Tutorial
from autoencoders.samplers import ClassMixture, Sampler
from autoencoders.testing import (
    check_data,
    check_metric,
    check_model,
    check_network,
    check_sampler,
)

MODELS = exported(autoencoders.models, AutoEncoder)
NETWORKS = exported(autoencoders.networks, Network)
SAMPLERS = exported(autoencoders.samplers, Sampler)
KINDS = {
    "image": {"network": Tutorial(hidden_dim=2), "input_noise": 0.1},
    "vector": {"shape": (5,), "kind": "vector", "bounded": False, "cost": "sigma"},
    "series": {"shape": (2, 6), "kind": "series", "bounded": False},
}


def fault(check, *arguments, **options):
    """The sentence that a check ends in."""
    with pytest.raises(AssertionError) as raised:
        check(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# What is there passes -----------------------------------------------------------------------------


# Of series those that read the dimensions of x themselves, and one that does not.
ON = {"image": MODELS, "vector": MODELS, "series": [AE, CVAE, VampVAE]}


@pytest.mark.parametrize(("kind", "model_class"), [(kind, m) for kind in ON for m in ON[kind]])
def test_every_model(kind, model_class):
    before = torch.get_rng_state()
    check_model(model_class, **KINDS[kind])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_every_network(network, shape):
    check_network(network(hidden_dim=4), shape)


@pytest.mark.parametrize("shape", [(5,), (2, 6)])
def test_a_network_of_vectors_and_series(shape):
    check_network(MLP(hidden_dim=4, norm="layer", dropout=0.2), shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("dataset", choices("dataset"))
def test_every_data_set(dataset, folder):
    overrides = (*small_data(dataset, folder), "dataset.val_size=10")
    data = instantiate(compose_train(*overrides).dataset, _convert_="all")
    check_data(data)
    assert len(data.val) == 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler(sampler):
    fast = {"epochs": 2} if "epochs" in inspect.signature(sampler).parameters else {}
    check_sampler(sampler(**fast))


@pytest.mark.parametrize(
    "metric", [*samples.METRICS, samples.frechet(Quantity("fd", "FD", "lower"))]
)
def test_every_metric_of_samples(metric):
    check_metric(metric)


def normal(seed, shift=0.0):
    return torch.randn(300, 3, generator=torch.Generator().manual_seed(seed)) + shift


def labelled(spread):
    """Training codes and test codes of two classes, so far apart."""
    labels = torch.arange(300) % 2
    parts = [normal(seed, 0.0) + spread * labels[:, None] for seed in (1, 2)]
    return parts[0], labels, parts[1], labels


@pytest.mark.parametrize("metric", [*latents.PRIOR_METRICS, *latents.LABEL_METRICS])
def test_every_metric_of_codes(metric):
    if metric in latents.PRIOR_METRICS:
        good = [(normal(seed), normal(9), 1.0) for seed in (1, 2)]
        check_metric(metric, good, (normal(3, 5.0), normal(9), 1.0))
    else:
        check_metric(metric, [labelled(5.0)], labelled(0.0))


def test_the_metrics_of_densities():
    check_metric(latents.KL, [(torch.zeros(9), torch.zeros(9))], (torch.ones(9), torch.zeros(9)))
    check_metric(latents.DENSITY, [(torch.zeros(9),)], (-torch.ones(9),))


def test_nothing_of_it_needs_pytest():
    for file in (ROOT / "src/autoencoders/testing").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            assert "pytest" not in [getattr(node, "module", None), *names]


# Models with a fault ------------------------------------------------------------------------------


class Reversed(AE):
    def losses(self, batch, out):
        return dict(reversed(super().losses(batch, out).items()))


class Infinite(AE):
    def losses(self, batch, out):
        losses = super().losses(batch, out)
        return {**losses, "penalty": losses["loss"] / 0}


class Detached(AE):
    def losses(self, batch, out):
        losses = super().losses(batch, out)
        return {**losses, "loss": losses["loss"].detach()}


class Summed(AE):
    def reconstruction(self, batch, out):
        return super().reconstruction(batch, out) * len(batch.x)


class PerExample(AE):
    def losses(self, batch, out):
        return {**super().losses(batch, out), "penalty": out.z.sum(1)}


class InPlace(AE):
    def losses(self, batch, out):
        batch.x.clamp_(0.2)
        return super().losses(batch, out)


class Unused(AE):
    def __init__(self, **common):
        super().__init__(**common)
        self.unused = nn.Linear(2, 2)


class Untrained(AE):
    def autoencoder_parameters(self):
        return self.encoder.parameters()


class TrainingEncode(AE):
    @torch.no_grad()
    def encode(self, x, labels=None, **covariates):
        return self.posterior(Batch(x)).mean


class Scaled(AE):
    """Knows training from evaluation without running statistics."""

    def encode(self, x, labels=None, **covariates):
        return super().encode(x) * (1 + self.training)


class WithGradients(AE):
    def encode(self, x, labels=None, **covariates):
        training = self.training
        z = self.eval().posterior(Batch(x)).mean
        self.train(training)
        return z


class LeftInEvaluation(AE):
    def decode(self, z, labels=None, **covariates):
        return super(LeftInEvaluation, self.eval()).decode(z)


class Flat(AE):
    def decode(self, z, labels=None, **covariates):
        return super().decode(z).flatten(1)


class Logits(AE):
    def decode(self, z, labels=None, **covariates):
        return super().decode(z) * 2 + 1


class Counted(AE):
    def __init__(self, **common):
        super().__init__(**common)
        self.register_buffer("count", torch.zeros(()))

    def sample(self, n, *arguments, **options):
        self.count += n
        return super().sample(n, *arguments, **options)


class Dropped(AE):
    def logits(self, z, given):
        return F.dropout(self.decoder(z), 0.5)  # also in evaluation


class AsArray(AE):
    def encode(self, x, labels=None, **covariates):
        return super().encode(x).numpy()


class LeftInTraining(AE):
    def decode(self, z, labels=None, **covariates):
        x_hat = super().decode(z)
        self.train()
        return x_hat


class Rounded(AE):
    def on_load_checkpoint(self, checkpoint):
        weights = checkpoint["state_dict"]
        weights["encoder.layers.0.bias"] = weights["encoder.layers.0.bias"].half().float()


class Centred(AE):
    def encode(self, x, labels=None, **covariates):
        z = super().encode(x)
        return z - z.mean(0)


class OneClass(CVAE):
    def one_hot(self, batch):
        return torch.zeros_like(super().one_hot(batch))


class Silent(AE):
    def validation_step(self, batch, batch_idx=0):
        pass


class Forgetful(AE):
    def __init__(self, *, power=2.0, **common):
        super().__init__(**common)


class Unsaved(AE):
    """A part of it is neither a parameter nor a buffer."""

    def __init__(self, **common):
        super().__init__(**common)
        self.shift = torch.randn(self.latent_dim)

    def logits(self, z, given):
        return self.decoder(z + self.shift)


class Setting:
    """Of no type that a checkpoint may hold."""


class Unreadable(AE):
    def __init__(self, *, setting=None, **common):
        super().__init__(**common)
        self.save_hyperparameters("setting")


class Halving(AE):
    def __init__(self, *, power=2.0, **common):
        super().__init__(**common)
        self.save_hyperparameters({"power": power / 2})


class Ageing(AE):
    """Counts its steps where no checkpoint does."""

    age = 0

    def training_step(self, batch, batch_idx=0):
        self.age += 1
        losses = super().training_step(batch, batch_idx)
        return {**losses, "loss": losses["loss"] * self.age**4 + out_of(self)}


def out_of(model):
    return 1e-3 * sum(p.square().sum() for p in model.parameters())


class ImagesAlone(AE):
    def losses(self, batch, out):
        return {**super().losses(batch, out), "brightness": batch.x.mean((2, 3)).mean()}


NO_NORM = {"network": MLP(hidden_dim=8, norm="none")}


@pytest.mark.parametrize(
    ("model_class", "arguments", "sentence"),
    [
        (Reversed, {}, 'Reversed.losses must begin with "loss" and "reconstruction"'),
        (Infinite, {}, '"penalty" of Infinite.losses, for 8 examples in training, is inf'),
        (PerExample, {}, '"penalty" of PerExample.losses, .*, is no scalar tensor'),
        (Detached, {}, '"loss" of Detached.losses has no gradient'),
        (Summed, {}, '"reconstruction" of Summed.losses is no average over the batch'),
        (InPlace, {}, "InPlace changes the examples in place"),
        (Unused, {}, "do not reach these parameters of Unused: unused.bias, unused.weight"),
        (Untrained, {}, "do not reach these parameters of Untrained: decoder.layers.0.bias, "),
        (TrainingEncode, {}, "TrainingEncode.encode is not in evaluation mode: running statistics"),
        (Scaled, NO_NORM, "Scaled.encode is not in evaluation mode: it gives other values during"),
        (WithGradients, {}, "WithGradients.encode computes gradients"),
        (LeftInEvaluation, {}, "LeftInEvaluation.decode leaves the model in evaluation mode"),
        (AsArray, {}, "what AsArray.encode gives is a ndarray, not a tensor"),
        (LeftInTraining, {}, "LeftInTraining.decode leaves the model in training mode"),
        (
            Rounded,
            {},
            "Rounded has another state after load_from_checkpoint: encoder.layers.0.bias",
        ),
        (Flat, {}, r"Flat.decode gives has the shape \(8, 784\), not \(8, 1, 28, 28\)"),
        (Logits, {}, r"Logits.decode leaves \[0, 1\], the range of the data"),
        (Counted, {}, "Counted.sample changes the model: count"),
        (Dropped, {}, "Dropped.decode gives other values at a second call"),
        (Centred, {}, "Centred.encode gives an example alone another result than in a batch"),
        (OneClass, {}, "OneClass is conditional, and its decode ignores labels"),
        (Silent, {}, "training of Silent reports no finite val/loss"),
        (Forgetful, {}, "Forgetful does not save these arguments, see save_hyperparameters: power"),
        (
            Unsaved,
            {},
            "Unsaved gives other values after load_from_checkpoint: decode, loss, recons",
        ),
        (Halving, {"power": 3.0}, "Halving saves other values of these arguments: power"),
        (Halving, {}, "Halving has other arguments after load_from_checkpoint: power"),
        (
            Unreadable,
            {"setting": Setting()},
            "Unreadable.load_from_checkpoint raises UnpicklingError",
        ),
        (Ageing, {}, "training of Ageing comes to other weights when it is resumed: decoder"),
        (ImagesAlone, KINDS["vector"], "ImagesAlone.losses raises IndexError"),
        (
            AE,
            {"optimizer": adam(1e30)},
            "NaN or infinite: encoder.layers.0.weight, .* and 25 more$",
        ),
        (AE, {"latent_dim": 0}, "AE raises ValidationError"),
        (CVAE, {"batch": Batch(torch.rand(8, 1, 28, 28))}, "CVAE.forward raises ValueError"),
    ],
)
def test_a_models_fault(model_class, arguments, sentence):
    assert_says(fault(check_model, model_class, **arguments), sentence)


def assert_says(found, sentence):
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(found)


def test_a_model_of_covariates_is_given_them():
    class Sized(AE):
        def logits(self, z, given):
            return self.decoder(z) * given.covariates["size"][:, None]

    kind = {"shape": (5,), "kind": "vector", "bounded": False}
    batch = Batch(torch.randn(6, 5), None, {"size": torch.rand(6) + 1})
    check_model(Sized, batch, **kind)
    assert "Sized.forward raises KeyError: 'size'" in fault(check_model, Sized, **kind)


# Networks with a fault ----------------------------------------------------------------------------


class Linear(nn.Module):
    def __init__(self, shape, out_dim):
        super().__init__()
        self.linear = nn.Linear(shape[0], out_dim)

    def forward(self, x):
        return self.linear(x).to(x.dtype)


class Half(Linear):
    def forward(self, x):
        return self.linear(x)


class Squeezed(Linear):
    def forward(self, x):
        return super().forward(x).squeeze()


class OfBatch(Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))


class Wide(Linear):
    def __init__(self, shape, out_dim):
        super().__init__(shape, out_dim + 1)


class Idle(Linear):
    def __init__(self, shape, out_dim):
        super().__init__(shape, out_dim)
        self.idle = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return super().forward(x) + 0 * self.idle.sum()


class Closed(Linear):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def family(kind):
    """A family of networks with that encoder."""

    class Family:
        def encoder(self, shape, out_dim):
            return kind(shape, out_dim)

        def decoder(self, latent_dim, shape):
            return Linear((latent_dim,), shape[0])

    return Family()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Half, "the encoder of Family gives under autocast is torch.bfloat16, not torch.float32"),
        (Squeezed, r"for a batch of 1 has the shape \(6,\), not \(1, 6\)"),
        (OfBatch, "encoder of Family gives an example another result in a batch of 1 than in one"),
        (Wide, r"the encoder of Family gives in training has the shape \(5, 7\), not \(5, 6\)"),
        (Closed, "no gradient comes out of the encoder of Family"),
        (Idle, "gradients do not reach these parameters of the encoder of Family: idle"),
        (lambda *_: torch.relu, "the encoder of Family is no torch module"),
        (lambda *_: 1 / 0, "Family.encoder raises ZeroDivisionError"),
    ],
)
def test_a_networks_fault(kind, sentence):
    check_network(family(Linear), (4,))
    assert_says(fault(check_network, family(kind), (4,)), sentence)


def test_a_network_without_a_decoder():
    assert fault(check_network, Linear((4,), 6)) == "Linear has no method encoder"


# Data sets with a fault ---------------------------------------------------------------------------


class Vectors(DataModule):
    label = "vectors"
    shape = (5,)
    kind = "vector"
    class_names = ("first", "second")

    def load(self):
        values = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
        examples = Examples(values, torch.arange(50) % 2)
        return examples.subset(slice(40)), examples.subset(slice(40, None))


class OwnValidation(Vectors):
    """With a validation set of its own, and examples without a label."""

    def load(self):
        train, test = super().load()
        train.labels[:5] = -1
        return train.subset(slice(30)), train.subset(slice(30, None)), test


class Unbounded(Vectors):
    def load(self):
        return tuple(Examples(3 * part.values, part.labels) for part in super().load())


class Unknown(Vectors):
    def load(self):
        return tuple(Examples(part.values, 2 * part.labels) for part in super().load())


class Floats(Vectors):
    def load(self):
        return tuple(Examples(part.values, part.labels.float()) for part in super().load())


class Missing(Vectors):
    def load(self):
        train, test = super().load()
        test.stored[test.rows[3], 2] = torch.nan
        return train, test


class Shuffled(Vectors):
    def load(self):
        train, test = super().load()
        both = Examples(torch.cat([train.values, test.values]))
        order = torch.randperm(50)
        return both.subset(order[:40]), both.subset(order[40:])


class Unseeded(Vectors):
    def split(self, everything, size):
        order = torch.randperm(len(everything))
        return everything.subset(order[:size]), everything.subset(order[size:])


class Overlapping(Vectors):
    def split(self, everything, size):
        rest = len(everything) - size
        return everything.subset(slice(size)), everything.subset(slice(rest))


class Leaking(Vectors):
    def load(self):
        train, test = super().load()
        return train, Examples(torch.cat([test.values, train.values[:5]]))


class Uneven(Vectors):
    def split(self, everything, size):
        return everything.subset(slice(20)), everything.subset(slice(20, None))


class Sized(Vectors):
    """Has a covariate, of so many test examples."""

    covariate_names = ("size",)
    sizes = 10

    def load(self):
        train, test = super().load()
        train.covariates["size"] = torch.ones(40)
        if self.sizes:
            test.covariates["size"] = torch.ones(self.sizes)
        return train, test


class Stripped(Sized):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return super().on_after_batch_transfer(batch._replace(covariates={}), dataloader_idx)


class Pairs(Vectors):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch

    def test_dataloader(self):
        return [(batch.x, batch.labels) for batch in super().test_dataloader()]


class Short(Vectors):
    def test_dataloader(self):
        return list(super().test_dataloader())[:-1]


@pytest.mark.parametrize("data_set", [Vectors, Sized, OwnValidation])
@pytest.mark.parametrize("val_size", [0, 10])
def test_a_data_set_without_a_fault(data_set, val_size):
    check_data(data_set(val_size=val_size))


@pytest.mark.parametrize(
    ("data_set", "attributes", "sentence"),
    [
        (Vectors, {"label": ""}, "Vectors has no label"),
        (Vectors, {"shape": (5, 1)}, r"kind vector, \(D\), and of the shape \(5, 1\)"),
        (Vectors, {"shape": (6,)}, r"x in the train set of Vectors has the shape \(30, 5\), not"),
        (Vectors, {"kind": "image"}, "Vectors.setup raises InputError"),
        (Vectors, {"covariate_names": ("size",)}, "Vectors.setup raises InputError"),
        (Vectors, {"class_names": ("one", "one")}, "Vectors.class_names names something twice"),
        (Vectors, {"factor_names": ("hair",)}, r"factors .* have the shape \(30, 0\), not \(30, 1"),
        (Vectors, {"feature_names": ("age",)}, r"has 1 feature_names and the shape \(5,\)"),
        (Unbounded, {}, "train set of Unbounded says that it is bounded, and has values of 0.0"),
        (Unknown, {}, r"train set of Unknown has 2 class_names and the labels \[2\]"),
        (Floats, {}, "labels in the train set of Floats are torch.float32, not torch.int64"),
        (Missing, {}, "x in the test set of Missing is NaN or infinite"),
        (Shuffled, {}, "training and validation examples of Shuffled are not those"),
        (Unseeded, {}, "Unseeded.split gives another split each time with one seed"),
        (Overlapping, {}, "training and validation examples of Overlapping are not those"),
        (Overlapping, {"val_size": 0}, "Overlapping.split leaves examples out, or has some in"),
        (Leaking, {}, "33% of the test set of Leaking is in its training set"),
        (Uneven, {}, r"Uneven.split gives \(20, 20\) examples, not \(30, 10\)"),
        (Sized, {"sizes": 0}, r"the test set of Sized says .* are \{'size'\}, and has set\(\)"),
        (Sized, {"sizes": 3}, "the test set of Sized has 3 values of size"),
        (Stripped, {}, r"Stripped.train_dataloader serves the covariates set\(\), not \{'size'"),
        (Pairs, {}, "Pairs.test_dataloader serves a tuple, not a Batch"),
        (Short, {"batch_size": 4}, "Short.test_dataloader serves 8 examples of 10"),
    ],
)
def test_a_data_sets_fault(data_set, attributes, sentence):
    data = data_set(val_size=10)
    for name, value in attributes.items():
        setattr(data, name, value)
    assert_says(fault(check_data, data), sentence)


# Samplers with a fault ----------------------------------------------------------------------------


class Gaussian:
    """The codes' mean and covariance."""

    def fit(self, codes, prior, seed=0, labels=None):
        self.mean, d = codes.mean(0), codes.shape[1]
        self.root = torch.linalg.cholesky(torch.cov(codes.T).reshape(d, d)).contiguous()
        return self

    def draw(self, n, generator=None):
        return self.mean + torch.randn(n, len(self.mean), generator=generator) @ self.root.T

    def log_prob(self, codes):
        law = torch.distributions.MultivariateNormal(self.mean, scale_tril=self.root)
        return law.log_prob(codes.float())

    def save(self, path):
        save_file({"mean": self.mean, "root": self.root}, path)

    @classmethod
    def load(cls, path):
        parts, sampler = load_file(path), cls()
        sampler.mean, sampler.root = parts["mean"], parts["root"]
        return sampler


class Transposed(Gaussian):
    def draw(self, n, generator=None):
        return super().draw(n, generator).T


class Doubles(Gaussian):
    def draw(self, n, generator=None):
        return super().draw(n, generator).double()


class Global(Gaussian):
    def draw(self, n, generator=None):
        return super().draw(n)


class Constant(Gaussian):
    def draw(self, n, generator=None):
        return super().draw(n, torch.Generator().manual_seed(0))


class RandomFit(Gaussian):
    def fit(self, codes, prior, seed=0, labels=None):
        return super().fit(codes[torch.randint(len(codes), (99,))], prior)


class Disordered(Gaussian):
    """Keeps torch's random state, and follows it."""

    def fit(self, codes, prior, seed=0, labels=None):
        with torch.random.fork_rng(devices=[]):
            return super().fit(codes[torch.randint(len(codes), (99,))], prior)


class Nothing(Gaussian):
    def fit(self, codes, prior, seed=0, labels=None):
        super().fit(codes, prior)


class Coarse(Gaussian):
    def save(self, path):
        save_file({"mean": self.mean.half().float(), "root": self.root}, path)


class CentringInPlace(Gaussian):
    def fit(self, codes, prior, seed=0, labels=None):
        super().fit(codes, prior)
        codes -= self.mean
        return self


class RandomLoad(Gaussian):
    @classmethod
    def load(cls, path):
        torch.rand(1)
        return super().load(path)


class OfBase(Gaussian):
    @classmethod
    def load(cls, path):
        return Gaussian.load(path)


class Tempered(Gaussian):
    factor = 1.0

    def log_prob(self, codes):
        return self.factor * super().log_prob(codes)

    @classmethod
    def load(cls, path):
        sampler = super().load(path)
        sampler.factor = 2.0
        return sampler


class Bounded(Gaussian):
    def log_prob(self, codes):
        log_prob = super().log_prob(codes)
        return log_prob.where(codes.norm(dim=1) < 9, -torch.inf)


class Renumbered(ClassMixture):
    def fit(self, codes, prior, seed=0, labels=None):
        return super().fit(codes, prior, seed, labels + 1)


class Unnormalised(Gaussian):
    def log_prob(self, codes):
        return super().log_prob(codes) + 0.1


class Narrow(Gaussian):
    """A density, and another one than that of the draws."""

    def log_prob(self, codes):
        law = torch.distributions.MultivariateNormal(self.mean, scale_tril=0.85 * self.root)
        return law.log_prob(codes.float())


class Independent(Gaussian):
    def log_prob(self, codes):
        scale = self.root.norm(dim=1)
        law = torch.distributions.Normal(self.mean, scale)
        return law.log_prob(codes.float())


class AllClasses(ClassMixture):
    def of_class(self, label):
        return self


def test_a_sampler_without_a_fault():
    check_sampler(Gaussian())


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (object, "object has no method fit"),
        (Transposed, r"Transposed.draw\(9\) gives has the shape \(1, 9\), not \(9, 1\)"),
        (Doubles, r"Doubles.draw\(1\) gives is torch.float64, not torch.float32"),
        (Global, "a generator does not fix what Global draws"),
        (Constant, "Constant draws the same whatever the generator"),
        (RandomFit, "RandomFit.fit changes torch's random state"),
        (Disordered, "a seed does not fix the fit of Disordered"),
        (Nothing, "Nothing.fit does not return the sampler"),
        (CentringInPlace, "CentringInPlace.fit changes the codes in place"),
        (RandomLoad, "RandomLoad.load changes torch's random state"),
        (OfBase, "OfBase.load gives a Gaussian"),
        (Tempered, "Tempered has another log_prob after save and load"),
        (Bounded, "Bounded.log_prob of its own draws is NaN or infinite"),
        (lambda: Renumbered(1), r"Renumbered.labels is \[1, 2, 3\] after a fit on \[0, 1, 2\]"),
        (Coarse, "Coarse draws other codes after save and load"),
        (Unnormalised, "Unnormalised.log_prob is no density: it integrates to 1.1"),
        (Narrow, "the draws of Narrow do not follow its log_prob: 25% of them are where it puts"),
        (Independent, r"Independent.log_prob gives the shape \(4000, 2\), not \(4000,\)"),
        (
            lambda: AllClasses(1),
            "AllClasses.of_class takes the label 3, which it was not",
        ),
    ],
)
def test_a_samplers_fault(kind, sentence):
    assert_says(fault(check_sampler, kind()), sentence)


# Metrics with a fault -----------------------------------------------------------------------------


def metric(compute, better="lower"):
    return Metric(compute, (Quantity("gap", "gap", better),), floor="floor")


def gap(sets):
    distances.require_points(sets.generated.features)
    difference = sets.generated.features.mean(0) - sets.real.features.mean(0)
    return {"gap": difference.norm().item()}


def noisy(sets):
    return {"gap": gap(sets)["gap"] + 6 * (sets.generated.features[:, 1].sum().item() % 1)}


def centre(sets):
    sets.generated.features.add_(1)
    return gap(sets)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (metric(gap, "higher"), "gap is said to be better the higher it is, and is 5"),
        (metric(lambda sets: {"gap": 1.0}), "better the lower it is, and is 1 for a worse set"),
        (metric(lambda sets: {"gap": torch.nan}), "gap is nan"),
        (metric(lambda sets: {"gap": torch.ones(())}), "gap is a Tensor, not a float"),
        (metric(lambda sets: {"gop": 1.0}), r"a metric names \['gap'\], and gives \['gop'\]"),
        (metric(lambda sets: {"gap": torch.rand(()).item()}), "gap is .* at a second call"),
        (metric(centre), "gap is .* at a second call"),
        (metric(lambda sets: {"gap": sets.generated.features[0, 0].item()}), "the order"),
        (metric(noisy), "gap is .* for real examples, and .* for a worse set"),
        (metric(lambda sets: {"gap": sets.generated.classes.mean().item()}), "AttributeError"),
        (metric(lambda sets: 1 / 0), "gap raises ZeroDivisionError: division by zero"),
        (Metric(gap, ()), "a metric names no quantity"),
    ],
)
def test_a_metrics_fault(wrong, sentence):
    check_metric(metric(gap))
    assert_says(fault(check_metric, wrong), sentence)
