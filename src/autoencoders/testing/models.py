"""The contract of a model."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from autoencoders.data import Batch
from autoencoders.models import AutoEncoder
from autoencoders.networks import MLP
from autoencoders.testing.faults import call
from autoencoders.testing.losses import check_average, check_losses, first_of
from autoencoders.testing.methods import check_methods
from autoencoders.testing.training import check_training

EXAMPLES = 8
CLASSES = 4  # of a conditional model's data


def check_model(
    model_class: type[AutoEncoder], batch: Batch | None = None, **arguments: Any
) -> None:
    """Check a model on examples of one kind: one call for each kind that it is to take.

    Its losses are finite scalars, "loss" and "reconstruction" first, the reconstruction averaged
    over the batch. `encode`, `decode`, `reconstruct` and `sample` give the right shapes, in
    evaluation mode, without gradients, and leave the model as it was. Gradients of training reach
    all parameters. A checkpoint gives the same model, bit for bit, and training that is resumed
    from one comes to the same weights.

    Args:
        model_class: the model.
        batch: examples that it takes, if random ones with labels will not do: where it needs
            covariates, say, or counts.
        arguments: the model's, `**data.spec` among them; by default it is made for images of shape
            (1, 28, 28), with a small network that takes any shape, and with squared errors where
            data are unbounded.

    Raises:
        AssertionError: a sentence that names the fault.
    """
    known = defaults(model_class, arguments) | arguments

    def make() -> AutoEncoder:
        torch.manual_seed(0)
        model: AutoEncoder = call(model_class.__name__, model_class, **known)
        return model

    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        model = make()
        batch = examples_for(model) if batch is None else batch
        check_losses(model.train(), batch)
        check_losses(model.eval(), batch)
        check_losses(model, first_of(batch))
        check_average(model, batch)
        check_methods(make(), batch)
        check_training(make, batch, known, Path(folder))


def defaults(model_class: type[AutoEncoder], arguments: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"network": MLP(hidden_dim=8), "latent_dim": 3}
    if model_class.conditional:
        known["classes"] = CLASSES
    if not arguments.get("bounded", True):
        known["cost"] = "mse"
    return known


def examples_for(model: AutoEncoder) -> Batch:
    draw = torch.rand if model.bounded else torch.randn
    return Batch(draw(EXAMPLES, *model.shape), torch.arange(EXAMPLES) % max(model.classes, 1))
