"""The tool that looks for changes which no test sees, on sources whose mutants are known."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from mutants import AREAS, files_of, mutants, suite_of

SCRIPT = ROOT / "tests/mutants.py"


def changes(source):
    """(before, after) of every mutant, whose source differs from the first one there alone."""
    found = mutants("file.py", source)
    for mutant in found:
        start = len("".join(source.splitlines(keepends=True)[: mutant.line - 1])) + mutant.column
        after = mutant.source[start : len(mutant.source) - len(source) + start + len(mutant.before)]
        assert source[start:].startswith(mutant.before)
        assert after in (mutant.after, f"({mutant.after})")
        compile(mutant.source, "file.py", "exec")
    return [(mutant.before, mutant.after) for mutant in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", [("a < b", "a <= b")]),
        ("a not in b", [("a not in b", "a in b")]),
        ("a * b", [("a * b", "a / b")]),
        ("a and b", [("a and b", "a or b")]),
        ("x = 0", [("0", "1")]),
        ("x = 1e30", []),  # 1 more is the same number
        ("x = -a", [("-a", "a")]),
        ("x = True", [("True", "False")]),
        ("a += b", [("a += b", "a -= b"), ("a += b", "pass")]),
        ("f(a)", [("f(a)", "pass")]),
        ("x = f(a, b=c, **d)", [("f(a, b=c, **d)", "f(a, **d)"), ("f(a, b=c, **d)", "f(a, b=c)")]),
        ("x = max(a, b)", [("max(a, b)", "min(a, b)")]),
        ("x = a.amin()", [("a.amin()", "a.amax()")]),
        ("if a:\n    b", [("a", "not a")]),
        ("x = a if b else c", [("b", "not b")]),
        ("def f():\n    return a", [("a", "-a")]),
        ("def f():\n    return 'a'", []),
        ("x = 'é' if a else b", [("a", "not a")]),  # columns are counted in bytes
    ],
)
def test_one_change(source, expected):
    if "é" in source:
        (mutant,) = mutants("file.py", source)
        assert mutant.source == "x = 'é' if (not a) else b"
    else:
        assert changes(source) == expected


def test_what_is_never_changed():
    source = '''
"""Of 3 things."""
__all__ = ["a"]
@decorate(retries=3, lazy=True)
def f(a: "int | Literal[1]", b: Annotated[int, 2] = c) -> Literal[3]:
    """At most 4."""
    d: Literal[5] = b
    assert a, f"{a + 6} is {not b}"
    raise ValueError(f"{a} is more than {b - 7}", 8)
'''
    assert changes(source) == []


def write_project(root):
    """A package whose test sees one change and misses another."""
    package = root / "src/autoencoders"
    package.mkdir(parents=True)
    (root / "tests").mkdir()
    (package / "__init__.py").touch()
    (package / "losses.py").write_text("def seen(x):\n    return [x * 2]\n\n\nUNSEEN = 'a' < 'b'\n")
    (package / "divergences.py").touch()
    (package / "distributions").mkdir()
    test = (
        "from autoencoders.losses import seen\n\n\ndef test_seen():\n    assert seen({}) == [6]\n"
    )
    (root / "tests/test_losses.py").write_text(test.format(3))


def run(root, *arguments):
    command = [sys.executable, SCRIPT, "losses", "--root", ".", *arguments]
    # Other plugins of pytest take seconds to import, for each mutant.
    few = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**os.environ, **few}
    )


def test_a_mutant_is_caught_and_another_survives(tmp_path):
    write_project(tmp_path)
    done = run(tmp_path, "--log", "log.jsonl", "--jobs", "2")
    survivor = "src/autoencoders/losses.py:5\n-UNSEEN = 'a' < 'b'\n+UNSEEN = ('a' <= 'b')\n"
    assert (done.stdout, done.returncode) == (f"{survivor}\nlosses: 2 / 3 caught\n", 0), done.stderr
    verdicts = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sorted((v["mutant"].split(": ")[1], v["caught"]) for v in verdicts) == [
        ("'a' < 'b' -> 'a' <= 'b'", False),
        ("2 -> 3", True),
        ("x * 2 -> x / 2", True),
    ]
    assert "UNSEEN = 'a' < 'b'" in (tmp_path / "src/autoencoders/losses.py").read_text()

    (tmp_path / "tests/test_losses.py").write_text("assert False")  # would catch all
    assert run(tmp_path, "--log", "log.jsonl").stdout == done.stdout


def test_tests_that_fail_by_themselves_are_an_error(tmp_path):
    write_project(tmp_path)
    with (tmp_path / "tests/test_losses.py").open("a") as file:
        file.write("    assert seen(3) == [7]\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: the tests of losses fail without any mutant:\n")
    assert "1 failed" in done.stderr


def test_the_suite_of_an_area():
    names = [file.stem for file in suite_of("losses", ROOT)]
    assert {"test_losses", "test_divergences", "test_distributions", "test_swae"} <= set(names)
    assert "test_idx" not in names
    assert "test_latents" in [file.stem for file in suite_of("metrics", ROOT)]  # by its module


@pytest.mark.slow
def test_a_mutant_that_never_ends_is_caught(tmp_path):
    write_project(tmp_path)
    loop = "def seen(x):\n    while None:\n        pass\n    return [x, x]\n"
    (tmp_path / "src/autoencoders/losses.py").write_text(loop)
    test = "from autoencoders.losses import seen\n\n\ndef test_seen():\n    seen(None)\n"
    (tmp_path / "tests/test_losses.py").write_text(test)
    assert run(tmp_path).stdout == "losses: 1 / 1 caught\n"


@pytest.mark.parametrize("area", AREAS)
def test_every_area_is_there(area):
    files = files_of(area, ROOT)
    assert files
    assert all(file.is_file() for file in files)
