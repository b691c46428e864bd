"""Every number in metrics.json is that of the checkpoint which it claims to be about."""

import json

import pytest
import torch
from conftest import choices, compose_evaluate, without_figures
from independent import assert_numbers, evaluation_metrics, reconstruction_metrics
from test_train import short_run

from autoencoders.data import Digits
from autoencoders.launch.evaluation import evaluation_settings
from evaluate import evaluate

QUICK = ("wae",)  # whose third network is judged too
OTHERS = ("cvae", "vamp")  # whose own tests recompute what their encoders are given
MODELS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in choices("model")
    if name not in OTHERS
]
SAMPLERS = evaluation_settings(compose_evaluate())[1]
WITHOUT_WEIGHTS = {  # what no weights tell
    *("train_seconds", "images_per_second", "peak_memory_gib", "evaluation_seconds"),
    *("latent/sliced_wasserstein", "latent/sliced_wasserstein_floor"),  # see test_latents.py
}


@pytest.fixture(scope="module")
def digits():
    data = Digits(val_size=200)
    data.setup()
    return data


def numbers_of(folder, checkpoint, kind, data, stages=("val", "test")):
    """What metrics.json should hold of a checkpoint, by name."""
    content = torch.load(folder / f"checkpoints/{checkpoint}.ckpt", weights_only=True)
    weights = content["state_dict"]
    images = {"val": data.val.values, "test": data.test.values}
    numbers = {
        f"{stage}/{name}": number
        for stage in stages
        for name, number in reconstruction_metrics(weights, images[stage], kind).items()
    }
    home = folder if checkpoint == "last" else folder / checkpoint
    samplers = {
        name: (sampler, home / f"samplers/{name}.safetensors") for name, sampler in SAMPLERS.items()
    }
    numbers |= evaluation_metrics(weights, data, samplers)
    return numbers, content


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    """A run of each model whose best epoch is its first, evaluated on all test images."""
    folder = tmp_path_factory.mktemp(request.param)
    overrides = ("network.hidden_dim=4", "model.latent_dim=4", "++trainer.limit_train_batches=1.0")
    never_better = ("monitor=val/active_units", "trainer.max_epochs=3")
    short_run(folder, f"model={request.param}", "evaluate=true", *overrides, *never_better)
    return request.param, folder


def test_after_training(run, digits):
    kind, folder = run
    metrics = json.loads((folder / "metrics.json").read_text())
    numbers, content = numbers_of(folder, "last", kind, digits)
    assert_numbers(metrics, numbers)
    assert metrics["epochs"] == content["epoch"] + 1 == 3
    learnt = [v for k, v in content["state_dict"].items() if "running" not in k and "num_" not in k]
    assert metrics["parameters"] == sum(value.numel() for value in learnt)
    of_training = {name for name in metrics if name.startswith("train/")}
    assert metrics.keys() - numbers.keys() - WITHOUT_WEIGHTS - of_training <= {
        *("epochs", "parameters", "latent/mmd", "latent/frechet")
    }


def test_after_evaluating_the_best(run, digits):
    kind, folder = run
    with without_figures():
        evaluate(compose_evaluate(), folder, "best")
    metrics = json.loads((folder / "best/metrics.json").read_text())
    numbers, content = numbers_of(folder, "best", kind, digits)
    assert_numbers(metrics, numbers)
    assert metrics["epochs"] == content["epoch"] + 1 == 1


@pytest.mark.slow
@pytest.mark.parametrize("run", ["vae", "wae"], indirect=True)
def test_after_evaluating_altered_weights(run, digits):
    """And after somebody has written another number into metrics.json."""
    kind, folder = run
    last = folder / "checkpoints/last.ckpt"
    content = torch.load(last, weights_only=True)
    torch.manual_seed(0)
    for name, value in content["state_dict"].items():
        if name.startswith(("encoder", "decoder", "discriminator")) and value.ndim > 1:
            value.add_(0.5 * value.std() * torch.randn_like(value))
    torch.save(content, last)
    before = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**before, "test/mse": 123.0}))
    with without_figures():
        evaluate(compose_evaluate(), folder, "last")
    after = json.loads((folder / "metrics.json").read_text())
    numbers, _ = numbers_of(folder, "last", kind, digits, stages=("test",))
    assert_numbers(after, numbers)
    about_the_weights = {
        name
        for name in after
        if name.partition("/")[0] in ("test", "reconstruction", "latent", *SAMPLERS)
        and not name.endswith(("_floor", "active_units", "rarest_class"))
    }
    same = {name for name in about_the_weights if after[name] == before[name]}
    # Shares of examples end at 0 and 1, and one may be the same by chance.
    assert len({name for name in same if before[name] not in (0, 1)}) <= 1
