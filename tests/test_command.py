"""`python train.py` as it is typed: what it prints, what it leaves, and what it refuses."""

import json
import re
import signal

import pytest
from conftest import SHORT, choices, interrupt, run_here

from autoencoders.runs import load_run
from autoencoders.runs.state import mark
from autoencoders.training.checkpoint_files import read_checkpoint


def run_folders(path):
    return sorted(file.parent for file in path.rglob("metrics.json"))


def test_the_command_prints_its_table_and_paths(train_py, tmp_path):
    done = train_py(*SHORT, "+trainer.profiler=simple", "+trainer.enable_progress_bar=false")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("FIT Profiler Report") == 1
    assert "Epoch 1/2" not in done.stdout
    (folder,) = run_folders(tmp_path / "outputs")
    assert folder.parent == tmp_path / "outputs/digits/wae"
    mse = json.loads((folder / "metrics.json").read_text())["test/mse"]
    assert re.search(rf"│ +{mse:.4g} │", done.stdout)
    for path in ("figures", "metrics.json"):
        assert f" {folder.relative_to(tmp_path) / path}\n" in done.stdout
    assert (folder / ".hydra/config.yaml").exists()


def test_a_multirun_leaves_a_folder_a_job(tmp_path, no_figures):
    printed = run_here("train.py", "-m", "model=ae,vae", *SHORT, cwd=tmp_path)
    folders = run_folders(tmp_path / "outputs/multirun")
    assert [folder.name for folder in folders] == ["0_model=ae", "1_model=vae"]
    for folder in folders:
        mse = json.loads((folder / "metrics.json").read_text())["val/mse"]
        assert f"\njob {folder.name} finished: val/mse {mse:.4g}\n" in printed
    assert "Test of" not in printed
    assert [type(load_run(folder).model).__name__ for folder in folders] == ["AE", "VAE"]


def test_ctrl_c_saves_and_the_printed_command_resumes(tmp_path, no_figures):
    status, out, err = interrupt(signal.SIGINT, tmp_path)
    assert status != 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    epochs = read_checkpoint(checkpoint).epochs
    assert f"interrupted; {epochs} epochs are saved" in out, err
    (line,) = [line for line in out.splitlines() if "resume=" in line]
    assert line.startswith("continue with: python ")
    argument = line.split()[-1]
    # The whole run would be long: shorten what is left of it.
    config = checkpoint.parents[1] / ".hydra/config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 100", f"max_epochs: {epochs + 1}"))
    before = config.read_text()
    run_here("train.py", argument, cwd=tmp_path)
    metrics = json.loads((checkpoint.parents[1] / "metrics.json").read_text())
    assert metrics["epochs"] == epochs + 1
    assert config.read_text() == before
    assert len(list(tmp_path.rglob("config.yaml"))) == 1
    with pytest.raises(SystemExit, match="holds a finished run"):
        run_here("train.py", argument, cwd=tmp_path)


@pytest.mark.slow
def test_sigterm_keeps_the_finished_epochs(tmp_path):
    status, out, err = interrupt(signal.SIGTERM, tmp_path)
    assert status == 128 + signal.SIGTERM
    assert re.search(r"continue with: python \S*train.py resume=", out)
    assert "Traceback" not in err
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    read_checkpoint(checkpoint)


def test_help_shows_groups_choices_and_examples(train_py):
    done = train_py("--help")
    assert done.returncode == 0
    assert all(
        f"{group}: {', '.join(choices(group))}" in done.stdout
        for group in ("model", "network", "dataset", "trainer")
    )
    assert sum(line.startswith("  python train.py") for line in done.stdout.splitlines()) == 6


def test_a_run_that_diverges(tmp_path):
    line = r"error: \S+ is (nan|inf) in epoch 1: training has diverged"
    with pytest.raises(SystemExit, match=line):
        run_here("train.py", *SHORT, "optimizer.lr=1e30", "scheduler=constant", cwd=tmp_path)
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    weights = read_checkpoint(checkpoint)["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.slow
def test_a_run_cut_off_before_its_first_checkpoint_starts_again(train_py, tmp_path):
    assert train_py(*SHORT, "hydra.run.dir=run").returncode == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    for file in (tmp_path / "run").glob("checkpoints/*"):
        file.unlink()
    mark(tmp_path / "run", finished=False)
    assert train_py("resume=run").returncode == 0
    again = json.loads((tmp_path / "run/metrics.json").read_text())
    assert again["test/mse"] == metrics["test/mse"]
    assert load_run(tmp_path / "run").epochs == 2


@pytest.mark.slow
def test_ddp_trains_wae_gan_on_two_processes(train_py, tmp_path):
    done = train_py(*SHORT, "trainer.devices=2", "trainer.accelerator=cpu", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2
    assert len(list(tmp_path.rglob("metrics.json"))) == 1
