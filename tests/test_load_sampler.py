"""A sampler read back from a run's folder."""

import json

import pytest
import torch
from safetensors.torch import load_file

from autoencoders.errors import InputError
from autoencoders.runs import load_sampler
from autoencoders.samplers import Mixture, Prior


def test_a_sampler_is_read_back_by_its_name(run):
    mixture = load_sampler(run, "mixture")
    assert type(mixture) is Mixture
    assert torch.equal(mixture.means, load_file(run / "samplers/mixture.safetensors")["means"])
    assert type(load_sampler(str(run), "prior")) is Prior


def test_a_sampler_that_is_not_there(run):
    with pytest.raises(InputError, match=r"has no sampler 'flow'; allowed: prior, mixture; ev"):
        load_sampler(run, "flow")
    with pytest.raises(InputError, match=r"best: not evaluated: it has no evaluation\.json"):
        load_sampler(run, "mixture", checkpoint="best")


@pytest.mark.parametrize("content", [None, b"", b"x" * 100, "prior"])
def test_a_damaged_file(run, content):
    samplers = run / json.loads((run / "evaluation.json").read_text())["files"] / "samplers"
    path = samplers / "mixture.safetensors"
    other = (samplers / "prior.safetensors").read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(other if content == "prior" else content)
    with pytest.raises(InputError, match=r"mixture.safetensors: cannot be read: .* writes it anew"):
        load_sampler(run, "mixture")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("mixture", "os.system"),
        ("mixture", "autoencoders.samplers.mixture.Path"),
        ("../mixture", "autoencoders.samplers.Mixture"),
    ],
)
def test_a_file_from_elsewhere_makes_nothing_foreign(run, name, target):
    conditions = json.loads((run / "evaluation.json").read_text())
    conditions["samplers"] = {name: {"_target_": target}}
    (run / "evaluation.json").write_text(json.dumps(conditions))
    with pytest.raises(InputError, match=r"evaluation\.json: .*(allowed|no class is made here)"):
        load_sampler(run, name)
    conditions["samplers"] = {name: "text"}
    (run / "evaluation.json").write_text(json.dumps(conditions))
    with pytest.raises(InputError, match=r"evaluation\.json: "):
        load_sampler(run, name)


def test_a_sampler_of_other_codes(run):
    samplers = run / json.loads((run / "evaluation.json").read_text())["files"] / "samplers"
    Mixture(1).fit(torch.randn(50, 4)).save(samplers / "mixture.safetensors")
    line = r"mixture\.safetensors: draws codes of 4 dimensions, the model's have 3"
    with pytest.raises(InputError, match=line):
        load_sampler(run, "mixture")
