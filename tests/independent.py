"""A run's numbers computed anew from its weights, by code that shares nothing with the package.

The networks are written out as functions of the checkpoint's tensors, the metrics as brute force in
NumPy and SciPy. What involves random draws is drawn here by another generator, and so comes with
the tolerance of an estimate.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import LogisticRegression

EXACT = 2e-4
K = 5  # neighbours
EXTRACTORS = Path(__file__).parents[1] / "src/autoencoders/features/weights"


class Number(NamedTuple):
    """A recomputed value, and how far the reported one may lie from it."""

    value: float
    rel: float = EXACT
    abs: float = 2e-5


# The networks ------------------------------------------------------------------------------------


def normalised(x, weights, name):
    return F.batch_norm(
        x,
        weights[f"{name}.running_mean"],
        weights[f"{name}.running_var"],
        weights[f"{name}.weight"],
        weights[f"{name}.bias"],
    )


def encoder(weights, x):
    for i in range(4):
        x = F.conv2d(x, weights[f"encoder.features.{i}.0.weight"], stride=2, padding=1)
        x = F.relu(normalised(x, weights, f"encoder.features.{i}.1") if i else x)
    return F.linear(x.flatten(1), weights["encoder.head.weight"], weights["encoder.head.bias"])


def decoder(weights, z):
    x = F.relu(F.linear(z, weights["decoder.project.0.weight"], weights["decoder.project.0.bias"]))
    x = x.reshape(len(z), -1, 7, 7)
    for i in (0, 3):
        kernel = weights[f"decoder.upsample.{i}.weight"]
        x = F.conv_transpose2d(x, kernel, weights[f"decoder.upsample.{i}.bias"])
        x = F.relu(normalised(x, weights, f"decoder.upsample.{i + 1}"))
    kernel, bias = weights["decoder.upsample.6.weight"], weights["decoder.upsample.6.bias"]
    return F.conv_transpose2d(x, kernel, bias, stride=2).double()  # logits


def posterior(weights, x):
    """Its mean, and the logarithm of its variance; None where it has none."""
    heads, latent_dim = encoder(weights, x), weights["decoder.project.0.weight"].shape[1]
    return heads[:, :latent_dim], heads[:, latent_dim:] if heads.shape[1] > latent_dim else None


def discriminator(weights, z):
    for i in (0, 2, 4, 6):
        name = f"discriminator.layers.{i}"
        z = F.relu(F.linear(z, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    name = "discriminator.layers.8"
    return F.linear(z, weights[f"{name}.weight"], weights[f"{name}.bias"]).flatten()


def features(name, images):
    """The shipped classifier's penultimate activations and probabilities of uint8 images."""
    weights = load_file(EXTRACTORS / f"{name}.safetensors")
    x = images.float() / 255
    for i in (0, 4, 7, 11, 14):
        x = F.conv2d(x, weights[f"layers.{i}.weight"], padding=1)
        x = F.relu(normalised(x, weights, f"layers.{i + 1}"))
        if i in (0, 7):
            x = F.max_pool2d(x, 2)
    x = x.mean((2, 3))
    logits = F.linear(x, weights["head.weight"], weights["head.bias"])
    return x.double().numpy(), logits.softmax(1).numpy()


# The metrics -------------------------------------------------------------------------------------


def frechet(x, y):
    root = sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    mean = x.mean(0) - y.mean(0)
    return mean @ mean + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)


