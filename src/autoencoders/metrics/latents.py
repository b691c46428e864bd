"""What the codes are worth: how far from the prior they lie, and what can be read off them."""

import torch
from torch import Tensor

from autoencoders.divergences import mmd
from autoencoders.metrics.samples import frechet_distance

BLOCK = 2000  # points a kernel matrix holds
PROJECTIONS = 200
NEIGHBOURS = 10


def prior_distances(codes: Tensor, prior: Tensor, prior_std: float) -> dict[str, float]:
    """Distances between two samples of codes; of a draw from the prior, their finite-sample floor.

    Args:
        codes: draws from the aggregate posterior, (N, latent_dim).
        prior: as many from N(0, prior_std^2 I).

    Returns:
        `mmd`: squared, unbiased, see `divergences.mmd`; averaged over blocks of 2,000 (Zaremba et
        al. 2013, arXiv 1307.1954). `sliced_wasserstein`: of order 2. `frechet`: between the
        Gaussians of the same moments.
    """
    blocks = zip(codes.split(BLOCK), prior.split(BLOCK), strict=True)
    sizes = [(len(x), mmd(x, y, prior_std).item()) for x, y in blocks if len(x) > 1]
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
    directions = torch.randn(x.shape[1], projections, generator=generator)
    directions = directions / directions.norm(dim=0)
    a, b = ((sample.cpu() @ directions).sort(0).values for sample in (x, y))
    return ((a - b) ** 2).mean().sqrt().item()


def readability(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
) -> dict[str, float]:
    """Test accuracy of two classifiers of codes, (N, latent_dim) with labels (N,).

    Returns:
        `knn_accuracy`: of the ten nearest training codes; `probe_accuracy`: of a linear probe, a
        multinomial logistic regression on standardised codes, where there are two classes.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second: only who needs it pays
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifiers = {"knn_accuracy": KNeighborsClassifier(min(NEIGHBOURS, len(train)))}
    if len(train_labels.unique()) > 1:
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifiers["probe_accuracy"] = probe
    x, labels = train.numpy(), train_labels.numpy()
    return {
        name: float(classifier.fit(x, labels).score(test.numpy(), test_labels.numpy()))
        for name, classifier in classifiers.items()
    }
