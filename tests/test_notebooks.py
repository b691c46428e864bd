"""Notebooks run, their outputs are those of a clean run, and what documents point to is there."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from conftest import ROOT
from matplotlib.mathtext import MathTextParser
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *NOTEBOOKS]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)


def markdown(path: Path) -> str:
    """A document's prose; of a notebook, its Markdown cells."""
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def prose(path: Path) -> str:
    """Without code, in which neither a link nor a formula is one."""
    return re.sub(r"```.*?```|`[^`\n]+`", "", markdown(path), flags=re.DOTALL)


@pytest.mark.slow
@each_notebook
def test_every_cell_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_EPOCHS", "1")
    monkeypatch.setenv("AUTOENCODERS_RUNS", str(tmp_path))
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    for name in ("http_proxy", "https_proxy"):  # where nobody answers: a download fails
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert not errors(notebook)
    assert not list(tmp_path.iterdir())


@each_notebook
def test_committed_outputs_are_of_one_run_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not errors(notebook)
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    assert path.stat().st_size < 3_000_000


@each_notebook
def test_no_output_tells_of_the_machine_that_made_it(path):
    for output in outputs(nbformat.read(path, as_version=4)):
        texts = {kind: text for kind, text in output.get("data", {}).items() if "image" not in kind}
        shown = json.dumps([output.get("text", ""), texts])
        assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users|mnt|var|opt)/", shown), shown


@each_notebook
def test_every_line_of_code_beside_a_formula_is_in_its_file(path):
    for code, link in re.findall(r"\| `([^`]+)` \| \[[^]]+\]\(([^)]+)\) \|", markdown(path)):
        lines = (path.parent / link).read_text().splitlines()
        assert code in [line.strip() for line in lines], f"{link} has no line {code}"


def test_the_tutorial_has_an_algorithm_for_each_model():
    text = markdown(ROOT / "notebooks/wasserstein_autoencoder.ipynb")
    algorithms = re.findall(r"\*\*Algorithm \d: (.*?)\*\*\n\n((?:\|.*\n)+)", text)
    assert [name for name, _ in algorithms] == ["AE", "VAE", "WAE-GAN", "WAE-MMD"]
    for _, table in algorithms:
        steps = [row for row in table.splitlines() if re.match(r"\| \d+ \|", row)]
        assert len(steps) >= 5
        assert all(re.search(r"\| `[^`]+` \| \[\S+\]\(\S+\) \|$", row) for row in steps)


@each_document
def test_formulas_parse(path):
    text = prose(path)
    displayed = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    inline = re.findall(r"\$([^$\n]+)\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL))
    assert "$" not in re.sub(r"\$\$.+?\$\$|\$[^$\n]+\$", "", text, flags=re.DOTALL)
    parser = MathTextParser("path")
    for formula in displayed + inline:
        begun = re.findall(r"\\begin\{(\w+)\}", formula)
        assert begun == re.findall(r"\\end\{(\w+)\}", formula), formula
        assert not {"algorithm", "algorithmic"} & set(begun), formula
        if formula in inline:  # GitHub takes a Dollar with a space inside for a Dollar
            assert formula == formula.strip(), formula
        for line in re.sub(r"\\(begin|end)\{\w+\}|&", "", formula).split(r"\\"):
            parser.parse(f"${' '.join(line.split())}$")  # raises where it does not parse


@each_document
def test_links_lead_somewhere(path):
    text = prose(path)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"\w+:", link):  # another site's
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / unquote(file) if file else path
        assert target.exists(), f"{path.name}: {link}"
        if anchor and target.suffix in (".md", ".ipynb"):
            assert unquote(anchor) in anchors(target), f"{path.name}: {link}"


def anchors(path: Path) -> set[str]:
    """What a link may name of a document, as GitHub and Jupyter form it from headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE)
    if path.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]


def errors(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [out for out in outputs(notebook) if out.output_type == "error"]
