"""Files of samplers that are not what an evaluation has written."""

import functools
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.stats import multivariate_normal

from autoencoders.distributions import NormalPrior
from autoencoders.errors import InputError
from autoencoders.runs import load_sampler
from autoencoders.samplers import (
    ClassMixture,
    Density,
    Flow,
    FlowMatching,
    Mixture,
    Prior,
    TwoStage,
)

NAN, INF = torch.nan, torch.inf
SMALL = {"hidden_dim": 4, "layers": 1, "epochs": 1}
NETWORKS = {
    Flow: SMALL | {"transforms": 1},
    FlowMatching: SMALL | {"components": 3, "steps": 2},
    TwoStage: SMALL,
}
SETTINGS = {Prior: {}, Mixture: {"components": 2}, ClassMixture: {"components": 1}, **NETWORKS}


@functools.cache
def fitted(kind):
    z = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    return kind(**SETTINGS[kind]).fit(z, NormalPrior(2, 0.7), 0, torch.arange(60) % 2)


@pytest.fixture
def edited(tmp_path):
    """Writes a sampler's file with other tensors; None takes one away. Returns its path."""

    def write(kind, changes, metadata=None):
        path = tmp_path / "sampler.safetensors"
        fitted(kind).save(path)
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() if metadata is None else metadata
        for name, change in changes.items():
            tensors[name] = change(tensors[name]) if callable(change) else change
        save_file({k: v for k, v in tensors.items() if v is not None}, path, metadata)
        return path

    return write


def put(value, *place):
    """A change of one number."""

    def change(tensor):
        tensor = tensor.clone()
        tensor[place] = value
        return tensor

    return change


def short(tensor):
    """Without the last entry."""
    return tensor[:-1].clone()


