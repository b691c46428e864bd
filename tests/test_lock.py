"""requirements.lock: exact versions with hashes, of what pyproject.toml asks for."""

import re

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

tomllib = pytest.importorskip("tomllib")  # of Python 3.11

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
VERSIONS = dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", LOCK, re.MULTILINE))


def test_every_package_has_a_hash_and_none_an_address():
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--(extra-)?index|--find-links| @ |(^|\s)/", LOCK)


def test_the_versions_are_those_that_the_project_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    asked += [Requirement(line) for line in project["optional-dependencies"]["dev"]]
    for requirement in asked:
        if requirement.name != project["name"]:
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(VERSIONS[name], prereleases=True), name
