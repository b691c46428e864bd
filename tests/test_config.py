"""Everything composes, names its constructor's arguments, and says what its source says."""

import functools
import inspect
import string
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SMALL, attempt, build, choices, compose_train, small_data
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from small import batch_of

from autoencoders.data import DataModule
from autoencoders.launch.config import check_settings
from autoencoders.launch.objective import direction_of
from autoencoders.models import AutoEncoder

DATA = Path("data")  # no file is looked for
MODELS = choices("model")
NETWORKS = choices("network")
DATA_SETS = choices("dataset")


# Every choice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATA_SETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_takes_every_data_set_or_says_what_it_takes(network, dataset):
    cfg = compose_train(f"network={network}", *small_data(dataset, DATA), "model.cost=mse", *SMALL)
    built, refusal = attempt(build, cfg)
    if refusal:
        assert f"network={network}: takes" in refusal
    else:
        data, model = built
        assert model.sample(2).shape == (2, *data.shape)
        assert isinstance(model.network, get_class(cfg.network._target_))
        assert model.network.hidden_dim == 2


def defaults(*constructors):
    """The arguments of constructors and their default values, as a config file writes them."""
    arguments = {}
    for constructor in constructors:
        arguments |= inspect.signature(constructor).parameters
    plain = {
        name: list(argument.default) if isinstance(argument.default, tuple) else argument.default
        for name, argument in arguments.items()
        if argument.kind is not inspect.Parameter.VAR_KEYWORD
    }
    plain.pop("self", None)
    return plain


GIVEN = ("shape", "kind", "bounded", "classes", "optimizer", "scheduler")


@pytest.mark.parametrize("model", MODELS)
def test_a_models_file_says_what_its_constructor_says(model):
    cfg = OmegaConf.to_container(compose_train(f"model={model}").model)
    model_class = get_class(cfg.pop("_target_"))
    expected = defaults(AutoEncoder.__init__, model_class.__init__)
    for name in (*GIVEN, "network"):  # from elsewhere in the config
        del expected[name]
    assert cfg == expected


@pytest.mark.parametrize("network", NETWORKS)
def test_a_networks_file_says_what_its_constructor_says(network):
    cfg = OmegaConf.to_container(compose_train(f"network={network}").network)
    assert cfg == {"_target_": cfg["_target_"], **defaults(get_class(cfg["_target_"]))}


@pytest.mark.parametrize("dataset", DATA_SETS)
def test_a_data_sets_file_names_its_constructors_arguments(dataset):
    cfg = OmegaConf.to_container(compose_train(f"dataset={dataset}").dataset, resolve=False)
    expected = defaults(DataModule.__init__, get_class(cfg["_target_"]).__init__)
    assert set(cfg) - {"_target_"} == set(expected)


@pytest.mark.parametrize("dataset", ["table", "pbmc"])
def test_vectors_choose_a_network_and_a_cost_that_the_command_line_can_change(dataset):
    for model in MODELS:
        cfg = compose_train(f"dataset={dataset}", f"model={model}")
        assert (cfg.network._target_, cfg.model.cost) == ("autoencoders.networks.MLP", "sigma")
    cfg = compose_train(f"dataset={dataset}", "network=tutorial", "model.cost=mse")
    assert (cfg.network._target_, cfg.model.cost) == ("autoencoders.networks.Tutorial", "mse")
    cfg = compose_train(f"dataset={dataset}", "experiment=paper", "model=wae_mmd")
    assert (cfg.network._target_, cfg.model.cost) == ("autoencoders.networks.Paper", "mse")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose("compare", [f"dataset={dataset}"]).points == 5000


@pytest.mark.parametrize("dataset", DATA_SETS)
def test_a_data_sets_defaults_can_be_changed(dataset):
    wanted = ("model.cost=mse", "model.latent_dim=5", "network=mlp", "model=vae")
    cfg = compose_train(f"dataset={dataset}", *wanted)
    assert cfg.model.cost == "mse"
    assert cfg.model.latent_dim == 5
    assert cfg.network._target_ == "autoencoders.networks.MLP"
    assert cfg.model._target_ == "autoencoders.models.VAE"


