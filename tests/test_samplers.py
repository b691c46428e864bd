"""What all samplers share, for every sampler that there is; and the prior."""

import inspect

import pytest
import torch
from conftest import choices, compose_evaluate, exported
from scipy.stats import multivariate_normal

import autoencoders.samplers
from autoencoders.distributions import NormalPrior
from autoencoders.launch.evaluation import evaluation_settings
from autoencoders.samplers import Prior, Sampler

SAMPLERS = exported(autoencoders.samplers, Sampler)


def make(kind):
    """A sampler that is fitted fast."""
    return kind(epochs=2) if "epochs" in inspect.signature(kind).parameters else kind()


def codes(n=300, latent_dim=3):
    """Codes in two clusters, correlated."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(latent_dim, latent_dim, generator=generator)
    z = torch.randn(n, latent_dim, generator=generator) @ mixing
    z[: n // 4] += 6
    return z


@pytest.mark.parametrize("kind", SAMPLERS)
def test_codes_without_spread_or_company(kind):
    """A dimension that has collapsed, a single code, and no labels."""
    z = codes(60)
    z[:, 1] = 5
    drawn = make(kind).fit(z, NormalPrior(3, 1.0)).draw(9)
    if kind is not Prior:
        torch.testing.assert_close(drawn[:, 1], torch.full((9,), 5.0), atol=1e-3, rtol=0)
    assert make(kind).fit(z[:1], NormalPrior(3, 1.0)).draw(9).isfinite().all()


def test_the_config_offers_every_sampler_under_its_name():
    _, samplers = evaluation_settings(compose_evaluate(f"sampler=[{','.join(choices('sampler'))}]"))
    assert list(samplers) == choices("sampler")
    assert {type(sampler) for sampler in samplers.values()} == set(SAMPLERS)


@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_prior_has_the_priors_moments_whatever_the_codes(std):
    z = Prior().fit(codes(), NormalPrior(3, std), 0).draw(40_000, torch.Generator().manual_seed(0))
    assert (z / std).mean(0).abs().max() < 0.02
    torch.testing.assert_close(torch.cov(z.T), std**2 * torch.eye(3), atol=0.03 * std**2, rtol=0)


def test_the_priors_density_is_scipys():
    log_probs = Prior().fit(codes(), NormalPrior(3, 0.7), 0).log_prob(codes(20))
    expected = multivariate_normal([0] * 3, 0.49).logpdf(codes(20))
    assert log_probs.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
