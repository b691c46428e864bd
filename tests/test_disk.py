"""A full disk, and Ctrl-C: what was there stays, and one line says what to do."""

import errno
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SHORT, compose_train, run_script
from omegaconf import OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import write_whole
from autoencoders.launch.ending import end_on_ctrl_c
from autoencoders.runs import load_run
from autoencoders.training.checkpoint_files import AtomicCheckpointIO, read_checkpoint
from train import train


@pytest.fixture
def fail_at(monkeypatch):
    """Lets the write of this number into a checkpoint's file end with this error."""

    def fail_at(count, error):
        writes = itertools.count(1)

        class Checkpoint(io.FileIO):
            def write(self, content):
                if next(writes) == count:
                    raise error
                return super().write(content)

        def open_file(path, *args, **kwargs):
            return (Checkpoint if ".ckpt" in path.name else open)(path, *args, **kwargs)

        monkeypatch.setattr(Path, "open", open_file)

    return fail_at


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(tmp_path, fail_at):
    last = tmp_path / "run/checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 1}, last)
    weights = {"state_dict": {"weight": torch.zeros(10_000)}}
    fail_at(1, FULL)
    with pytest.raises(InputError) as error:
        AtomicCheckpointIO().save_checkpoint(weights, last)
    assert str(error.value) == (
        f"{last}: cannot be written: No space left on device; make room, then python train.py"
        f" resume={tmp_path / 'run'} goes on"
    )
    assert read_checkpoint(last)["epoch"] == 1
    assert os.listdir(last.parent) == ["last.ckpt"]
    last.unlink()
    fail_at(1, FULL)
    with pytest.raises(InputError, match="make room, then run the command again"):
        AtomicCheckpointIO().save_checkpoint(weights, last)


@pytest.mark.parametrize("name", ["figures/codes.png", "best/figures/codes.png", "metrics.json"])
@pytest.mark.parametrize("finished", [False, True])
def test_what_does_not_fit_after_training(name, finished, tmp_path, monkeypatch):
    """It is named, and the command is that which goes on: numbers may have been written before."""
    run = tmp_path / "run"
    for file in ("checkpoints/last.ckpt", "metrics.json"):
        (run / file).parent.mkdir(parents=True, exist_ok=True)
        (run / file).touch()
    (run / "run.json").write_text(json.dumps({"finished": finished}))
    monkeypatch.chdir(tmp_path)

    def fsync(_):
        raise FULL

    monkeypatch.setattr("autoencoders.files.os.fsync", fsync)
    with pytest.raises(InputError) as error:
        write_whole(run / name, "content")
    again = "run the command again" if finished else "python train.py resume=run goes on"
    assert str(error.value) == (
        f"{run / name}: cannot be written: No space left on device; make room, then {again}"
    )


def test_ctrl_c_while_a_checkpoint_is_written(tmp_path, fail_at):
    """Whichever write it falls into, it stays a Ctrl-C, and the old checkpoint stays."""
    last = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "epoch": 1}, last)
    new = {"state_dict": {"weight": torch.ones(1000)}, "epoch": 2}
    for count in itertools.count(1):
        fail_at(count, KeyboardInterrupt())
        try:
            AtomicCheckpointIO().save_checkpoint(new, last)
        except KeyboardInterrupt:
            assert read_checkpoint(last)["epoch"] == 1
        else:
            break
    assert count > 1
    assert read_checkpoint(last)["epoch"] == 2


@pytest.mark.slow
def test_ctrl_c_before_a_checkpoint_is_complete(tmp_path):
    """torch completes a file when its writer is freed: C++ would abort were it closed by then."""
    program = """if True:
        import sys
        from pathlib import Path
        from torch import serialization
        from autoencoders.training.checkpoint_files import AtomicCheckpointIO

        def interrupt(*_):
            raise KeyboardInterrupt

        serialization._open_zipfile_writer_file.__exit__ = interrupt
        serialization._open_zipfile_writer_buffer.__exit__ = interrupt
        try:
            AtomicCheckpointIO().save_checkpoint({"epoch": 1}, Path(sys.argv[1]))
        except KeyboardInterrupt:
            print("interrupted")
    """
    command = [sys.executable, "-c", program, tmp_path / "last.ckpt"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_during_training(tmp_path, fail_at, no_figures):
    """The second epoch's checkpoint finds no room: the first's stays, and resumes."""
    cfg = compose_train(*SHORT, "trainer.precision=32-true")
    fail_at(3, FULL)  # the first epoch writes best.ckpt and last.ckpt
    with pytest.raises(InputError, match="No space left"):
        train(cfg, tmp_path)
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(cfg, tmp_path / ".hydra/config.yaml")
    started = OmegaConf.create({"hydra": {"runtime": {"cwd": str(tmp_path)}}})
    OmegaConf.save(started, tmp_path / ".hydra/hydra.yaml")
    read_checkpoint(tmp_path / "checkpoints/last.ckpt")
    train(cfg, tmp_path, resume=True)
    assert json.loads((tmp_path / "metrics.json").read_text())["epochs"] == 2


@pytest.fixture
def small_disk(tmp_path):
    """A disk of three megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", disk)
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(("umount", "-l", disk), check=True)


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 30_000, 300_000])
@pytest.mark.parametrize("arguments", [("evaluate.py", "run=run"), ("train.py", *SHORT)])
def test_a_command_on_a_full_disk(arguments, room, small_disk, finished):
    """Whatever it is that no longer fits."""
    run = small_disk / "run"
    shutil.copytree(finished, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
    done = run_script(*arguments, cwd=small_disk)
    assert done.returncode == 1
    assert "Exception in thread" not in done.stderr
    line = done.stderr.rstrip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "No space left on device; make room, then " in line
    assert "None" not in line
    for resumed in re.findall(r"resume=(\S+)", line):
        assert (small_disk / resumed / "checkpoints/last.ckpt").exists()
    changed = {p for p, content in before.items() if not p.exists() or p.read_bytes() != content}
    parts = {path.relative_to(run).parts[0] for path in changed}
    # A new evaluation may have taken the earlier one's place before the disk was full.
    ours = {"metrics.json", "evaluation.json", "evaluations", "samplers", "figures"}
    assert {part for part in parts if not part.endswith("-hparams")} <= ours
    assert arguments[0] == "evaluate.py" or not parts
    assert load_run(run).metrics["epochs"] == 2


@pytest.mark.slow
def test_ctrl_c_ends_an_evaluation_with_one_line(run):
    process = subprocess.Popen(
        [sys.executable, ROOT / "evaluate.py", f"run={run}"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, which pytest may be one of, start with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and "not drawn yet" not in (run / "evaluation.json").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted; type the command again\n")
    assert not list(run.rglob("*.partial*"))
    assert load_run(run).metrics == json.loads((run / "metrics.json").read_text())
    statuses = json.loads((run / "evaluation.json").read_text())["figures"]
    assert "not drawn yet" in statuses.values()


def test_ctrl_c_while_lightning_tests(capsys):
    """Which ends the program with status 1 and no word."""

    def test():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(SystemExit) as ended, end_on_ctrl_c():
        test()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; type the command again\n"
    with pytest.raises(SystemExit) as ended, end_on_ctrl_c():
        sys.exit("error: anything else")
    assert ended.value.code == "error: anything else"