@pytest.mark.parametrize("model", ["wae", "wae_mmd"])
def test_colour_images_bring_weights_that_suit_their_cost(model):
    """50 times those of grey digits; what is typed, and other models' weights, stay."""
    usual = compose_train(f"model={model}", "dataset=mnist").model.reg_weight
    for dataset in ("avatars", "celeba", "folder"):
        chosen = (f"model={model}", *small_data(dataset, DATA))
        assert compose_train(*chosen).model.reg_weight == 50 * usual
        assert compose_train(*chosen, "model.reg_weight=3").model.reg_weight == 3
    assert compose_train("model=swae", "dataset=avatars").model.reg_weight == 100


def test_colour_images_default_to_what_suits_them():
    for overrides in (["dataset=folder"], ["dataset=avatars", "model=ae"]):
        cfg = compose_train(*overrides)
        assert cfg.model.cost == "sigma"
        assert cfg.network._target_ == "autoencoders.networks.Strided"
    assert compose_train().model.cost == "bce"


@pytest.mark.parametrize("trainer", choices("trainer"))
def test_trainers_compose(trainer):
    cfg = compose_train(f"trainer={trainer}").trainer
    assert cfg._target_ == "pytorch_lightning.Trainer"
    assert cfg.precision == "auto"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(max_value=40) | st.sampled_from([float("inf"), float("nan")]),  # larger: no memory
    st.text(string.ascii_letters + " .-", max_size=8),
    st.lists(st.floats(-1, 2), max_size=3),
)


@pytest.mark.parametrize(
    ("group", "choice"), [*(("model", m) for m in MODELS), *(("network", n) for n in NETWORKS)]
)
@settings(max_examples=25, deadline=None)
@given(drawn=st.data())
def test_a_key_is_taken_or_refused_in_one_line(group, choice, drawn):
    """A constructor takes a value and keeps it, or names the key; nothing else happens."""
    changed = composed(group, choice).copy()
    key = drawn.draw(st.sampled_from([key for key in changed[group] if key != "_target_"]))
    changed[group][key] = drawn.draw(SCALARS)
    built, refusal = attempt(build, changed)
    if refusal:
        assert "\n" not in refusal
        assert key in refusal
    else:
        _, model = built
        assert model(batch_of(model, torch.rand(2, *model.shape))).logits.shape == (2, *model.shape)


@functools.cache
def composed(group, choice):
    return compose_train(f"{group}={choice}", *SMALL)


# The recipes --------------------------------------------------------------------------------------


TUTORIAL = {
    "network._target_": "autoencoders.networks.Tutorial",
    "network.hidden_dim": 40,
    "model.latent_dim": 20,
    "model.prior_std": 1.0,
    "optimizer.lr": 2e-4,
    "optimizer._target_": "torch.optim.Adam",
    "optimizer.betas": [0.9, 0.999],
    "model.input_noise": 0.0,
    "dataset.batch_size": 256,
    "dataset.val_size": 0,
    "trainer.max_epochs": 50,
    "trainer.precision": "32-true",
}
TUTORIAL_OF = {
    "ae": {"model.cost": "mse"},
    "vae": {"model.cost": "bce", "model.beta": 1.0},
    "wae": {
        "model.cost": "bce",
        "model.reg_weight": 0.01 * 784,
        "model.discriminator_optimizer.lr": 2e-4,
        "model.discriminator_dim": 4 * 40,
    },
}
PAPER = {
    "network._target_": "autoencoders.networks.Paper",
    "network.hidden_dim": 128,  # encoder 128-256-512-1024, decoder 1024-512-256
    "model.latent_dim": 8,
    "model.prior_std": 1.0,
    "model.cost": "mse",
    "model.reg_weight": 10 / 0.05,
    "optimizer.lr": 1e-3,
    "optimizer.betas": [0.5, 0.999],
    "model.input_noise": 0.01,
    "dataset.batch_size": 100,
    "dataset.val_size": 0,
    "trainer.max_epochs": 100,
    "trainer.precision": "32-true",
}
PAPER_OF = {
    "wae": {"model.discriminator_optimizer.lr": 5e-4, "model.discriminator_dim": 512},
    "wae_mmd": {"model.kernel": "imq", "model.kernel_scales": [0.1, 0.2, 0.5, 1, 2, 5, 10]},
}


def check(cfg, expected):
    for key, value in expected.items():
        found = OmegaConf.select(cfg, key)
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, key


