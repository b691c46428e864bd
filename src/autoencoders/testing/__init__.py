"""What a model, a network, a data set, a sampler and a metric must do, as checks that anyone runs.

Each is one call, and raises AssertionError with one sentence that names the fault:

    check_model(VAE, **data.spec)
    check_network(MLP(), shape=(1, 28, 28))
    check_data(Digits())
    check_sampler(Mixture())
    check_metric(metric)

They leave torch's random state as it was. That two processes make the step of one is not checked:
it does not hold where a penalty compares the examples of a batch with each other.
"""

from autoencoders.testing.data import check_data
from autoencoders.testing.metrics import check_metric
from autoencoders.testing.models import check_model
from autoencoders.testing.networks import check_network
from autoencoders.testing.samplers import check_sampler

__all__ = ["check_data", "check_metric", "check_model", "check_network", "check_sampler"]
