"""The samplers that train a network, against densities that are known."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from autoencoders.errors import InputError
from autoencoders.metrics.latents import sliced_wasserstein
from autoencoders.samplers import Flow, FlowMatching, Mixture, TwoStage, flow
from autoencoders.samplers.learned import Learned

KINDS = (Flow, FlowMatching, TwoStage)
QUICK = {"hidden_dim": 64, "batch_size": 200, "lr": 3e-3, "patience": 200}
EPOCHS = {Flow: 12, FlowMatching: 50, TwoStage: 70}


def moons(n=2000, seed=0):
    """Two half circles, in units that are far from 1."""
    return 10 * torch.from_numpy(make_moons(n, noise=0.06, random_state=seed)[0]).float() + 100


@functools.cache
def fit(kind, **settings):
    return kind(**QUICK | {"epochs": EPOCHS[kind]} | settings).fit(moons(), seed=0)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    return fit(request.param)


def test_draws_are_closer_to_the_codes_than_a_gaussians(fitted):
    others = moons(2000, seed=1)
    draws = fitted.draw(2000, torch.Generator().manual_seed(0))
    gaussian = Mixture(components=1).fit(moons()).draw(2000, torch.Generator().manual_seed(0))
    floor = sliced_wasserstein(moons(), others)
    distances = [sliced_wasserstein(z, others) for z in (draws, gaussian)]
    assert distances[0] - floor < 0.5 * (distances[1] - floor)
    # A Gaussian fills the space between the moons; no code lies there.
    nearest = [torch.cdist(z, others).min(1).values.quantile(0.9) for z in (draws, gaussian)]
    assert nearest[0] < 0.6 * nearest[1]


def test_a_flow_finds_codes_more_likely_than_a_gaussian_does():
    others = moons(2000, seed=1)
    fitted, gaussian = fit(Flow), Mixture(components=1).fit(moons())
    assert fitted.log_prob(others).mean() > gaussian.log_prob(others).mean() + 0.3


def test_a_flows_density_integrates_to_one():
    fitted = fit(Flow, epochs=3)
    steps = torch.arange(60, 150, 0.4)
    grid = torch.cartesian_prod(steps, steps)
    mass = fitted.log_prob(grid).double().exp().sum() * 0.4**2
    assert mass.item() == pytest.approx(1, abs=0.02)


def test_the_velocity_of_a_gaussian_is_the_known_one():
    """Of codes from N(0, s^2): E[code - noise | x_t] is linear in x_t, in closed form."""
    z = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    z = (z - z.mean()) / z.std(correction=0)
    fitted = FlowMatching(**QUICK, epochs=50, components=1).fit(z, seed=0)
    x = torch.linspace(-1.5, 1.5, 7)[:, None]
    for t in (0.2, 0.5, 0.8):
        with torch.no_grad():
            found = fitted._network(x, torch.full_like(x, t))
        expected = (2 * t - 1) / (t**2 + (1 - t) ** 2) * x
        torch.testing.assert_close(found, expected, atol=0.25, rtol=0)


def test_paths_start_at_the_mixture():
    """Also those of given codes, which start nearby: at a draw of the component of each. A mixture
    that expectation-maximisation has fitted has the codes' own mean and covariance."""
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0]] * 7 + [[6.0, 0.0]] * 2 + [[0.0, 9.0]])  # unequal weights
    z = centres.repeat(2000, 1) + torch.randn(20_000, 2)
    fitted = FlowMatching(**QUICK, epochs=1, components=3).fit(z, seed=0)
    field, x = fitted._network, fitted._standardised(z)
    free, bound = field.start(len(x), None), field.start_of(x)
    for start in (free, bound):
        torch.testing.assert_close(start.mean(0), x.mean(0), atol=0.04, rtol=0)
        torch.testing.assert_close(torch.cov(start.T), torch.cov(x.T), atol=0.05, rtol=0)
    assert (x - bound).norm(dim=1).mean() < 0.6 * (x - free).norm(dim=1).mean()


def test_the_field_adds_to_the_mixture_that_it_starts_at():
    others = moons(2000, seed=1)
    mixture = Mixture(components=3).fit(moons()).draw(2000, torch.Generator().manual_seed(0))
    carried = fit(FlowMatching, components=3).draw(2000, torch.Generator().manual_seed(0))
    distances = [torch.cdist(z, others).min(1).values.quantile(0.9) for z in (carried, mixture)]
    assert distances[0] < 0.7 * distances[1]


def test_more_components_than_codes(tmp_path):
    few = moons(20)
    fitted = FlowMatching(**QUICK, epochs=1).fit(few)
    fitted.save(tmp_path / "few.safetensors")
    assert FlowMatching.load(tmp_path / "few.safetensors").draw(3).isfinite().all()


def test_two_stages_learn_the_noise_of_codes_on_a_line():
    """Codes (a, a + 0.05 e): across the line they spread by 0.05 / sqrt(2), and so do draws."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2000, 1, generator=generator)
    z = torch.cat([a, a + 0.05 * torch.randn(2000, 1, generator=generator)], 1)
    fitted = TwoStage(**QUICK, epochs=100).fit(z)
    assert fitted._network.log_std.exp().item() == pytest.approx(0.05 / 2**0.5, rel=0.25)
    draws = fitted.draw(2000, torch.Generator().manual_seed(1))
    assert (draws[:, 0] - draws[:, 1]).std().item() == pytest.approx(0.05, rel=0.25)
    np.testing.assert_allclose(torch.cov(draws.T), torch.cov(z.T), atol=0.15)


def test_a_fresh_process_draws_the_same_from_the_file(tmp_path):
    expected = []
    for kind in KINDS:
        fitted = fit(kind, epochs=1)
        fitted.save(tmp_path / kind.__name__)
        draws = fitted.draw(5, torch.Generator().manual_seed(3))
        expected.append(draws.numpy().tobytes().hex())
    program = """if True:
        import sys, torch
        from pathlib import Path
        from autoencoders import samplers

        for path in map(Path, sys.argv[1:]):
            sampler = getattr(samplers, path.name).load(path)
            draws = sampler.draw(5, torch.Generator().manual_seed(3))
            print(draws.numpy().tobytes().hex())
    """
    paths = [tmp_path / kind.__name__ for kind in KINDS]
    command = [sys.executable, "-c", program, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_training_stops_without_progress_and_keeps_the_best(monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.6, 9.9])
    states = []

    def recorded(self, network, x):
        states.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(Learned, "_held_out_loss", recorded)
    fitted = fit(TwoStage, patience=2)
    assert len(states) == 4
    kept = fitted._network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in states[3].items())


@pytest.mark.parametrize("kind", KINDS)
def test_codes_that_are_no_numbers_are_one_line(kind):
    z = moons()
    z[7] = torch.nan
    with pytest.raises(InputError, match=f"the sampler {kind.__name__} was given NaN"):
        kind(**QUICK, epochs=1).fit(z)


@pytest.mark.parametrize("kind", KINDS)
def test_divergence_is_one_line(kind):
    with pytest.raises(InputError, match=f"the sampler {kind.__name__} has diverged"):
        kind(**QUICK | {"lr": 1e30}, epochs=1).fit(moons())


def test_a_flow_without_zuko(monkeypatch):
    monkeypatch.setattr(flow, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a flow needs zuko: pip install -e '\.\[flow\]'"):
        Flow()
