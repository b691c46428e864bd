"""What may know what: the imports between the package's rooms, read off the source."""

import ast
import io
import tokenize

import pytest
import torch
from conftest import ROOT

PACKAGE = ROOT / "src/autoencoders"
BACK_ROOM = {"runs", "launch", "commands"}


def room_of(module):
    """`autoencoders.models.base` -> `models`; a formula's file, such as losses, is its own room."""
    return module.split(".")[1]


def imports(file):
    """The modules that a file imports, also late ones and those for type checking."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "autoencoders" else [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files():
    return sorted(PACKAGE.rglob("*.py"))


def room_of_file(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows():
    """By room, the rooms that it imports."""
    graph = {}
    for file in files():
        ours = [name for name in imports(file) if name.startswith("autoencoders.")]
        graph.setdefault(room_of_file(file), set()).update(map(room_of, ours))
    return {room: known - {room} for room, known in graph.items()}


def test_no_two_rooms_import_each_other_however_far_round():
    graph = arrows()
    order = []
    while graph:
        free = [room for room, known in graph.items() if not known - set(order)]
        assert free, f"a circle among {sorted(graph)}: {graph}"
        order += free
        graph = {room: known for room, known in graph.items() if room not in free}


def test_nothing_in_front_knows_the_back_room():
    """Except the package's own file, which passes names on."""
    knowing = {room for room, known in arrows().items() if known & BACK_ROOM}
    assert knowing - BACK_ROOM == {"__init__"}


def importers(library):
    rooms = {
        room_of_file(file)
        for file in files()
        if any(name.split(".")[0] == library for name in imports(file))
    }
    return rooms


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("pytorch_lightning", {"data", "models", "training", "testing", "errors"}),
        ("hydra", {"runs", "launch", "errors"}),
        ("omegaconf", {"runs", "launch", "errors"}),
    ],
)
def test_who_knows_a_library(library, rooms):
    assert importers(library) <= rooms


@pytest.mark.parametrize(
    ("room", "known"),
    [
        ("networks", {"errors"}),
        ("losses", set()),
        ("divergences", set()),
        ("distributions", {"divergences", "losses"}),
        ("figures", set()),
        ("samplers", {"distributions", "networks", "files", "errors"}),
        ("testing", {"data", "distributions", "metrics", "models", "networks", "samplers"}),
    ],
)
def test_what_a_room_knows(room, known):
    assert arrows()[room] <= known


# The private names of libraries that are used, by file, and where they are looked up.
PRIVATE = {
    "training/precision.py": (torch.cpu, {"_is_avx512_bf16_supported", "_is_amx_tile_supported"}),
}
# Of named tuples and of Hydra, whatever they begin with.
PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_target_"}


def private_names(file):
    """The private names that a file uses, and those that it defines."""
    used, defined = set(), set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            (defined if isinstance(node.ctx, ast.Store) else used).add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            used |= {str(a.value) for a in node.args if isinstance(a, ast.Constant)}
        elif isinstance(node, ast.ImportFrom) and not node.module.startswith("autoencoders"):
            used |= {*node.module.split("."), *(alias.name for alias in node.names)}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    return private - PUBLIC, defined


def test_private_names_of_libraries_stand_in_one_file():
    """A release of Hydra's, Lightning's or torch's may take them away."""
    names = {str(file.relative_to(PACKAGE)): private_names(file) for file in files()}
    defined = {}
    for file, (_, own) in names.items():
        defined.setdefault(file.split("/")[0], set()).update(own)  # also by a class's base
    foreign = {file: used - defined[file.split("/")[0]] for file, (used, _) in names.items()}
    expected = {file: used for file, (_, used) in PRIVATE.items()}
    assert {file: used for file, used in foreign.items() if used} == expected
    for library, used in PRIVATE.values():
        assert all(hasattr(library, name) for name in used)


LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}


def code_lines(file):
    """How many lines of a file are neither blank, nor comments, nor docstrings."""
    source, lines = file.read_text(encoding="utf-8"), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in {*LAYOUT, tokenize.ENDMARKER}:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if named and ast.get_docstring(node, clean=False) is not None:
            lines -= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    return len(lines)


def test_code_lines_are_counted_without_docstrings_and_comments(tmp_path):
    file = tmp_path / "file.py"
    text = '"""What it is.\n\nMore."""\n\n# Why.\nX = """\ntext\n"""  # a value\n\n\n'
    file.write_text(text + 'def f():\n    """Does it."""\n    return (\n        X\n    )\n')
    assert code_lines(file) == 3 + 1 + 3


# Lines of code, at most. What is added to the back room takes the place of something else there.
SIZES = {
    "back room": (
        2_400,
        ("runs", "launch", "errors", "files", "commands", "terminal", "hydra_plugins"),
    ),
    "training": (1_360, ("training",)),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_back_room_and_training_grow_no_further(name):
    most, rooms = SIZES[name]
    sources = [*files(), *(ROOT / "src/hydra_plugins").rglob("*.py")]
    size = sum(code_lines(file) for file in sources if room_in_source(file) in rooms)
    assert 0 < size <= most


def room_in_source(file):
    plugin = (ROOT / "src/hydra_plugins") in file.parents
    return "hydra_plugins" if plugin else room_of_file(file)


def test_the_readmes_layout_names_every_room():
    layout = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in sorted(PACKAGE.iterdir()):
        if path.name.startswith("__") or path.name == "py.typed":
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        assert f"  {name} " in layout or f"  {name}\n" in layout, name
