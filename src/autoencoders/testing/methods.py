"""The part of a model's contract that the methods for its use are held to."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoencoders.data import Batch
from autoencoders.models import AutoEncoder
from autoencoders.testing.faults import call, listed, require, require_tensor
from autoencoders.testing.losses import first_of

Call = Callable[[], Tensor]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalization


def calls_of(model: AutoEncoder, batch: Batch) -> dict[str, Call]:
    """A call of each public method by its name, its random draws fixed."""
    n = len(batch.x)
    z = torch.linspace(-1, 1, n * model.latent_dim).reshape(n, model.latent_dim)

    def sample() -> Tensor:
        covariates: dict[str, Any] = dict(batch.covariates)
        return model.sample(n, torch.Generator().manual_seed(0), **covariates)

    return {
        "encode": lambda: model.encode(batch.x, **batch.given),
        "decode": lambda: model.decode(z, **batch.given),
        "reconstruct": lambda: model.reconstruct(batch.x, **batch.given),
        "sample": sample,
    }


def check_methods(model: AutoEncoder, batch: Batch) -> None:
    """Check `encode`, `decode`, `reconstruct` and `sample`."""
    model.train()(batch)  # running statistics other than the initial ones
    name, n = type(model).__name__, len(batch.x)
    for method, function in calls_of(model, batch).items():
        shape = (n, model.latent_dim) if method == "encode" else (n, *model.shape)
        value = check_state(model, f"{name}.{method}", function)
        require_tensor(f"what {name}.{method} gives", value, shape)
        require(not value.requires_grad, f"{name}.{method} computes gradients")
        check_mode(model, f"{name}.{method}", function)
        if model.bounded and method != "encode":
            inside = bool(((value >= 0) & (value <= 1)).all())
            require(inside, f"{name}.{method} leaves [0, 1], the range of the data")
    check_one_example(model, batch)
    if model.conditional:
        check_labels(model, batch)


def check_state(model: AutoEncoder, name: str, function: Call) -> Tensor:
    """Call a method of a model in training, which must leave all as it was."""
    before = {key: value.clone() for key, value in model.train().state_dict().items()}
    value: Tensor = call(name, function)
    state = model.state_dict()
    changed = [key for key, old in before.items() if not torch.equal(old, state[key])]
    statistics = [key for key in changed if key.endswith(STATISTICS)]
    require(not statistics, f"{name} is not in evaluation mode: running statistics changed")
    require(not changed, f"{name} changes the model: {listed(changed)}")
    training = all(module.training for module in model.modules())
    require(training, f"{name} leaves the model in evaluation mode")
    return value


def check_mode(model: AutoEncoder, name: str, function: Call) -> None:
    in_training = call(name, function)
    model.eval()
    in_evaluation, again = call(name, function), call(name, function)
    require(not model.training, f"{name} leaves the model in training mode")
    require(torch.equal(in_evaluation, again), f"{name} gives other values at a second call")
    same = torch.equal(in_training, in_evaluation)
    require(same, f"{name} is not in evaluation mode: it gives other values during training")


def check_one_example(model: AutoEncoder, batch: Batch) -> None:
    """Check that one example will do, and gives what it gives in a batch."""
    together = calls_of(model, batch)
    for method, function in calls_of(model, first_of(batch)).items():
        name = f"{type(model).__name__}.{method}"
        alone, among = call(f"{name} of one example", function), together[method]()
        shape = (1, *among.shape[1:])
        require_tensor(f"what {name} gives for one example", alone, shape)
        if method in ("encode", "reconstruct"):
            same = torch.allclose(alone, among[:1], rtol=1e-5, atol=1e-5)
            require(same, f"{name} gives an example alone another result than in a batch")


def check_labels(model: AutoEncoder, batch: Batch) -> None:
    """Check that a conditional model decodes one code otherwise for each class."""
    name = type(model).__name__
    labels = batch.labels if batch.labels is not None else torch.zeros(len(batch.x)).long()
    z = torch.zeros(len(labels), model.latent_dim)
    here, there = (
        model.decode(z, (labels + shift) % model.classes, **batch.covariates) for shift in (0, 1)
    )
    require(not torch.equal(here, there), f"{name} is conditional, and its decode ignores labels")
    covariates = first_of(batch, 2).covariates
    x = call(f"{name}.sample(2, label=0)", model.sample, 2, label=0, **covariates)
    require_tensor(f"what {name}.sample(2, label=0) gives", x, (2, *model.shape))
