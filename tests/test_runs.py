"""Run folders: each run's own, read back as it was left."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import compose_train, located, write_data_set
from omegaconf import OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import make_new
from autoencoders.launch.config import check_settings
from autoencoders.launch.folders import refuse_occupied, refuse_strewing
from autoencoders.launch.ranks import rank
from autoencoders.runs import load_run
from autoencoders.runs.folder import lock


def test_runs_of_one_second_get_a_folder_each(tmp_path):
    with ThreadPoolExecutor(8) as runs:
        made = list(runs.map(make_new, [tmp_path / "wae/12-00-00"] * 8))
    expected = {"12-00-00"} | {f"12-00-00-{n}" for n in range(2, 9)}
    assert {folder.name for folder in made} == expected


def test_a_folder_that_is_no_runs(tmp_path):
    with pytest.raises(InputError, match=r"not a run's folder: it has no \.hydra/config\.yaml"):
        load_run(tmp_path)


def test_a_relative_data_dir_is_where_the_run_was_started(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_DATA", "/elsewhere")
    cfg = compose_train("dataset=mnist", "dataset.data_dir=data")
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(cfg, tmp_path / ".hydra/config.yaml")
    started = OmegaConf.create({"hydra": {"runtime": {"cwd": str(tmp_path / "started")}}})
    OmegaConf.save(started, tmp_path / ".hydra/hydra.yaml")
    assert located(tmp_path).dataset.data_dir == "/elsewhere"  # there is no data (any more)
    # Nor where there is something else alone: a download must not go there.
    write_data_set(tmp_path / "started/data/FashionMNIST/raw")
    assert located(tmp_path).dataset.data_dir == "/elsewhere"
    write_data_set(tmp_path / "started/data/MNIST/raw")
    assert Path(located(tmp_path).dataset.data_dir) == tmp_path / "started/data"


@pytest.mark.parametrize("override", ["seed=-1", "monitor=test/mse", "trainer.max_epochs=0"])
def test_settings_that_no_constructor_checks(override):
    key, _, value = override.partition("=")
    with pytest.raises(InputError, match=f"{key}={value}: must"):
        check_settings(compose_train(override))


def test_a_run_in_use_is_left_alone(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(InputError, match="another process is writing there"), lock(tmp_path):
        pass
    del held
    with lock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 0),
        ({"SLURM_PROCID": "3"}, 3),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, 1),  # Lightning's child in an allocation
        ({"RANK": "5", "LOCAL_RANK": "1"}, 5),
    ],
)
def test_a_process_knows_its_number(variables, expected, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert rank() == expected


def test_a_run_may_begin_where_the_shell_keeps_its_log(tmp_path, monkeypatch):
    """But not in the current folder, among other files."""
    (tmp_path / "log.txt").touch()
    refuse_strewing("hydra.run.dir", tmp_path, folders=False)
    refuse_strewing("hydra.run.dir", tmp_path / "new", folders=False)
    (tmp_path / "below").mkdir()
    refuse_strewing("hydra.sweep.dir", tmp_path, folders=True)
    with pytest.raises(InputError, match="holds other files"):
        refuse_strewing("hydra.run.dir", tmp_path, folders=False)
    monkeypatch.chdir(tmp_path / "below")
    refuse_strewing("hydra.run.dir", Path(), folders=False)
    with pytest.raises(InputError, match=r"hydra\.sweep\.dir=\.\.: holds other files"):
        refuse_strewing("hydra.sweep.dir", Path(".."), folders=True)


def test_a_run_that_failed_before_its_first_checkpoint_keeps_no_folder(tmp_path):
    """The corrected command is not refused for what the first has left."""
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(compose_train(), tmp_path / ".hydra/config.yaml")
    refuse_occupied(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    with pytest.raises(InputError, match="holds an unfinished run; resume="):
        refuse_occupied(tmp_path)
