"""What a run's last line suggests."""

import json

import pytest
from conftest import ROOT, build, choices, compose_train
from small import small

from autoencoders.evaluation.advice import far_from_prior
from autoencoders.models import AE, VAE, WAEMMD

# What the issue that asked for the line saw: WAE-MMD on 125 photographs.
PHOTOGRAPHS = {"latent/mmd": 0.88, "latent/mmd_floor": 0.16, "latent/kl": 16.7}


def test_a_weight_that_is_too_small_is_named():
    line = far_from_prior(small(WAEMMD, reg_weight=0.5), PHOTOGRAPHS)
    assert "(MMD 0.88, draws from the prior 0.16, KL divergence at least 16.7 nats)" in line
    assert line.endswith("raise model.reg_weight, now 0.5")
    assert "model.beta, now 0.25" in far_from_prior(small(VAE, beta=0.25), PHOTOGRAPHS)


@pytest.mark.parametrize("changes", [{"latent/mmd_floor": 0.8}, {"latent/mmd": 0.2}])
def test_codes_near_the_prior_need_no_advice(changes):
    assert far_from_prior(small(WAEMMD), PHOTOGRAPHS | changes) == ""


def test_without_numbers_or_a_weight_there_is_none():
    assert far_from_prior(small(WAEMMD), {"test/mse": 0.1}) == ""
    assert far_from_prior(small(AE), PHOTOGRAPHS) == ""


def test_a_weight_is_an_argument_of_its_model():
    named = [model for model in choices("model") if prior_weight(model)]
    assert len(named) == len(choices("model")) - 2  # AE and RAE have none


def prior_weight(model):
    _, built = build(compose_train(f"model={model}", "network.hidden_dim=2"))
    assert not built.prior_weight or built.prior_weight in built.own_weights()
    return built.prior_weight


def test_kept_runs_of_images_with_a_prior_are_near_it():
    """By the criterion, as its comment says."""
    near = [
        json.loads((folder / "metrics.json").read_text())
        for recipe in ("tutorial", "tutorial-10", "short", "prior")
        for folder in (ROOT / "results" / recipe).glob("*-seed*")
        if folder.name.split("-")[1] != "ae"
    ]
    assert len(near) > 10
    assert [m for m in near if far_from_prior(small(WAEMMD), m)] == []
