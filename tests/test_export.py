"""A finished run in other people's hands: export.py, and what reads an export."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import attempt, exported, run_here
from safetensors.torch import load_file, save_file
from small import SHAPE, given, small

import autoencoders
import autoencoders.models
from autoencoders.errors import InputError
from autoencoders.export import DataConfig, Export, config_of, load_export, write_export
from autoencoders.export.onnx_files import NEEDED, write_onnx
from autoencoders.models import VAE, AutoEncoder
from autoencoders.samplers import Mixture

with_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="needs the extra onnx"
)
MODELS = exported(autoencoders.models, AutoEncoder)
# Packages of the project that a model from an export does without.
NOT_NEEDED = (
    *("sklearn", "scipy", "matplotlib", "torchvision", "tensorboard", "openTSNE", "anndata"),
    *("scanpy", "h5py", "huggingface_hub", "onnx", "onnxruntime", "zuko", "optuna"),
)
FRESH = """
import sys
class Installed:
    def __init__(self, finders):
        self.finders = finders
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec), None)
sys.meta_path[:] = [Installed(sys.meta_path[:])]
import torch, autoencoders
from safetensors.torch import save_file
model = autoencoders.load({folder!r})
sampler = autoencoders.load_sampler({folder!r}, "mixture")
x = torch.linspace(0, 1, 2 * 784).view(2, 1, 28, 28)
z = sampler.draw(3, torch.Generator().manual_seed(1)).float()
save_file({{"z": model.encode(x), "x_hat": model.decode(z)}}, {out!r})
"""


@pytest.fixture(scope="module")
def written(finished, tmp_path_factory):
    """The run of `finished` with its export; not to be spoiled."""
    folder = tmp_path_factory.mktemp("written")
    run = Path(shutil.copytree(finished, folder / "run"))
    (folder / "printed").write_text(run_here("export.py", "run=run", "onnx=false", cwd=folder))
    return run


@pytest.fixture
def export(written, tmp_path):
    """A copy of the export alone, which a test may spoil."""
    return Path(shutil.copytree(written / "export", tmp_path / "export"))


def edit(folder, change):
    file = folder / "config.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit_weights(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_the_weights_are_the_checkpoints(written):
    checkpoint = torch.load(written / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    tensors = load_file(written / "export/model.safetensors")
    assert tensors.keys() == checkpoint.keys()
    assert all(torch.equal(tensors[name], checkpoint[name]) for name in tensors)


def test_the_config_has_every_argument_and_the_data(written):
    config = json.loads((written / "export/config.json").read_text())
    composed = yaml.safe_load((written / ".hydra/config.yaml").read_text())
    for name, value in composed["model"].items():
        if name not in ("_target_", "discriminator_optimizer"):
            assert config[name] == value, name
    assert config["class"] == "autoencoders.models.wae.WAEGAN"
    assert config["network"]["hidden_dim"] == 2
    assert config["discriminator_steps"] == 1  # a default, which conf/ may leave out
    assert config["shape"] == [1, 28, 28]
    assert config["data"]["class_names"] == list("0123456789")
    assert not [key for key in config if key.endswith(("optimizer", "scheduler"))]


def test_the_card_is_filled_from_the_run(written):
    text = (written / "export/README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "autoencoders"
    assert "waegan" in front["tags"]
    metrics = json.loads((written / "metrics.json").read_text())
    assert f"| MSE | {metrics['test/mse']:.4g} |" in text
    floor = f"{metrics['prior/precision']:.4g} | {metrics['floor/precision']:.4g}"
    assert f"| precision | {floor} |" in text
    assert "python train.py network.hidden_dim=2" in text
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    for name in ("reconstructions", "samples_prior"):
        figure = written / "export/figures" / f"{name}.png"
        assert figure.read_bytes() == (written / "figures" / f"{name}.png").read_bytes()
        assert f"(figures/{name}.png)" in text


def test_names_from_data_are_text_in_the_card():
    from autoencoders.export.card import as_text

    assert as_text("<img src=x onerror=alert(1)>") == "&lt;img src=x onerror=alert(1)&gt;"
    assert as_text("a|b\n# [c](d) `e`") == r"a\|b \# \[c\](d) \`e\`"


def test_nothing_else_in_the_run_has_changed(finished, written):
    def contents(run):
        files = (path for path in run.rglob("*") if path.is_file())
        return {path.relative_to(run): path.read_bytes() for path in files}

    after = contents(written)
    assert {path.parts[0] for path in after.keys() - contents(finished).keys()} == {"export"}
    assert all(after[path] == content for path, content in contents(finished).items())


@pytest.mark.parametrize("model_class", MODELS, ids=lambda c: c.__name__)
def test_every_model_is_read_back(model_class, tmp_path):
    torch.manual_seed(0)
    model = small(model_class).eval()
    config = config_of(model, DataConfig(label="digits"), {})
    write_export(Export(model, config, {}, "# card"), tmp_path / "export")
    state = torch.get_rng_state()
    loaded = autoencoders.load(tmp_path / "export")
    assert torch.equal(torch.get_rng_state(), state)
    assert type(loaded) is model_class
    assert not loaded.training
    x = torch.rand(3, *SHAPE)
    labels = given(model, 3)
    assert torch.equal(loaded.reconstruct(x, **labels), model.reconstruct(x, **labels))
    draws = [m.sample(2, torch.Generator().manual_seed(1)) for m in (loaded, model)]
    assert torch.equal(*draws)


def test_it_is_loaded_where_little_else_is_installed(written, tmp_path):
    code = FRESH.format(
        blocked=NOT_NEEDED, folder=str(written / "export"), out=str(tmp_path / "out")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "out")
    model = autoencoders.load_model(written)
    x = torch.linspace(0, 1, 2 * 784).view(2, 1, 28, 28)
    z = Mixture.load(written / "samplers/mixture.safetensors")
    z = z.draw(3, torch.Generator().manual_seed(1)).float()
    torch.testing.assert_close(found["z"], model.encode(x))
    torch.testing.assert_close(found["x_hat"], model.decode(z))


def test_a_runs_folder_gives_its_last_weights(written):
    model, expected = autoencoders.load(written), autoencoders.load_model(written)
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_another_checkpoint_in_the_place_of_an_earlier_export(run):
    run_here("export.py", "run=run", "onnx=false", cwd=run.parent)
    (run / "export/of_an_earlier_version").touch()
    printed = run_here("export.py", "run=run", "checkpoint=best", "onnx=false", cwd=run.parent)
    assert "no samplers to export: python evaluate.py ckpt_path=" in printed
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    tensors = load_file(run / "export/model.safetensors")
    assert all(torch.equal(tensors[name], best[name]) for name in tensors)
    assert not (run / "export/of_an_earlier_version").exists()
    assert "not evaluated" in (run / "export/README.md").read_text()
    assert not list(run.glob(".export*"))


def refused(*arguments, cwd):
    with pytest.raises(SystemExit) as end:
        run_here("export.py", *arguments, cwd=cwd)
    assert "\n" not in str(end.value)
    return str(end.value)


def test_bad_input_is_one_line(run):
    assert "run: is missing" in refused(cwd=run.parent)
    assert "run=gone: gone is not a run's folder" in refused("run=gone", cwd=run.parent)
    assert "no such checkpoint" in refused("run=run", "checkpoint=gone", cwd=run.parent)
    assert "checkpoint=../../x" in refused("run=run", "checkpoint=../../x", cwd=run.parent)
    assert "did you mean checkpoint" in refused("run=run", "+checkpont=best", cwd=run.parent)
    (run / "export").mkdir()
    (run / "export/mine.txt").touch()
    assert "is there, and no export; move it away" in refused("run=run", cwd=run.parent)
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "finished": False}))
    assert "holds no finished run" in refused("run=run", cwd=run.parent)


def test_what_cannot_be_written_leaves_the_earlier_export(run, monkeypatch):
    run_here("export.py", "run=run", "onnx=false", cwd=run.parent)
    before = (run / "export/config.json").read_bytes()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autoencoders.export.folder.save", full)
    assert "No space left on device" in refused("run=run", cwd=run.parent)
    assert (run / "export/config.json").read_bytes() == before
    assert not list(run.glob(".export*"))


def test_an_argument_that_a_model_has_not_kept(tmp_path):
    """It would come back with another one: nothing is written."""

    class Forgetful(VAE):
        def __init__(self, latent: int = 2, **common):
            super().__init__(latent_dim=latent, **common)

    model = small(VAE)
    config = config_of(model, DataConfig(), {})
    config.latent_dim = 2
    with pytest.raises(InputError, match=r"has the shape .* the model's has"):
        write_export(Export(model, config, {}, ""), tmp_path / "export")
    assert not list(tmp_path.iterdir())


ALTERED = {
    "no config": (lambda f: (f / "config.json").unlink(), "it has no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "safetensors: is missing"),
    "truncated config": (lambda f: (f / "config.json").write_text('{"class'), "json: damaged"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "expected a JSON object"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 10**5), "json: damaged"),
    "truncated weights": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-100]
        ),
        "safetensors: cannot be read",
    ),
    "a pickle": (
        lambda f: torch.save({"a": torch.ones(1)}, f / "model.safetensors"),
        "safetensors: cannot be read",
    ),
    "NaN": (
        lambda f: edit_weights(f, lambda t: t["encoder.head.bias"].fill_(float("nan"))),
        "encoder.head.bias is NaN or infinite",
    ),
    "a tensor is missing": (
        lambda f: edit_weights(f, lambda t: t.pop("encoder.head.bias")),
        "encoder.head.bias is missing",
    ),
    "a tensor of another model": (
        lambda f: edit_weights(f, lambda t: t.update(mine=torch.ones(1))),
        "mine is not of this model",
    ),
    "another shape": (
        lambda f: edit_weights(f, lambda t: t.update({"encoder.head.bias": torch.ones(9)})),
        r"encoder.head.bias has the shape \(9,\), the model's has \(3,\)",
    ),
    "another kind": (
        lambda f: edit_weights(f, lambda t: t.update({"encoder.head.bias": torch.ones(3).long()})),
        "encoder.head.bias is of torch.int64, the model's of torch.float32",
    ),
    "another size": (lambda f: edit(f, lambda c: c.update(latent_dim=5)), "has the shape"),
    "an odd size": (lambda f: edit(f, lambda c: c.update(latent_dim=-1)), "latent_dim=-1: must"),
    "a foreign key": (lambda f: edit(f, lambda c: c.update(alpha=1)), "alpha"),
    "a foreign key of the data": (
        lambda f: edit(f, lambda c: c["data"].update(code="x")),
        "data.code",
    ),
    "a shape that the network cannot make": (
        lambda f: edit(f, lambda c: c.update(shape=[1, 27, 27])),
        "takes square images",
    ),
    "too large": (
        lambda f: edit(f, lambda c: c["network"].update(hidden_dim=2**20)),
        "cannot be made of it",
    ),
    "no class": (lambda f: edit(f, lambda c: c.pop("class")), "class: is missing"),
    "a foreign class": (
        lambda f: edit(f, lambda c: c.update({"class": "os.system"})),
        "class=os.system: files may name classes of autoencoders",
    ),
    "a class of another kind": (
        lambda f: edit(f, lambda c: c.update({"class": "autoencoders.data.Digits"})),
        "is no AutoEncoder",
    ),
    "a foreign network": (
        lambda f: edit(f, lambda c: c["network"].update(_target_="evil.Network")),
        "network._target_=evil.Network: files may name",
    ),
    "a network that is none": (
        lambda f: edit(f, lambda c: c["network"].update(_target_="autoencoders.data.Digits")),
        "is no Network",
    ),
    "a foreign cost": (
        lambda f: edit(f, lambda c: c.update(cost={"_target_": "evil.Cost"})),
        "cost._target_=evil.Cost: files may name",
    ),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_export_is_refused_in_one_line(case, export, monkeypatch):
    (export.parent / "evil.py").write_text("raise SystemExit('code of the export was run')")
    (export / "evil.py").write_text("raise SystemExit('code of the export was run')")
    monkeypatch.syspath_prepend(export.parent)
    change, line = ALTERED[case]
    change(export)
    with pytest.raises(InputError, match=line) as error:
        autoencoders.load(export)
    assert "\n" not in str(error.value)
    assert str(export) in str(error.value)


def test_samplers_go_along(written, export):
    mixture = autoencoders.load_sampler(export, "mixture")
    tensors = load_file(written / "samplers/mixture.safetensors")
    assert torch.equal(mixture.means, tensors["means"].double())
    with pytest.raises(InputError, match=r"has no sampler 'flow'; allowed: prior, mixture"):
        autoencoders.load_sampler(export, "flow")
    edit(export, lambda c: c["samplers"]["mixture"].update(_target_="autoencoders.networks.MLP"))
    with pytest.raises(InputError, match="is no Sampler"):
        autoencoders.load_sampler(export, "mixture")
    edit(export, lambda c: c["samplers"]["prior"].update(_target_="evil.Sampler"))
    with pytest.raises(InputError, match="files may name"):
        autoencoders.load_sampler(export, "prior")
    edit(export, lambda c: c["samplers"].update({"../x": {"_target_": "autoencoders.Prior"}}))
    with pytest.raises(InputError, match="cannot be read"):
        autoencoders.load_sampler(export, "../x")


def test_a_folder_that_is_neither(tmp_path):
    _, line = attempt(autoencoders.load, tmp_path / "gone")
    assert "gone: not an export: it has no config.json" in line


def test_half_precision_is_read(export):
    """Smaller files for the network, say."""
    edit_weights(
        export,
        lambda tensors: tensors.update(
            {n: t.half() for n, t in tensors.items() if t.is_floating_point()}
        ),
    )
    assert next(load_export(export).parameters()).dtype == torch.float32


def numbers_of(file, **inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {k: v.numpy() for k, v in inputs.items()})[0])


@with_onnx
@pytest.mark.slow
@pytest.mark.parametrize("model_class", MODELS, ids=lambda c: c.__name__)
def test_onnx_computes_what_torch_does(model_class, tmp_path):
    """On batches of other sizes than the one that it was written with."""
    import onnx

    torch.manual_seed(0)
    model = small(model_class).eval()
    config = config_of(model, DataConfig(class_names=("a", "ß")), {})
    assert write_onnx(model, config, tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.onnx", "decoder.onnx"}
    for n in (1, 7):
        x, labels = torch.rand(n, *SHAPE), given(model, n)
        z = model.encode(x, **labels)
        codes = numbers_of(tmp_path / "encoder.onnx", x=x, **labels)
        assert (codes - z).abs().max() <= 1e-4 * z.abs().max()
        x_hat = numbers_of(tmp_path / "decoder.onnx", z=z, **labels)
        torch.testing.assert_close(x_hat, model.decode(z, **labels), rtol=0, atol=1e-5)
    known = onnx.load(tmp_path / "encoder.onnx").metadata_props
    known = {entry.key: json.loads(entry.value) for entry in known}
    assert known["class_names"] == ["a", "ß"]
    assert known["values"] == "float32 in [0, 1]: bytes divided by 255"
    assert known["shape"] == [1, 28, 28]


@with_onnx
@pytest.mark.slow
def test_a_part_that_onnx_has_no_form_for_is_left_out(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, z):
            return torch.from_numpy(z.numpy()).view(len(z), *SHAPE)

    model = small(VAE).eval()
    model.decoder = Odd()
    (line,) = write_onnx(model, config_of(model, DataConfig(), {}), tmp_path)
    assert line.startswith("decoder.onnx is left out: ")
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.onnx"}


def test_without_the_extra_all_else_is_exported(run, monkeypatch):
    monkeypatch.setattr("autoencoders.export.onnx_files.NEEDED", ("no_such_package",))
    printed = run_here("export.py", "run=run", cwd=run.parent)
    assert "left out: they need no_such_package: pip install -e '.[onnx]'" in printed
    assert (run / "export/model.safetensors").exists()
    assert not list(run.glob("export/*.onnx"))


def test_the_hubs_own_mixin_reads_the_files(export):
    """They are laid out as it writes them: it needs no word of ours but the two keys beside the
    constructor's arguments."""
    hub = pytest.importorskip("huggingface_hub")

    class OfHub(autoencoders.WAEGAN, hub.PyTorchModelHubMixin):
        def __init__(self, **known):
            beside = ("class", "data", "samplers")
            super().__init__(**{k: v for k, v in known.items() if k not in beside})

    model, expected = OfHub.from_pretrained(export), autoencoders.load(export)
    assert not model.training
    x = torch.rand(2, *SHAPE)
    assert torch.equal(model.reconstruct(x), expected.reconstruct(x))
    card = hub.ModelCard.load(export / "README.md")
    assert card.data.library_name == "autoencoders"