MIXTURE = [
    ({"means": put(NAN, 0, 0)}, "means is NaN or infinite"),
    ({"means": put(INF, 1, 1)}, "means is NaN or infinite"),
    ({"means": put(1e300, 1, 1)}, "its draws are NaN or infinite"),
    ({"means": short}, r"means has the shape \(1, 2\); must have \(2, 2\)"),
    ({"means": torch.zeros(2, 3)}, r"covariances has the shape \(2, 2, 2\); must have \(2, 3, 3\)"),
    ({"means": torch.zeros(2)}, r"means has the shape \(2,\); must have \(2, latent_dim\)"),
    ({"means": torch.zeros(2, 2, dtype=torch.long)}, r"means is of torch\.int64; must be floats"),
    ({"means": torch.zeros(2, 2, dtype=torch.cfloat)}, r"means is of torch\.complex64; must be fl"),
    ({"weights": torch.tensor([-0.5, 1.5])}, r"weights has -0\.5; must be at least 0"),
    ({"weights": torch.tensor([0.5, 0.6])}, r"weights add up to 1\.1; must add up to 1"),
    ({"weights": torch.zeros(2)}, r"weights add up to 0; must add up to 1"),
    ({"weights": put(NAN, 0)}, "weights is NaN or infinite"),
    ({"weights": torch.tensor([True, False])}, r"weights is of torch\.bool; must be floats"),
    ({"weights": torch.ones(2, 1)}, r"weights has the shape \(2, 1\); must have \(2\)"),
    ({"covariances": put(NAN, 0, 0, 0)}, "covariances is NaN or infinite"),
    ({"covariances": put(0, 0, 0, 0)}, "covariances must be symmetric and positive definite"),
    ({"covariances": lambda c: -c}, "covariances must be symmetric and positive definite"),
    ({"covariances": torch.zeros(2, 2, 2)}, "covariances must be symmetric and positive definite"),
    ({"covariances": torch.ones(2, 2, 2)}, "covariances must be symmetric and positive definite"),
    ({"covariances": put(0.3, 1, 0, 1)}, "covariances must be symmetric and positive definite"),
    ({"covariances": None}, r"holds .*means, weights; must hold .*covariances, means, weights"),
    ({"extra": torch.ones(1)}, r"holds .*extra, means, weights; must hold .*means, weights"),
]
CLASSES = [
    ({"classes": short}, r"classes has the shape \(1,\); must have \(2\)"),
    ({"classes": torch.tensor([0.0, 1.0])}, r"classes is of torch\.float32; must be whole numbers"),
    ({"classes": torch.ones(2, dtype=torch.cfloat)}, r"classes is of torch\.complex64; must be w"),
    ({"classes": torch.tensor([0, -1])}, "classes has -1; must be at least 0"),
    ({"classes": None}, "holds covariances, means, weights; must hold classes, "),
    ({"weights": torch.tensor([1.0, 0.0])}, "class 1 has the weight 0; must be above 0"),
]
PRIOR = [
    ({"std": put(0, 0)}, "std must be above 0"),
    ({"std": torch.zeros(2)}, "std must be above 0"),
    ({"std": -torch.ones(2)}, "std must be above 0"),
    ({"std": put(0.8, 1)}, "std must be above 0 and the same in all dimensions"),
    ({"std": put(NAN, 0)}, "std is NaN or infinite"),
    ({"std": put(INF, 1)}, "std is NaN or infinite"),
    ({"std": torch.full((2,), 1e300, dtype=torch.double)}, "its draws are NaN or infinite"),
    ({"std": torch.ones(2, dtype=torch.int32)}, r"std is of torch\.int32; must be floats"),
    ({"std": torch.ones(())}, r"std has the shape \(\); must have \(latent_dim\)"),
    ({"std": torch.ones(0)}, "std is empty"),
    ({"mean": torch.zeros(2)}, "holds mean, std; must hold std"),
    ({"std": None, "means": torch.zeros(2)}, "holds means; must hold log_vars, means"),
]
LEARNED = [
    ({"scale": torch.zeros(2)}, "scale must be above 0"),
    ({"scale": put(0, 1)}, "scale must be above 0"),
    ({"scale": put(-1, 1)}, "scale must be above 0"),
    ({"scale": put(NAN, 1)}, "scale is NaN or infinite"),
    ({"scale": short}, r"scale has the shape \(1,\); must have \(2\)"),
    ({"scale": None}, "holds centre; must hold centre, scale"),
    ({"centre": put(INF, 1)}, "centre is NaN or infinite"),
    ({"centre": torch.tensor([1, 2])}, r"centre is of torch\.int64; must be floats"),
    ({"centre": torch.full((2,), 1e200, dtype=torch.double)}, "its draws are NaN or infinite"),
    ({"extra": torch.ones(2)}, "holds centre, extra, scale; must hold centre, scale"),
    ({"network.extra": torch.ones(2)}, r"holds .*extra.*; must hold"),
    ({"centre": torch.ones(3), "scale": torch.ones(3)}, r"has the shape \(.*\); must have \(.*\)"),
]
NETWORK_WEIGHTS = {
    Flow: "network.transform.transforms.0.hyper.0.weight",
    FlowMatching: "network.network.layers.0.weight",
    TwoStage: "network.decoder.layers.0.weight",
}
OF_A_NETWORK = [
    (put(NAN, 0, 0), "is NaN or infinite"),
    (short, r"has the shape \(3, \d+\); must have \(4, \d+\)"),
    (lambda w: w.long(), r"is of torch\.int64; must be floats"),
    (None, "holds .*; must hold .*"),
]
OWN = [
    (Flow, {"network.base.scale": torch.zeros(2)}, r"base\.scale does not follow"),
    (
        Flow,
        {"network.transform.transforms.0.hyper.0.mask": torch.ones(4, 2, dtype=torch.bool)},
        "mask does not follow from the settings",
    ),
    (FlowMatching, {"network.weights": lambda w: -w}, "weights has -.*; must be at least 0"),
    (FlowMatching, {"network.weights": lambda w: 2 * w}, "weights add up to 2; must add up to 1"),
    (FlowMatching, {"network.roots": lambda r: -r}, "roots must be lower triangular, with a diag"),
    (
        FlowMatching,
        {"network.roots": lambda r: r.mT.contiguous()},
        "roots must be lower triangular",
    ),
    (FlowMatching, {"network.roots": put(0, 0, 1, 1)}, "roots must be lower triangular, with a di"),
    (TwoStage, {"network.slow_log_std": torch.tensor(1e3)}, "its draws are NaN or infinite"),
]
CASES = [
    *((kind, *case) for kind in (Mixture, ClassMixture) for case in MIXTURE),
    *((ClassMixture, *case) for case in CLASSES),
    *((Prior, *case) for case in PRIOR),
    *((kind, *case) for kind in NETWORKS for case in LEARNED),
    *(
        (kind, {name: change}, line)
        for kind, name in NETWORK_WEIGHTS.items()
        for change, line in OF_A_NETWORK
    ),
    *OWN,
]


