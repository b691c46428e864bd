"""The contract of a sampler of codes."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.distributions import StudentT

from autoencoders.distributions import NormalPrior
from autoencoders.samplers import ClassSampler, Density, Sampler
from autoencoders.testing.faults import call, require, require_tensor

CODES, CLASSES = 300, 3
PRIOR_STD = 0.7  # no float32 number
DRAWS = 4000  # of a sampler, and as many more of the proposal below
TOLERANCE = 0.06  # of an integral and of a share of draws
METHODS = ("fit", "draw", "save", "load")


def check_sampler(sampler: Sampler) -> None:
    """Check a sampler on codes of 1, 2 and 5 dimensions.

    It is fitted, and draws codes of the right shape, which a generator fixes; the same codes and
    seed give the same fit, whatever was drawn before; its file draws the same. If it has a
    `log_prob`, it integrates to 1, and as many draws are where it is high as it says.
    If it knows classes, it draws of each.

    Args:
        sampler: not fitted; it is left as it is.

    Raises:
        AssertionError: a sentence that names the fault.
    """
    name = type(sampler).__name__
    for method in METHODS:
        require(hasattr(sampler, method), f"{name} has no method {method}")
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        for latent_dim in (1, 5, 2):
            fitted = fit(name, sampler, latent_dim)
            check_draws(name, fitted, latent_dim)
            check_file(name, fitted, Path(folder, f"{latent_dim}.safetensors"))
        check_seed(name, sampler, fitted)
        if isinstance(fitted, Density):
            check_density(name, fitted)
        if isinstance(fitted, ClassSampler):
            check_classes(name, fitted)


def codes(latent_dim: int) -> Tensor:
    """Two clusters of correlated codes, (CODES, latent_dim)."""
    z = torch.randn(CODES, latent_dim, generator=torch.Generator().manual_seed(0))
    z += 0.5 * z.roll(1, 1)
    z[: CODES // 4] += 4
    return z


def fit(name: str, sampler: Sampler, latent_dim: int) -> Any:
    """A copy of the sampler, fitted."""
    z, labels = codes(latent_dim), torch.arange(CODES) % CLASSES
    prior, unfitted = NormalPrior(latent_dim, PRIOR_STD), copy.deepcopy(sampler)
    before = torch.get_rng_state()
    fitted = call(f"{name}.fit", unfitted.fit, z, prior, seed=0, labels=labels)
    untouched = torch.equal(before, torch.get_rng_state())
    require(untouched, f"{name}.fit changes torch's random state: draw from a generator")
    require(fitted is unfitted, f"{name}.fit does not return the sampler")
    require(torch.equal(z, codes(latent_dim)), f"{name}.fit changes the codes in place")
    return fitted


def draw(name: str, sampler: Any, n: int, seed: int = 0) -> Tensor:
    z: Tensor = call(f"{name}.draw", sampler.draw, n, torch.Generator().manual_seed(seed))
    return z


def check_draws(name: str, sampler: Any, latent_dim: int) -> None:
    for n in (1, 9):
        require_tensor(f"what {name}.draw({n}) gives", draw(name, sampler, n), (n, latent_dim))
    require_tensor(f"what {name}.draw(9) gives", sampler.draw(9), (9, latent_dim))
    before = torch.get_rng_state()
    first, again, other = (draw(name, sampler, 9, seed) for seed in (0, 0, 1))
    untouched = torch.equal(before, torch.get_rng_state())
    fixed = torch.equal(first, again) and untouched
    require(fixed, f"a generator does not fix what {name} draws")
    require(not torch.equal(first, other), f"{name} draws the same whatever the generator")


def check_seed(name: str, sampler: Sampler, fitted: Any) -> None:
    """Check that another fit with one seed draws the same, whatever was drawn before."""
    torch.rand(1)  # another random state than at first
    again = fit(name, sampler, 2)
    same = torch.equal(draw(name, fitted, 9), draw(name, again, 9))
    require(same, f"a seed does not fix the fit of {name}")


def check_file(name: str, sampler: Any, path: Path) -> None:
    call(f"{name}.save", sampler.save, path)
    before = torch.get_rng_state()
    loaded = call(f"{name}.load", type(sampler).load, path)
    untouched = torch.equal(before, torch.get_rng_state())
    require(untouched, f"{name}.load changes torch's random state")
    require(type(loaded) is type(sampler), f"{name}.load gives a {type(loaded).__name__}")
    z = draw(name, sampler, 9)
    same = torch.equal(z, draw(name, loaded, 9))
    require(same, f"{name} draws other codes after save and load")
    if isinstance(sampler, Density):
        same = torch.equal(sampler.log_prob(z), loaded.log_prob(z))
        require(same, f"{name} has another log_prob after save and load")


def check_classes(name: str, sampler: Any) -> None:
    known = list(range(CLASSES))
    require(sampler.labels == known, f"{name}.labels is {sampler.labels} after a fit on {known}")
    for label in known:
        z = draw(f"{name}.of_class({label})", sampler.of_class(label), 9)
        require_tensor(f"what {name}.of_class({label}) draws", z, (9, 2))
    try:
        sampler.of_class(CLASSES)
    except ValueError:
        return
    require(False, f"{name}.of_class takes the label {CLASSES}, which it was not fitted on")


# The density --------------------------------------------------------------------------------------


def check_density(name: str, sampler: Any) -> None:
    """Check a density of two dimensions, by importance: over draws u of a proposal q of heavy tails
    E p(u) / q(u) is 1, and E [p(u) > t] p(u) / q(u) is the share of the sampler's own draws with a
    density above t."""
    z = draw(name, sampler, DRAWS)
    u, log_q = proposal(z)
    own, log_p = (call(f"{name}.log_prob", sampler.log_prob, codes) for codes in (z, u))
    found = tuple(own.shape)
    require(found == (DRAWS,), f"{name}.log_prob gives the shape {found}, not ({DRAWS},)")
    require(bool(own.isfinite().all()), f"{name}.log_prob of its own draws is NaN or infinite")
    weights = (log_p.double() - log_q).exp()
    total = weights.mean().item()
    close = abs(total - 1) < TOLERANCE
    require(close, f"{name}.log_prob is no density: it integrates to {total:.3g}, not to 1")
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        level = own.double().quantile(1 - share)
        mass = (weights * (log_p > level)).mean().item()
        require(
            abs(mass - share) < TOLERANCE,
            f"the draws of {name} do not follow its log_prob: {share:.0%} of them are where it puts"
            f" {mass:.0%}",
        )


def proposal(z: Tensor) -> tuple[Tensor, Tensor]:
    """Draws around those of a sampler, (DRAWS, 2), and their log-density, (DRAWS,): Student's t of
    3 degrees of freedom along the axes of their covariance."""
    mean, root = z.double().mean(0), torch.linalg.cholesky(torch.cov(z.double().T))
    torch.manual_seed(0)
    t = StudentT(torch.tensor(3.0, dtype=torch.float64))
    u = t.sample((DRAWS, 2))
    return mean + u @ root.T, t.log_prob(u).sum(1) - root.diagonal().log().sum()
