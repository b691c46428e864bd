"""Everything composes, names its constructor's arguments, and says what its source says."""

import inspect

import pytest
import torch
from conftest import ROOT, compose_train
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from autoencoders.models import AutoEncoder

MODELS = ("ae", "vae", "wae", "wae_mmd")
DATASETS = ("digits", "mnist", "fmnist")


def choices(group):
    return sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))


def test_the_groups_choices():
    assert choices("model") == sorted(MODELS)
    assert choices("dataset") == sorted(DATASETS)
    assert {"default", "gpu", "ddp", "debug"} <= set(choices("trainer"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_model_composes_with_every_data_set(model, dataset):
    cfg = compose_train(f"model={model}", f"dataset={dataset}")
    data = instantiate(cfg.dataset, _convert_="all")
    built = instantiate(
        cfg.model, channels=data.channels, image_size=data.image_size, _convert_="all"
    )
    images = built.sample(2)
    assert images.shape == (2, data.channels, data.image_size, data.image_size)


@pytest.mark.parametrize("model", MODELS)
def test_a_models_file_says_what_its_constructor_says(model):
    cfg = OmegaConf.to_container(compose_train(f"model={model}").model)
    model_class = get_class(cfg.pop("_target_"))
    arguments = dict(inspect.signature(AutoEncoder.__init__).parameters)
    arguments |= inspect.signature(model_class.__init__).parameters
    for name in ("self", "common", "channels", "image_size"):  # the data set knows the last two
        arguments.pop(name, None)
    defaults = {name: parameter.default for name, parameter in arguments.items()}
    defaults["betas"] = list(defaults["betas"])
    assert cfg == defaults


@pytest.mark.parametrize("trainer", choices("trainer"))
def test_trainers_compose(trainer):
    cfg = compose_train(f"trainer={trainer}").trainer
    assert cfg._target_ == "pytorch_lightning.Trainer"
    assert cfg.precision == "auto"


def network_sizes(model):
    return sum(p.numel() for p in model.parameters())


TUTORIAL = {
    "model.latent_dim": 20,
    "model.hidden_dim": 40,
    "model.architecture": "tutorial",
    "model.prior_std": 1.0,
    "model.lr": 2e-4,
    "model.betas": [0.9, 0.999],  # Adam's own
    "model.input_noise": 0.0,
    "dataset.batch_size": 256,
    "dataset.val_size": 0,
    "trainer.max_epochs": 50,
    "trainer.precision": "32-true",
}
TUTORIAL_OF = {
    "ae": {"model.cost": "mse"},
    "vae": {"model.cost": "bce", "model.beta": 1.0},
    "wae": {"model.cost": "bce", "model.reg_weight": 0.01 * 784, "model.discriminator_lr": 2e-4},
}
PAPER = {
    "model.latent_dim": 8,
    "model.hidden_dim": 128,  # encoder 128-256-512-1024, decoder 1024-512-256, D 4 x 512
    "model.architecture": "paper",
    "model.prior_std": 1.0,
    "model.cost": "mse",
    "model.reg_weight": 10 / 0.05,
    "model.lr": 1e-3,
    "model.betas": [0.5, 0.999],
    "model.input_noise": 0.01,
    "dataset.batch_size": 100,
    "dataset.val_size": 0,
    "trainer.max_epochs": 100,
    "trainer.precision": "32-true",
}
PAPER_OF = {
    "wae": {"model.discriminator_lr": 5e-4},
    "wae_mmd": {"model.kernel": "imq", "model.kernel_scales": [0.1, 0.2, 0.5, 1, 2, 5, 10]},
}


def check(cfg, expected):
    for key, value in expected.items():
        found = OmegaConf.select(cfg, key)
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, key


def rate_by_epoch(cfg, epochs):
    model = instantiate(cfg.model, hidden_dim=2, _convert_="all")
    return [cfg.model.lr * model.lr_factor(epoch) for epoch in epochs]


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


def test_the_recipes_default_to_mnist():
    for experiment in ("tutorial", "paper"):
        cfg = compose_train(f"experiment={experiment}")
        assert cfg.dataset._target_ == "autoencoders.data.MNIST"


def test_the_recipes_networks_have_the_sources_sizes():
    cfg = compose_train("experiment=tutorial")
    model = instantiate(cfg.model, _convert_="all")
    # Counted by hand: convolutions 16 (40 + 40 80 + 80 160 + 160 320), batch normalization
    # 2 (80 + 160 + 320), head 320 20 + 20.
    assert network_sizes(model.encoder) == 1_075_840 + 1_120 + 6_420
    # Linear 21 15,680, transposed convolutions 16 (320 160 + 160 80 + 80) and their biases 241,
    # batch normalization 2 (160 + 80).
    assert network_sizes(model.decoder) == 329_280 + 1_025_280 + 241 + 480
    assert network_sizes(model.discriminator) == 21 * 160 + 3 * 161 * 160 + 161


def test_data_dir_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_DATA", "/somewhere")
    assert compose_train("dataset=mnist").dataset.data_dir == "/somewhere"
    monkeypatch.delenv("AUTOENCODERS_DATA")
    assert compose_train("dataset=mnist").dataset.data_dir == "data"


def test_sampling_needs_no_training():
    model = instantiate(compose_train("model=ae").model, _convert_="all")
    assert torch.isfinite(model.sample(1)).all()