@pytest.mark.parametrize(("kind", "changes", "line"), CASES)
def test_a_crafted_file_is_refused(kind, changes, line, edited):
    path = edited(kind, changes)
    with pytest.raises(ValueError, match=line):
        kind.load(path)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ({}, "holds no settings; must hold those of a"),
        ({"settings": "{"}, "settings: Invalid JSON.*; must be of a"),
        ({"settings": '{"hidden_dim": -1}'}, r"settings\.hidden_dim: Input .*; must be of a"),
        ({"settings": '{"speed": 1}'}, r"settings\.speed: Extra .*; must be of a"),
        ({"settings": "{}"}, r"has the shape|must hold"),  # of a larger network
    ],
    ids=str,
)
def test_settings_that_are_not_the_networks(kind, metadata, line, edited):
    path = edited(kind, {}, metadata)
    with pytest.raises(ValueError, match=line):
        kind.load(path)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_file_says_how_many_dimensions_codes_have(kind, edited):
    assert kind.load(edited(kind, {})).latent_dim == fitted(kind).latent_dim == 2


Z = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
EXTREMES = {
    "equal": torch.full((60, 2), 3.7),
    "on a line": Z[:, :1].expand(60, 2),
    "large": 1e18 * Z,
    "far away": Z + 1e6,
    "one far out": torch.cat([Z[1:], torch.full((1, 2), 1e18)]),
    "single": Z[:1],
}


@pytest.mark.parametrize("codes", EXTREMES)
@pytest.mark.parametrize("kind", SETTINGS)
def test_what_was_fitted_on_extreme_codes_is_read_back(kind, codes, tmp_path):
    z = EXTREMES[codes]
    sampler = kind(**SETTINGS[kind]).fit(z, NormalPrior(2, 0.7), 0, torch.arange(len(z)) % 2)
    sampler.save(tmp_path / "sampler.safetensors")
    loaded = kind.load(tmp_path / "sampler.safetensors")
    draws = [s.draw(5, torch.Generator().manual_seed(0)) for s in (sampler, loaded)]
    assert torch.equal(*draws)
    if isinstance(loaded, Density):
        assert loaded.log_prob(z).isfinite().all()


@pytest.mark.parametrize("other", SETTINGS)
@pytest.mark.parametrize("kind", SETTINGS)
def test_the_file_of_another_sampler_is_refused(kind, other, edited):
    path = edited(other, {})
    if kind is other:
        kind.load(path)
    else:
        with pytest.raises(ValueError, match=r"must (hold|be of a)"):
            kind.load(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_floats_of_any_width_are_read(dtype, edited):
    """Those of other programs; the density is SciPy's of what the file says."""
    weights, means = torch.tensor([0.25, 0.75], dtype=dtype), torch.eye(2, dtype=dtype)
    covariances = torch.tensor([[[2, 1], [1, 2]], [[1, 0], [0, 4]]], dtype=dtype)
    parts = {"weights": weights, "means": means, "covariances": covariances}
    loaded = Mixture.load(edited(Mixture, parts))
    z = torch.tensor([[0.5, -1.0], [3.0, 2.0]])
    normals = [
        multivariate_normal(m, c).pdf(z)
        for m, c in zip(means.double().numpy(), covariances.double().numpy(), strict=True)
    ]
    expected = np.log(0.25 * normals[0] + 0.75 * normals[1])
    np.testing.assert_allclose(loaded.log_prob(z), expected, rtol=1e-6)
    assert loaded.draw(3).dtype == torch.float32
    of_one_class = ClassMixture.load(
        edited(ClassMixture, parts | {"classes": torch.tensor([4, 7], dtype=torch.uint8)})
    )
    assert of_one_class.labels == [4, 7]
    assert torch.equal(of_one_class.of_class(7).means, means[1:].double())


def test_the_priors_scale_is_that_of_the_file_in_full(edited):
    assert Prior.load(edited(Prior, {})).prior.std == 0.7


@pytest.mark.parametrize(("kind", "changes", "line"), [CASES[0], CASES[8]])
def test_a_crafted_file_in_a_run_is_one_line(kind, changes, line, edited, run):
    files = run / json.loads((run / "evaluation.json").read_text())["files"]
    edited(kind, changes).rename(files / "samplers/mixture.safetensors")
    with pytest.raises(InputError, match=f"cannot be read: {line}; python evaluate.py") as error:
        load_sampler(run, "mixture")
    assert "\n" not in str(error.value)
