"""What the codes are worth: how far from the prior they lie, and what can be read off them."""

import torch
from torch import Tensor

from autoencoders.divergences import mmd
from autoencoders.metrics.base import Metric, Quantity
from autoencoders.metrics.distances import frechet_distance, require_points

BLOCK = 2000  # points a kernel matrix holds
PROJECTIONS = 200
NEIGHBOURS = 10


def prior_distances(codes: Tensor, prior: Tensor, prior_std: float) -> dict[str, float]:
    """Distances between two samples of codes; of a draw from the prior, their finite-sample floor.

    Args:
        codes: draws from the aggregate posterior, (N, latent_dim).
        prior: as many from N(0, prior_std^2 I), (N, latent_dim).

    Returns:
        `mmd`: squared, unbiased, see `divergences.mmd`; averaged over random blocks of 2,000
        (Zaremba et al. 2013, arXiv 1307.1954). `sliced_wasserstein`: of order 2. `frechet`:
        between the Gaussians of the same moments.

    Raises:
        ValueError: one code, codes that are NaN or infinite, or not as many draws.
    """
    require_points(codes, prior)
    if len(codes) != len(prior):
        raise ValueError(f"{len(codes)} codes need as many draws from the prior, not {len(prior)}")
    # In random order: a block of a sorted file is no draw from the aggregate posterior.
    shuffled = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))]
    # In units of the prior, whose square may be beyond single precision, which is twice as fast.
    units = ((z.double() / prior_std).float().split(BLOCK) for z in (shuffled, prior))
    blocks = zip(*units, strict=True)
    sizes = [(len(x), mmd(x, y).item()) for x, y in blocks if len(x) > 1]
    return {
        "mmd": sum(n * value for n, value in sizes) / sum(n for n, _ in sizes),
        "sliced_wasserstein": sliced_wasserstein(codes, prior),
        "frechet": frechet_distance(codes.double(), prior.double()),
    }


def sliced_wasserstein(x: Tensor, y: Tensor, projections: int = PROJECTIONS) -> float:
    """Sliced Wasserstein distance of order 2 between two samples of one size, (N, d) each.

    The root of the mean over random directions of W_2^2 in one dimension, where the optimal plan
    pairs sorted points (Bonneel et al. 2015). Directions are the same in every call.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(x.shape[1], projections, generator=generator).double()
    directions = directions / directions.norm(dim=0)
    a, b = ((sample.cpu().double() @ directions).sort(0).values for sample in (x, y))
    return ((a - b) ** 2).mean().sqrt().item()


def labelled(codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The codes, (N, latent_dim), that have a label, and their labels."""
    known = labels >= 0
    return codes[known], labels[known]


def knn_accuracy(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
) -> dict[str, float]:
    """Accuracy on test codes, (N, latent_dim) with labels (N,), of the vote of the ten nearest
    training codes. Codes without a label are left out."""
    from sklearn.neighbors import KNeighborsClassifier  # takes a second: only who needs it pays

    train, train_labels = labelled(train, train_labels)
    test, test_labels = labelled(test, test_labels)
    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
    classifier.fit(train.numpy(), train_labels.numpy())
    return {"knn_accuracy": float(classifier.score(test.numpy(), test_labels.numpy()))}


def probe_accuracy(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
) -> dict[str, float]:
    """Accuracy on test codes, (N, latent_dim) with labels (N,), of a linear probe: a multinomial
    logistic regression on standardised training codes. Codes without a label are left out.

    Raises:
        ValueError: training examples of one class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, train_labels = labelled(train, train_labels)
    test, test_labels = labelled(test, test_labels)
    if len(train_labels.unique()) < 2:
        raise ValueError("a classifier needs training examples of at least two classes")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(train.numpy(), train_labels.numpy())
    return {"probe_accuracy": float(probe.score(test.numpy(), test_labels.numpy()))}


def log_likelihood(log_probs: Tensor) -> dict[str, float]:
    """Mean of a sampler's log-densities of codes, (N,), in nats per code."""
    return {"log_likelihood": log_probs.mean().item()}


# Of a sampler that has a density. The units of the codes are in it: it compares samplers of one
# model, and not models.
DENSITY = Metric(log_likelihood, (Quantity("log_likelihood", "log-likelihood of codes"),))


def kl_bound(log_probs: Tensor, prior_log_probs: Tensor) -> dict[str, float]:
    """A lower bound of KL(Q_z || P_z) in nats: log m(z) - log p(z), (N,) each, averaged over codes.

    Whatever the density m is, E log m(z) <= E log q(z) over z ~ q (Gibbs' inequality), so that the
    mean is at most E log q(z) - log p(z). That holds for codes that m was not fitted on; the better
    m fits, the tighter. Where m fits worse than the prior, 0 is the bound: no KL is below it.
    """
    return {"kl": (log_probs - prior_log_probs).mean().clamp_min(0).item()}


# Of the sampler that finds codes likeliest, against the prior. Units of the codes cancel.
KL = Metric(kl_bound, (Quantity("kl", "KL from the prior, at least", "lower"),))

# Of codes against draws from the prior; the floor is of two sets of draws.
PRIOR_METRICS = (
    Metric(
        prior_distances,
        (
            Quantity("mmd", "MMD", "lower"),
            Quantity("sliced_wasserstein", "sliced Wasserstein", "lower"),
            Quantity("frechet", "Fréchet distance", "lower"),
        ),
    ),
)

PROBE = Metric(probe_accuracy, (Quantity("probe_accuracy", "linear probe", "higher"),))

# Of training and test codes with their labels.
LABEL_METRICS = (
    Metric(knn_accuracy, (Quantity("knn_accuracy", "kNN accuracy", "higher"),)),
    PROBE,
)

# Of the same for each factor that the data are known to vary in; its name follows the key.
FACTOR_METRICS = (PROBE,)