def test_from_and_to_the_hub(export, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    from autoencoders.export.hub import from_pretrained, push_to_hub

    said = []

    class Api:
        def __init__(self, token=None):
            said.append(token)

        def create_repo(self, name, private, exist_ok):
            said.append((name, private, exist_ok))
            return hub.RepoUrl(f"https://huggingface.co/{name}")

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            said.append((repo_id, {path.name for path in Path(folder_path).iterdir()}))
            return "https://huggingface.co/me/digits/commit/1"

    def download(name, **options):
        said.append((name, options))
        return str(export)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "snapshot_download", download)
    assert push_to_hub(export, "me/digits", private=True).endswith("commit/1")
    files = {"model.safetensors", "config.json", "README.md", "figures", "samplers"}
    assert said == [None, ("me/digits", True, True), ("me/digits", files)]
    said.clear()
    loaded = [from_pretrained(name) for name in (export, str(export))]
    assert said == []  # offline
    loaded.append(from_pretrained("me/digits", revision="main"))
    assert said == [("me/digits", {"revision": "main"})]
    assert {type(model).__name__ for model in loaded} == {"WAEGAN"}
    with pytest.raises(InputError, match="not an export"):
        push_to_hub(export.parent, "me/digits")


def test_without_huggingface_hub(export, monkeypatch):
    from autoencoders.export.hub import from_pretrained

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert from_pretrained(export).label == "WAE-GAN"
    with pytest.raises(InputError, match=r"needs the package huggingface_hub: pip install"):
        from_pretrained("me/digits")
