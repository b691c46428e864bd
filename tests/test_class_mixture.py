"""A mixture for each class."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from small import small

from autoencoders.models import AE
from autoencoders.samplers import ClassMixture, Mixture

LABELS = torch.tensor([2, 5, 5, 5]).repeat(500)


def codes():
    """Class 2 around (0, 0), class 5 around (9, 0) and (0, 9)."""
    z = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    z[1::4, 0] += 9
    z[2::4, 1] += 9
    z[3::4, 1] += 9
    return z


@pytest.fixture(scope="module")
def fitted():
    return ClassMixture().fit(codes(), seed=1, labels=LABELS)


def test_each_class_has_the_mixture_of_its_codes(fitted):
    assert fitted.labels == [2, 5]
    for label, share in ((2, 0.25), (5, 0.75)):
        alone = Mixture().fit(codes()[label == LABELS], seed=1)
        chosen = fitted.classes == label
        assert fitted.weights[chosen].sum().item() == pytest.approx(share)
        torch.testing.assert_close(fitted.of_class(label).weights, alone.weights)
        torch.testing.assert_close(fitted.of_class(label).means, alone.means)


def test_draws_of_a_class_lie_where_its_codes_do(fitted):
    of_two = fitted.of_class(2).draw(1000, torch.Generator().manual_seed(0))
    assert of_two.norm(dim=1).max() < 5.5
    of_five = fitted.of_class(5).draw(1000, torch.Generator().manual_seed(0))
    assert of_five.norm(dim=1).min() > 3
    assert (of_five[:, 1] > 4.5).double().mean().item() == pytest.approx(2 / 3, abs=0.06)
    everything = fitted.draw(4000, torch.Generator().manual_seed(0))
    assert (everything.norm(dim=1) < 4.5).double().mean().item() == pytest.approx(0.25, abs=0.04)


def test_the_density_is_that_of_the_file(fitted, tmp_path):
    fitted.save(tmp_path / "sampler.safetensors")
    parts = load_file(tmp_path / "sampler.safetensors")
    normals = zip(parts["means"], parts["covariances"], strict=True)
    each = np.stack([multivariate_normal(*normal).logpdf(codes()) for normal in normals], 1)
    expected = logsumexp(each, axis=1, b=parts["weights"])
    np.testing.assert_allclose(fitted.log_prob(codes()), expected, rtol=1e-6)
    assert set(parts["classes"]) == {2, 5}
    loaded = ClassMixture.load(tmp_path / "sampler.safetensors").of_class(5)
    assert torch.equal(*(m.draw(9, torch.manual_seed(0)) for m in (loaded, fitted.of_class(5))))


def test_a_class_that_is_not_there(fitted):
    with pytest.raises(ValueError, match=r"label=3: no training code has it; allowed: 2, 5"):
        fitted.of_class(3)


def test_each_code_has_a_label():
    with pytest.raises(ValueError, match="2000 codes need as many labels, not 1999"):
        ClassMixture().fit(codes(), labels=LABELS[1:])


def test_a_model_samples_of_one_class(fitted):
    model = small(AE, latent_dim=2).eval()
    x = model.sample(4, torch.Generator().manual_seed(0), fitted, label=5)
    z = fitted.of_class(5).draw(4, torch.Generator().manual_seed(0))
    assert torch.equal(x, model.decode(z))
    for sampler, kind in ((None, "NormalPrior"), (Mixture(), "Mixture")):
        with pytest.raises(ValueError, match=f"label=5: {kind} knows no classes; give sampler="):
            model.sample(4, sampler=sampler, label=5)


def test_codes_without_a_label_are_left_out():
    """As if they were not there, the shares of the classes too."""
    unlabelled = LABELS.clone()
    unlabelled[1::4] = -1
    known = unlabelled >= 0
    some = ClassMixture().fit(codes(), seed=1, labels=unlabelled)
    alone = ClassMixture().fit(codes()[known], seed=1, labels=LABELS[known])
    assert some.labels == [2, 5]
    torch.testing.assert_close(some.weights, alone.weights)
    torch.testing.assert_close(some.means, alone.means)
