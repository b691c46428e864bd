"""What `from autoencoders import ...` promises."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

import autoencoders


@pytest.mark.parametrize("name", autoencoders.__all__)
def test_every_name_is_there(name):
    value = getattr(autoencoders, name)
    assert value.__name__ == name
    assert value.__module__.startswith("autoencoders.")


def test_the_docs_list_every_name_and_no_other():
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ((?:`\w+` ?)+) \|", text, re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(names) == sorted(autoencoders.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'NoSuchModel'"):
        autoencoders.NoSuchModel  # noqa: B018
    assert {"VAE", "load_run", "__name__"} <= set(dir(autoencoders))


def test_the_package_is_imported_without_torch():
    code = "import autoencoders, sys; print([m for m in ('torch', 'hydra') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow  # mypy reads all of torch, unless it has done so before
def test_a_type_checker_knows_the_names_and_refuses_others(tmp_path):
    assert (ROOT / "src/autoencoders/py.typed").exists()
    file = tmp_path / "user.py"
    lines = ("from autoencoders import VAE", "reveal_type(VAE)", "from autoencoders import Nothing")
    file.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--cache-dir", ROOT / ".mypy_cache", file]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "-> autoencoders.models.vae.VAE" in said
    assert 'Module "autoencoders" has no attribute "Nothing"' in said
