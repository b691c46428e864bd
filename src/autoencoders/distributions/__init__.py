"""The three kinds of distribution that a model is made of: priors and posteriors of codes, and
likelihoods of data."""

from autoencoders.distributions.likelihoods import Bernoulli, Likelihood
from autoencoders.distributions.posteriors import NormalPosterior, PointPosterior, Posterior
from autoencoders.distributions.priors import MixturePrior, NormalPrior, Prior

__all__ = [
    "Bernoulli",
    "Likelihood",
    "MixturePrior",
    "NormalPosterior",
    "NormalPrior",
    "PointPosterior",
    "Posterior",
    "Prior",
]
