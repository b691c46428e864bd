"""Jobs of a multirun in processes of their own: by launchers, by DDP, and when one is killed."""

import signal
from pathlib import Path

import psutil
import pytest
from conftest import SHORT
from multiruns import TINY, contents, metrics, of_job, paste, printed_command, start, wait_for

from autoencoders.runs.state import mark


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"),
    ],
    ids=["joblib", "submitit"],
)
def test_jobs_in_processes_of_their_own(launcher, multirun):
    """One job fails; the other finishes, and the table tells; typed again, it stays as it is."""
    arguments = (*launcher, *TINY, "optimizer.lr=0.001,1e30", "hydra.sweep.dir=sweep")
    code, out = multirun(*arguments)
    assert code == 1
    assert f"finished │ {metrics(of_job('sweep', 0))['val/mse']:.4g}" in out
    assert "training has diverged" in out
    kept = contents(of_job("sweep", 0))
    assert multirun(*arguments)[0] == 1
    assert contents(of_job("sweep", 0)) == kept


@pytest.mark.slow
def test_jobs_of_several_processes_take_turns(multirun, tmp_path):
    """Two jobs of two processes each: the first fails and the second goes on, neither hangs, and
    there are no folders beside theirs; the second is resumed."""
    own = "+trainer.callbacks=[{_target_: pytorch_lightning.callbacks.Timer}]"
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "model=wae", own, "hydra.sweep.dir=sweep")
    grid = ("sweep=grid", "hydra.sweeper.params.seed=0", "optimizer.lr=1e30,1e-3")
    arguments = (*grid, *TINY, *ddp)
    code, out = multirun(*arguments)
    assert code == 1
    assert "training has diverged" in (of_job("sweep", 0) / "error.txt").read_text()
    assert f"finished │ {metrics(of_job('sweep', 1))['val/mse']:.4g}" in out
    mark(of_job("sweep", 1), finished=False)
    assert multirun(*arguments)[0] == 1
    assert metrics(of_job("sweep", 1))["epochs"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    kept = {"0_optimizer.lr=1e+30", "1_optimizer.lr=0.001", "multirun.yaml", ".lock"}
    assert {path.name for path in Path("sweep").iterdir()} == kept


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_multirun_whose_process_is_ended_goes_on(sent, tmp_path):
    """A job's process killed, as the operating system does where memory runs out: one line; or the
    multirun's own asked to end, as a batch system does."""
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = start(tmp_path, *parallel, "model=ae,vae", *SHORT, "trainer.max_epochs=20")
    wait_for(process, tmp_path, "best.ckpt", count=2)
    if sent == signal.SIGKILL:
        (victim, *_) = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if any("popen_loky" in word for word in child.cmdline())
        ]
        victim.kill()
    else:
        process.terminate()
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if sent == signal.SIGKILL:
        assert process.returncode == 1
        assert err.splitlines()[-1].startswith("error: a job's process was killed, perhaps for")
        assert "interrupted" in out
    else:
        assert process.returncode == 128 + signal.SIGTERM
    done = paste(printed_command(out), tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs/multirun").iterdir()
    assert [metrics(of_job(folder, n))["epochs"] for n in "01"] == [20, 20]