def kernel_distance(x, y):
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a):
        values = kernel(a, a)
        return (values.sum() - np.trace(values)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def overlap(real, fake):
    def radii(x):
        return np.sort(cdist(x, x), 1)[:, K]

    between = cdist(real, fake)
    in_real = between <= radii(real)[:, None]
    return {
        "precision": in_real.any(0).mean(),
        "recall": (between <= radii(fake)[None]).any(1).mean(),
        "density": in_real.sum(0).mean() / K,
        "coverage": in_real.any(1).mean(),
    }


def class_shares(probabilities):
    shares = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    shares = shares / len(probabilities)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return {"class_entropy": -(shares * logs).sum(), "rarest_class": shares.min()}


def mmd(x, y, prior_std):
    """Averaged over all pairs, the inverse multiquadratic kernels of WAE-MMD."""

    def kernel(a, b):
        base, squares = 2 * a.shape[1] * prior_std**2, cdist(a, b, "sqeuclidean")
        scales = (0.1, 0.2, 0.5, 1, 2, 5, 10)
        return sum(base * s / (base * s + squares) for s in scales)

    def within(a):
        values = kernel(a, a)
        return (values.sum() - np.trace(values)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def knn_accuracy(train, train_labels, test, test_labels):
    nearest = cdist(test, train).argsort(1, kind="stable")[:, :10]
    votes = [np.bincount(train_labels[row], minlength=10).argmax() for row in nearest]
    return (np.array(votes) == test_labels).mean()


def probe_accuracy(train, train_labels, test, test_labels):
    mean, std = train.mean(0), train.std(0)
    probe = LogisticRegression(max_iter=5000).fit((train - mean) / std, train_labels)
    return probe.score((test - mean) / std, test_labels)


# A run's -----------------------------------------------------------------------------------------


def cross_entropy(logits, x):
    """-x log p - (1 - x) log(1 - p) for p = sigmoid(logits), summed over pixels."""
    nats = torch.logaddexp(torch.zeros_like(logits), logits) - x * logits
    return nats.sum((1, 2, 3)).mean().item()


def sliced_wasserstein(z, rng, parts=64):
    """The mean over directions of W_2^2 between codes and N(0, I), whose quantiles are cut fine."""
    directions = rng.standard_normal((z.shape[1], 500))
    values = np.sort(z @ (directions / np.linalg.norm(directions, axis=0)), 0).repeat(parts, 0)
    quantiles = norm.ppf((np.arange(len(values)) + 0.5) / len(values))
    return ((values - quantiles[:, None]) ** 2).mean()


def cramer_wold(z):
    """Its approximate closed form, against N(0, I)."""
    (n, dim), width = z.shape, (4 / (3 * len(z))) ** 0.4
    pairs = 1 / np.sqrt(width + cdist(z, z, "sqeuclidean") / (2 * dim - 3))
    cross = 1 / np.sqrt(width + 0.5 + (z**2).sum(1) / (2 * dim - 3))
    return (pairs.sum() / n**2 + 1 / np.sqrt(1 + width) - 2 * cross.mean()) / np.sqrt(4 * np.pi)


def total_correlation(z, mean, std):
    """Of the mixture of all posteriors, at the draws z."""
    densities = norm.pdf(z[:, None], mean, std)
    joint, marginals = densities.prod(2).mean(1), densities.mean(1)
    return (np.log(joint) - np.log(marginals).sum(1)).mean()


def over_batches(function, *arrays, size=16):
    """A function's mean over the batches of a test, the larger one counting more."""
    n = len(arrays[0])
    batches = [[array[i : i + size] for array in arrays] for i in range(0, n, size)]
    return sum(len(batch[0]) * function(*batch) for batch in batches) / n


def reconstruction_metrics(weights, images, kind, prior_std=1.0):
    """What `val/` and `test/` report of uint8 images."""
    x = images.float() / 255
    mean, log_var = posterior(weights, x)
    logits = decoder(weights, mean)
    x_hat, bce = 1 / (1 + (-logits).exp()), cross_entropy(logits, x)
    generator = torch.Generator().manual_seed(987)
    noise = torch.randn(200, *mean.shape, generator=generator).double()
    z = mean.double() if log_var is None else mean + (log_var / 2).exp() * noise
    flat = z.flatten(0, -2)
    numbers = {
        "mse": Number(((x_hat - x) ** 2).mean().item()),
        "bce": Number(bce),
        "z_abs_mean": Number(flat.mean(0).abs().mean().item()),
        "z_std": Number(flat.var(0, correction=0).mean().sqrt().item()),
        "active_units": Number((mean.var(0, correction=0) > 0.01).sum().item()),
        "reconstruction": Number(bce),
        "loss": Number(bce),
    }
    prior = prior_std * torch.randn(len(x) * 20, mean.shape[1], generator=generator)
    if log_var is not None:
        variance = log_var.double().exp() / prior_std**2
        squares = (mean.double() / prior_std) ** 2
        kl = (variance + squares - 1 - variance.log()).sum(1).mean().item() / 2
        sampled = decoder(weights, z[0].float())
        nats, sampled = cross_entropy(sampled, x), 1 / (1 + (-sampled).exp())
        numbers |= {
            "kl": Number(kl),
            "mse_sampled": Number(((sampled - x) ** 2).mean().item(), rel=0.05),
            "reconstruction": Number(nats, rel=0.03),
            "loss": Number(nats + kl, rel=0.03),
            "z_abs_mean": Number(flat.mean(0).abs().mean().item(), abs=0.1),
            "z_std": Number(flat.var(0, correction=0).mean().sqrt().item(), rel=0.05),
        }
    if kind == "wae":
        codes, drawn = (discriminator(weights, points).double() for points in (mean, prior))
        penalty = -codes.sigmoid().log().mean().item()
        game = -(drawn.sigmoid().log().mean() + (1 - codes.sigmoid()).log().mean()).item()
        right = ((drawn > 0).double().mean() + (codes <= 0).double().mean()).item() / 2
        numbers |= {
            "penalty": Number(penalty),
            "loss": Number(bce + 10 * penalty),
            "discriminator_loss": Number(game, rel=0.05),
            "discriminator_accuracy": Number(right, abs=0.06),
        }
    if kind == "wae_mmd":
        penalty = mmd(mean.double().numpy(), prior[: 4 * len(x)].double().numpy(), prior_std)
        numbers |= {
            "penalty": Number(penalty, rel=0.05, abs=0.1),
            "loss": Number(bce + 200 * penalty, rel=0.03, abs=200 * 0.1),
        }
    if kind == "rae":
        codes = (mean.double() ** 2).sum(1).mean().item() / 2
        kernels = [v for k, v in weights.items() if k.startswith("decoder") and v.ndim > 1]
        squares = sum((kernel.double() ** 2).sum().item() for kernel in kernels)
        numbers |= {
            "code_penalty": Number(codes),
            "decoder_penalty": Number(squares),
            "loss": Number(bce + 0.1 * codes + 1e-3 * squares),
        }
    if kind == "swae":
        rng = np.random.default_rng(987)
        penalty = over_batches(lambda z: sliced_wasserstein(z, rng), mean.double().numpy())
        numbers |= {
            "penalty": Number(penalty, rel=0.2),
            "loss": Number(bce + 100 * penalty, abs=100 * 0.2 * penalty),
        }
    if kind == "cwae":
        penalty = over_batches(lambda z: np.log(cramer_wold(z)), mean.double().numpy())
        numbers |= {"penalty": Number(penalty), "loss": Number(bce + 5 * penalty)}
    if kind == "info_vae":
        penalty = mmd(z[0].double().numpy(), prior[: 4 * len(x)].double().numpy(), prior_std)
        numbers |= {
            "penalty": Number(penalty, rel=0.05, abs=0.15),
            "loss": Number(nats + 0.5 * kl + 199.5 * penalty, rel=0.03, abs=200 * 0.15),
        }
    if kind == "beta_tcvae":
        moments = mean.double().numpy(), (log_var.double() / 2).exp().numpy()
        several = [over_batches(total_correlation, draws.numpy(), *moments) for draws in z[:20]]
        correlation = np.mean(several)
        numbers |= {
            "total_correlation": Number(correlation, abs=5 * np.std(several)),
            "loss": Number(nats + kl + 5 * correlation, rel=0.03),
        }
    return numbers


def estimate(values):
    """What one draw gives, told by several others."""
    return Number(np.mean(values), abs=4 * np.std(values))


def drawn(samplers, n, rng):
    """n codes of each sampler from its file's tensors, by name; those of a sampler that is not
    written out here from its own `draw`."""
    codes = {}
    for name, (sampler, path) in samplers.items():
        tensors = {key: value.numpy() for key, value in load_file(path).items()}
        if tensors.keys() == {"std"}:
            z = tensors["std"] * rng.standard_normal((n, len(tensors["std"])))
        elif tensors.keys() == {"weights", "means", "covariances"}:
            which = rng.choice(len(tensors["weights"]), n, p=tensors["weights"])
            both = zip(tensors["means"][which], tensors["covariances"][which], strict=True)
            z = np.stack([rng.multivariate_normal(*moments) for moments in both])
        else:
            z = type(sampler).load(path).draw(n).numpy()
        codes[name] = torch.from_numpy(z).float()
    return codes


def log_densities(path, z):
    """log p of codes (N, latent_dim) under the sampler in a file, (N,)."""
    tensors = load_file(path)
    if tensors.keys() == {"std"}:
        return norm.logpdf(z, scale=tensors["std"].numpy()).sum(1)
    normals = zip(tensors["means"].numpy(), tensors["covariances"].numpy(), strict=True)
    each = np.stack([multivariate_normal(*normal).logpdf(z) for normal in normals], 1)
    return logsumexp(each, axis=1, b=tensors["weights"].numpy())


def log_likelihoods(weights, images, samplers, prior_std, rng):
    """The mean log-density of uint8 images' codes under each sampler, by its metric's name, and how
    much larger the largest is than the prior's, if it is."""
    mean, log_var = posterior(weights, images.float() / 255)
    z = mean.double().numpy()
    if log_var is not None:
        z = z + (log_var / 2).exp().numpy() * rng.standard_normal(z.shape)
    densities = {name: log_densities(path, z) for name, (_, path) in samplers.items()}
    gain = densities["mixture"] - norm.logpdf(z, scale=prior_std).sum(1)
    error = 0 if log_var is None else 4 / np.sqrt(len(z))  # of a mean, in standard deviations
    return {"latent/kl": Number(max(gain.mean(), 0), abs=error * gain.std())} | {
        f"{name}/log_likelihood": Number(each.mean(), abs=error * each.std())
        for name, each in densities.items()
    }


def evaluation_metrics(weights, data, samplers, prior_std=1.0):
    """What an evaluation on all test images reports of images and codes."""

    def codes_of(images):
        return posterior(weights, images.float() / 255)[0]

    def to_bytes(z):
        return (255 / (1 + (-decoder(weights, z)).exp())).round().to(torch.uint8)

    n = len(data.test)
    rng = np.random.default_rng(987)
    train_codes, codes = codes_of(data.train.values), codes_of(data.test.values)
    real, _ = features("digits", data.test.values)
    images = {
        "floor": data.train.values[torch.from_numpy(rng.permutation(len(data.train))[:n])],
        "reconstruction": to_bytes(codes),
        **{name: to_bytes(z) for name, z in drawn(samplers, n, rng).items()},
    }
    numbers = {}
    for name, those in images.items():
        fake, probabilities = features("digits", those)
        exact = name == "reconstruction"
        estimates = {
            "fd_cnn": Number(frechet(real, fake), rel=EXACT if exact else 0.4),
            "kernel_distance": Number(
                kernel_distance(real, fake), rel=EXACT if exact else 0.2, abs=0.005
            ),
            **{k: Number(v, abs=0.01 if exact else 0.15) for k, v in overlap(real, fake).items()},
            **{
                k: Number(v, abs=0.01 if exact else 0.3)
                for k, v in class_shares(probabilities).items()
            },
        }
        numbers |= {f"{name}/{key}": number for key, number in estimates.items()}
    train = data.train.values.flatten(1).double().numpy() / 255
    of_others = {**images, "held_out": data.test.values}
    del of_others["floor"]
    for name, those in of_others.items():
        distances = cdist(those.flatten(1).double().numpy() / 255, train).min(1) / 28
        exact = name in ("held_out", "reconstruction")
        numbers[f"{name}/nearest_train"] = Number(distances.mean(), rel=EXACT if exact else 0.1)
    numbers |= log_likelihoods(weights, data.test.values, samplers, prior_std, rng)
    z = codes.double().numpy()
    labels = data.train.labels.numpy(), data.test.labels.numpy()
    arguments = (train_codes.numpy(), labels[0], codes.numpy(), labels[1])
    if posterior(weights, data.test.values[:1].float() / 255)[1] is None:  # else codes are drawn
        several = prior_std * rng.standard_normal((20, *z.shape))
        numbers |= {
            "latent/mmd": estimate([mmd(z, points, prior_std) for points in several]),
            "latent/frechet": estimate([frechet(z, points) for points in several]),
        }
    numbers |= {
        "latent/mmd_floor": Number(0, abs=0.05),
        "latent/frechet_floor": Number(0, abs=0.3),
        "latent/knn_accuracy": Number(knn_accuracy(*arguments), abs=0.01),
        "latent/probe_accuracy": Number(probe_accuracy(*arguments), abs=0.02),
    }
    return numbers


def assert_numbers(metrics, numbers):
    """Raise where a reported number is missing or not what it should be."""
    wrong = {
        name: (metrics.get(name), number)
        for name, number in numbers.items()
        if name not in metrics
        or not abs(metrics[name] - number.value) <= max(number.abs, number.rel * abs(number.value))
    }
    assert not wrong, wrong