def rate_by_epoch(cfg, epochs):
    cfg.network.hidden_dim = 2
    _, model = build(cfg)
    optimizer = model.optimizer(model.parameters())
    schedule = model.scheduler(optimizer)
    rates = []
    for _ in range(max(epochs) + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [rates[epoch] for epoch in epochs]


@pytest.mark.parametrize("model", TUTORIAL_OF)
@pytest.mark.parametrize("dataset", ["mnist", "fmnist"])
def test_the_tutorials_recipe(model, dataset):
    cfg = compose_train("experiment=tutorial", f"model={model}", f"dataset={dataset}")
    assert cfg.dataset._target_ == compose_train(f"dataset={dataset}").dataset._target_
    check(cfg, TUTORIAL | TUTORIAL_OF[model])
    rates = rate_by_epoch(cfg, [0, 29, 30, 49, 60])  # half every 30 epochs
    assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 1e-4, 5e-5])


@pytest.mark.parametrize("model", PAPER_OF)
def test_the_papers_recipe(model):
    cfg = compose_train("experiment=paper", f"model={model}")
    assert cfg.dataset._target_ == "autoencoders.data.MNIST"
    check(cfg, PAPER | PAPER_OF[model])
    rates = rate_by_epoch(cfg, [0, 29, 30, 49, 50, 99])  # halved, then divided by 5 more
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 1e-4, 1e-4])


@pytest.mark.parametrize(("dataset", "latent_dim"), [("mnist", 16), ("fmnist", 24)])
def test_the_best_recipe_depends_on_model_and_data(dataset, latent_dim):
    cfg = compose_train("experiment=best", "model=ae", f"dataset={dataset}")
    assert cfg.dataset._target_ == compose_train(f"dataset={dataset}").dataset._target_
    assert cfg.model.latent_dim == latent_dim
    assert cfg.network._target_ == "autoencoders.networks.MLP"
    assert list(cfg.evaluation.samplers) == ["prior", "mixture"]
    # Typed keys come last.
    typed = compose_train("experiment=best", "model=ae", f"dataset={dataset}", "model.latent_dim=3")
    assert typed.model.latent_dim == 3


def test_the_recipes_default_to_mnist():
    for experiment in ("tutorial", "paper", "best"):
        cfg = compose_train(f"experiment={experiment}")
        assert cfg.dataset._target_ == "autoencoders.data.MNIST"


def test_the_recipes_networks_are_built():
    """Their sizes are counted in the networks' own tests."""
    _, model = build(compose_train("experiment=tutorial", "model=wae"))
    assert model.encoder.head.in_features == 320
    assert model.discriminator.layers[0].out_features == 160
    assert model.decoder.project[0].in_features == 20


def test_data_dir_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_DATA", "/somewhere")
    assert compose_train("dataset=mnist").dataset.data_dir == "/somewhere"
    monkeypatch.delenv("AUTOENCODERS_DATA")
    assert compose_train("dataset=mnist").dataset.data_dir == "data"


GROUPS = (
    "optimizer",
    "scheduler",
    "callbacks",
    "experiment",
    "logger",
    "sampler",
    "trainer",
    "model",
    "network",
)


@pytest.mark.parametrize(
    "choice", [f"{group}={name}" for group in GROUPS for name in choices(group)]
)
def test_every_choice_passes_the_checks_before_training(choice):
    check_settings(compose_train(choice, *(["model=ae"] if choice == "experiment=best" else [])))


@pytest.mark.parametrize("dataset", DATA_SETS)
def test_every_data_set_passes_the_checks_before_training(dataset):
    check_settings(compose_train(*small_data(dataset, DATA)))


@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("val/mse", "lower"),
        ("train/loss", "lower"),
        ("val/reconstruction", "lower"),
        ("prior/fd_cnn", "lower"),
        ("latent/kl", "lower"),
        ("prior/coverage", "higher"),
        ("latent/knn_accuracy", "higher"),
        ("mixture/log_likelihood", None),
        ("val/active_units", None),
        ("val/kl", None),
        ("images_per_second", None),
        ("train/mse_of_nothing", None),
        ("flow/coverage", None),  # of a sampler that is not asked for
    ],
)
def test_which_values_of_an_objective_are_better(objective, direction):
    assert direction_of(objective, ["prior", "mixture"]) == direction
