"""Paths on the command line: as the shell passes them, whatever characters they have."""

from pathlib import Path

import pytest
from conftest import compose_train
from hydra.core.override_parser.overrides_parser import OverridesParser

from autoencoders.launch import overrides

NAMES = [
    *(
        "photos (1)",
        "日本",
        "a,b",
        "2024",
        "it's",
        "a=b",
        "a b",
        'a"b',
        "a\\b",
        "a'b\"c",
        "[x]",
        "{x}",
    ),
    *(
        "true",
        "null",
        "1e5",
        "a:b",
        "a$b",
        "${x}",
        "a#b",
        "-x",
        "a+b",
        "Jürgen",
        "a%b",
        "a;b",
        "@x",
    ),
    *("!x", "*x", "?x", "x ", " x", "a\tb", "~x", "x\\", "(x", "~/photos"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_taken_for_a_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = Path(str(tmp_path / "home"), name[2:]) if name.startswith("~/") else Path(name)
    path.mkdir(parents=True)
    for flags in ([], ["-m"]):
        arguments = [*flags, f"dataset.path={name}"]
        overrides.quote_paths(arguments)
        assert Path(compose_train("dataset=folder", arguments[-1]).dataset.path) == path


def test_a_multirun_takes_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos (1)", "2024", "it's, a=[b]"):
        Path(name).mkdir()
    arguments = ["-m", "dataset.path=photos (1),2024,it's, a=[b]"]
    overrides.quote_paths(arguments)
    parse = OverridesParser.create().parse_override
    jobs = [f"k={value}" for value in parse(arguments[1]).sweep_string_iterator()]
    assert [parse(job).value() for job in jobs] == ["photos (1)", "2024", "it's, a=[b]"]


def test_a_jobs_folder_is_typed_as_it_is_called(tmp_path, monkeypatch):
    """Hydra takes `=` and `,` for its own; what it can read is quoted only where it exists."""
    monkeypatch.chdir(tmp_path)
    Path("0_model=ae,seed=1").mkdir()
    arguments = ["run=0_model=ae,seed=1", "ckpt_path=a,b", "seed=1,2"]
    overrides.quote_paths(arguments)
    assert arguments[1:] == ["ckpt_path=a,b", "seed=1,2"]
    parsed = OverridesParser.create().parse_override(arguments[0])
    assert (parsed.key_or_group, parsed.value()) == ("run", "0_model=ae,seed=1")


@pytest.mark.parametrize("path", ["größe", "日本/x", "it's", "a{b", "x]"])
def test_a_path_that_hydra_cannot_read_is_taken_as_it_is_typed(path):
    """Also that of a folder yet to be made."""
    arguments = ["-m", f"hydra.sweep.dir={path}", f"seed={path}"]
    overrides.quote_paths(arguments)
    assert OverridesParser.create().parse_override(arguments[1]).value() == path
    assert arguments[2] == f"seed={path}"
