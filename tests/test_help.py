"""`--help` says what can be chosen and what each key means, as conf/ does."""

import re

import pytest
from conftest import ROOT, choices, run_script
from hydra import compose, initialize_config_dir

from autoencoders.launch.help import annotated, comments, explain_keys

PATH = {"PYTHONPATH": str(ROOT / "src")}


@pytest.fixture
def shown():
    """What the help of a script shows of these groups and keys, for these overrides."""

    def show(script, *overrides):
        explain_keys()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3", job_name=script):
            config = compose(script, list(overrides), return_hydra_config=True)
        return config.hydra.help.template.replace("$$", "$")

    return show


def unexplained(text):
    """The keys with a value and without a comment."""
    lines = text.partition("resume: null" if "resume:" in text else ": null")[2].splitlines()
    key = re.compile(r" *(?!_target_|_partial_)\w+: (?!\{\})[^#]+")
    return [line for line in lines if key.fullmatch(line)]


GROUPS = ("model", "network", "optimizer", "scheduler", "trainer")
OVERRIDES = [
    *((group, choice) for group in GROUPS for choice in choices(group)),
    *(("dataset", choice) for choice in choices("dataset")),
    *(("callbacks", choice) for choice in choices("callbacks")),
    *((group, f"[{','.join(choices(group))}]") for group in ("sampler",)),
    *(("logger", choice) for choice in choices("logger")),
]


@pytest.mark.parametrize(("group", "choice"), OVERRIDES)
def test_every_key_is_explained(group, choice, shown):
    """A comment stands behind it in its file, or in one that this takes its defaults from."""
    assert unexplained(shown("train", f"{group}={choice}")) == []


@pytest.mark.parametrize("script", ["train", "evaluate", "compare", "export", "encode"])
def test_every_script_shows_its_groups_and_keys(script, tmp_path):
    done = run_script(f"{script}.py", "--help", cwd=tmp_path, **PATH)
    assert done.returncode == 0, done.stderr
    groups = {
        "train": ("model", "network", "dataset", "trainer", "logger", "callbacks", "sampler"),
        "evaluate": ("logger", "sampler"),
        "compare": ("dataset",),
        "export": (),
        "encode": (),
    }[script]
    for group in groups:
        assert f"{group}: {', '.join(choices(group))}\n    " in done.stdout
    keys = {
        "train": "seed: 0",
        "compare": "runs: []",
        "export": "run: ???",
        "encode": "input: ???",
    }.get(script, "run: null")
    assert re.search(rf"^{re.escape(keys)} +# \w", done.stdout, re.MULTILINE)
    assert not list(tmp_path.iterdir())


def test_a_comment_is_of_the_files_that_were_chosen(shown):
    paper = shown("train", "experiment=paper", "model=wae_mmd")
    assert re.search(r"max_epochs: 100 +# at most", paper)
    debug = shown("train", "trainer=debug_overfit")
    assert re.search(r"max_epochs: 100 +# of one step each", debug)
    assert re.search(r"accelerator: auto +# a GPU if there is one", debug)  # from default.yaml


def test_a_folder_of_the_users_own_is_read_too(tmp_path):
    (tmp_path / "conf/model").mkdir(parents=True)
    text = "defaults:\n  - ae\n\n_target_: autoencoders.models.VAE\nbeta: 2.0 # mine\n"
    (tmp_path / "conf/model/mine.yaml").write_text(text)
    options = ("--help", "--config-dir", str(tmp_path / "conf"), "model=mine")
    printed = run_script("train.py", *options, cwd=tmp_path, **PATH).stdout
    assert "mine, rae" in printed
    assert re.search(r"  beta: 2.0 +# mine", printed)
    assert re.search(r"  latent_dim: 8 +# dimensions of a code", printed)


def test_comments_are_found_by_dotted_keys(tmp_path):
    (tmp_path / "model").mkdir()
    file = tmp_path / "model/one.yaml"
    file.write_text("a: 1 # first\nb:\n  c: [1, 2] # inner\nd: ${x} # last\n")
    known = comments(file, tmp_path)
    assert known == {"model.a": "first", "model.b.c": "inner", "model.d": "last"}
    file.write_text("# @package _global_\nmodel:\n  a: 1 # of a\n")
    assert comments(file, tmp_path) == {"model.a": "of a"}
    lines = list(annotated("model:\n  a: 3\n  b: 4", {"model.a": "of a"}))
    assert [line.split() for line in lines] == [
        *(["model:"], ["a:", "3", "#", "of", "a"], ["b:", "4"]),
    ]
