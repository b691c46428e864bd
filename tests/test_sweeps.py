"""Multiruns: a failed job, an interrupted one, and how both are continued."""

import json
import math
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest
from conftest import ROOT, SHORT, compose_train, interrupt, run_script
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict, read_write

from autoencoders import sweeps
from autoencoders.errors import InputError
from autoencoders.run_folder import RunFolder
from autoencoders.runs import load_run, lock

JOBS = ("model=ae,vae", "model.lr=0.001,1e30", "model.schedule=constant", *SHORT)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A multirun of four jobs, of which two diverge; then one that is made to look interrupted."""
    root = tmp_path_factory.mktemp("sweep")
    done = run_script("train.py", "-m", *JOBS, "hydra.sweep.dir=sweep", cwd=root)
    return root, done


def test_a_failed_job_leaves_its_error_and_the_others_go_on(sweep):
    root, done = sweep
    assert done.returncode == 1
    jobs = sweeps.read_jobs(root / "sweep")
    assert [job.status for job in jobs] == ["finished", "failed", "finished", "failed"]
    for job in jobs:
        if job.status == "failed":
            assert "training has diverged" in job.error
            assert "Traceback" in (root / f"sweep/{job.number}/error.txt").read_text()
            assert not (root / f"sweep/{job.number}/metrics.json").exists()
        else:
            metrics = json.loads((root / f"sweep/{job.number}/metrics.json").read_text())
            assert job.value == metrics["val/mse"]


def test_a_table_ends_it(sweep):
    _, done = sweep
    assert "Traceback" not in done.stderr
    for text in ("model=vae", "model.lr=1e+30", "failed", "finished", "val/mse"):
        assert text in done.stdout
    assert done.stdout.rstrip().endswith("python train.py -m resume=sweep")


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_it_is_continued(sweep):
    """What is finished stays as it is, what was interrupted goes on with the config it began with,
    what failed is tried again."""
    root, _ = sweep
    finished, interrupted = root / "sweep/0", root / "sweep/2"
    (interrupted / "metrics.json").unlink()
    config = OmegaConf.load(interrupted / ".hydra/config.yaml")
    config.trainer.max_epochs = 3  # as if conf/ had said so then
    OmegaConf.save(config, interrupted / ".hydra/config.yaml")
    kept = contents(finished)
    done = run_script("train.py", "-m", "resume=sweep", cwd=root)
    assert done.returncode == 1  # two jobs diverge again
    assert contents(finished) == kept
    statuses = [job.status for job in sweeps.read_jobs(root / "sweep")]
    assert statuses == ["finished", "failed", "finished", "failed"]
    assert load_run(interrupted).metrics["epochs"] == 3
    assert not list(root.rglob(".composed"))
    assert sorted(path.name for path in root.iterdir()) == ["sweep"]


def test_other_arguments_are_refused(sweep):
    root, _ = sweep
    done = run_script("train.py", "-m", "resume=sweep", "seed=3", cwd=root)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("leave out seed=3")
    done = run_script("train.py", "-m", *JOBS, "hydra.sweep.dir=sweep", cwd=root)
    assert done.returncode == 1
    assert "-m resume=sweep continues it" in done.stderr.splitlines()[-1]


def test_the_arguments_of_another_command_stay():
    for arguments in (["model=ae"], ["resume=somewhere"], ["-m", "model=ae,vae"]):
        assert sweeps.continued(arguments) == arguments


def test_the_arguments_come_from_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(sweeps.CONTINUED, raising=False)
    hydra = ["hydra.sweep.dir=old", "hydra.mode=MULTIRUN", "hydra/launcher=joblib"]
    content = {"hydra": {"overrides": {"task": ["model=ae,vae"], "hydra": hydra}}}
    OmegaConf.save(OmegaConf.create(content), tmp_path / "multirun.yaml")
    assert sweeps.continued(["-m", f"resume={tmp_path}"]) == [
        *("-m", "model=ae,vae", "hydra/launcher=joblib", f"hydra.sweep.dir='{tmp_path}'"),
        "hydra.output_subdir=.composed",
    ]
    fewer = ["hydra.launcher.n_jobs=1"]  # of launcher and trials, others may be given
    assert fewer[0] in sweeps.continued(["-m", f"resume={tmp_path}", *fewer])
    assert os.environ.pop(sweeps.CONTINUED)
    with pytest.raises(InputError, match=r"nowhere: not a multirun's folder"):
        sweeps.continued(["--multirun", "resume=nowhere"])


def test_a_failed_job_returns_nan(tmp_path):
    def fail(cfg, folder, resume):
        raise RuntimeError("the power fails\nand more")

    assert math.isnan(sweeps.run_job(fail, compose_train(), tmp_path))
    first = (tmp_path / "error.txt").read_text().splitlines()[0]
    assert first == "RuntimeError: the power fails"


def test_jobs_of_several_processes_take_turns(tmp_path):
    """Two jobs of two processes each: the first fails and the second goes on, neither hangs, and
    there are no folders beside theirs."""
    own = "+trainer.callbacks=[{_target_: pytorch_lightning.callbacks.LambdaCallback}]"
    overrides = (*SHORT, "trainer=ddp", "trainer.accelerator=cpu", "model.schedule=constant", own)
    done = run_script(
        "train.py",
        *("-m", "model=wae", "model.lr=1e30,1e-3", *overrides, "hydra.sweep.dir=sweep"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    failed, finished = sweeps.read_jobs(tmp_path / "sweep")
    assert (failed.status, finished.status) == ("failed", "finished")
    assert "training has diverged" in failed.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [
        *(".lock", "0", "1", "multirun.yaml")
    ]


SEARCH = (
    *SHORT,
    *("evaluate=true", "evaluation.images=30", "model.hidden_dim=2", "hydra.sweep.dir=search"),
)


def test_a_search_finds_minimises_and_is_continued(tmp_path):
    """Three trials on the validation images; then one more, after an interruption."""
    done = run_script(
        "train.py", "-m", "sweep=search_wae", "hydra.sweeper.trials=3", *SEARCH, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "search"
    for name in ("history", "importance"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    for trial in study.trials:
        metrics = json.loads((folder / f"{trial.number}/metrics.json").read_text())
        assert trial.value == metrics["prior/fd_cnn"]
        conditions = json.loads((folder / f"{trial.number}/evaluation.json").read_text())
        assert conditions["split"] == "val"
        cfg = load_run(folder / str(trial.number)).cfg
        assert cfg.model.reg_weight == pytest.approx(trial.params["model.reg_weight"])
        assert isinstance(trial.params["model.latent_dim"], int)
    assert len({trial.params["model.lr"] for trial in study.trials}) == 3

    # As an interruption leaves it: a trial that was asked for, and its folder half done.
    (folder / "2/metrics.json").unlink()
    with sqlite3.connect(folder / "study.db") as database:
        database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 2")
        database.execute("DELETE FROM trial_values WHERE trial_id = 3")
    again = run_script("train.py", "-m", "resume=search", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    metrics = json.loads((folder / "2/metrics.json").read_text())
    assert study.trials[2].value == metrics["prior/fd_cnn"]


def test_a_search_whose_trials_all_fail(tmp_path):
    """And one interrupted while a trial was asked for, whose settings are not all there."""
    folder = tmp_path / "search"
    folder.mkdir()
    study = optuna.create_study(study_name="search", storage=f"sqlite:///{folder / 'study.db'}")
    study.ask({"model.reg_weight": optuna.distributions.FloatDistribution(1, 100, log=True)})
    diverging = ("hydra.sweeper.space={model.lr:{low:1e29,high:1e30}}", "model.schedule=constant")
    done = run_script(
        "train.py",
        *("-m", "sweep=search_wae", "hydra.sweeper.trials=2", *diverging, *SEARCH),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL"]
    assert not (folder / "0").exists()
    assert [job.status for job in sweeps.read_jobs(folder)] == ["failed"]
    assert "resume=" not in done.stdout  # nothing is left to do


def test_a_grid_is_a_sweep_of_its_own(tmp_path):
    fewer = ("hydra.sweeper.params.model='ae,vae'", "hydra.sweeper.params.seed='0,1'")
    done = run_script(
        "train.py", "-m", "sweep=grid", *SHORT, *fewer, "hydra.sweep.dir=sweep", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    overrides = [job.overrides for job in sweeps.read_jobs(tmp_path / "sweep")]
    assert overrides == [f"model={m} seed={s}" for m in ("ae", "vae") for s in (0, 1)]


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"),
    ],
    ids=["joblib", "submitit"],
)
def test_jobs_in_processes_of_their_own(launcher, tmp_path):
    """One job fails; the other finishes, and the table tells."""
    done = run_script(
        "train.py",
        *("-m", *launcher, "model=ae", "model.lr=0.001,1e30", "model.schedule=constant", *SHORT),
        "hydra.sweep.dir=sweep",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    statuses = [job.status for job in sweeps.read_jobs(tmp_path / "sweep")]
    assert statuses == ["finished", "failed"], done.stderr
    assert "training has diverged" in done.stdout


def test_ctrl_c_ends_the_multirun_and_says_how_to_go_on(tmp_path):
    status, out, err = interrupt(
        signal.SIGINT, tmp_path, "-m", "model=ae,vae", "hydra.sweep.dir=sweep"
    )
    assert status != 0
    assert "continue with: python train.py -m resume=sweep" in out
    assert "Traceback" not in err
    assert [job.status for job in sweeps.read_jobs(tmp_path / "sweep")] == ["interrupted"]


def test_a_job_whose_process_is_killed(tmp_path):
    """As the operating system does where memory runs out: one line, and a multirun to continue."""
    process = subprocess.Popen(
        [
            *(sys.executable, ROOT / "train.py", "-m", "hydra/launcher=joblib"),
            *("hydra.launcher.n_jobs=2", "model=ae,vae", "hydra.sweep.dir=sweep", *SHORT),
            "trainer.max_epochs=200",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("best.ckpt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if any("popen_loky" in word for word in child.cmdline())
    ]
    workers[0].send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "error: sweep: a job's process was killed, perhaps for want of memory;"
        " python train.py -m resume=sweep goes on"
    )
    assert "Traceback" not in err
    assert [job.status for job in sweeps.read_jobs(tmp_path / "sweep")] == ["interrupted"] * 2
    assert "interrupted" in out


def test_ctrl_c_beside_training_says_how_to_go_on(capsys):
    """In an evaluation, say, where Lightning does not see to it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", return_hydra_config=True, overrides=["hydra.mode=RUN"])
    with open_dict(config), read_write(config.hydra):
        config.hydra.run.dir = "outputs/run"  # as RunFolder chooses it
    HydraConfig.instance().set_config(config)
    with pytest.raises(SystemExit) as ended, sweeps.handle_interruptions():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert "continue with: python train.py resume=outputs/run\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["run", "my run", "it's", "a,b=c", "{a: 1}", r"a\b", "[x"])
def test_the_command_to_continue_is_one_that_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, argument = shlex.split(sweeps.how_to_continue(Path(name)))
    parsed = OverridesParser.create().parse_override(argument)
    assert (parsed.key_or_group, str(parsed.value())) == ("resume", name)
    Path(name).mkdir()
    content = {"hydra": {"overrides": {"task": [], "hydra": []}}}
    OmegaConf.save(OmegaConf.create(content), Path(name) / "multirun.yaml")
    *_, argument = shlex.split(sweeps.how_to_continue(Path(name)))
    _, folder, _ = sweeps.continued(["-m", argument])
    del os.environ[sweeps.CONTINUED]
    assert OverridesParser.create().parse_override(folder).value() == name


def test_a_finished_job_has_not_failed(tmp_path):
    """Its error may be that another process was at it."""
    (tmp_path / "0/.hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create([]), tmp_path / "0/.hydra/overrides.yaml")
    OmegaConf.save(OmegaConf.create({"objective": "a"}), tmp_path / "0/.hydra/config.yaml")
    (tmp_path / "0/error.txt").write_text("0: another process is writing there")
    (tmp_path / "0/metrics.json").write_text('{"a": 0.25}')
    (job,) = sweeps.read_jobs(tmp_path)
    assert (job.status, job.value) == ("finished", 0.25)


def test_a_multirun_in_use_is_left_alone(tmp_path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = [f"hydra.sweep.dir={tmp_path}"]
        config = compose("train", return_hydra_config=True, overrides=chosen)
    held = lock(tmp_path)
    with pytest.raises(SystemExit) as ended:
        RunFolder().on_multirun_start(config)
    assert "another process is writing there" in ended.value.code
    del held
    RunFolder().on_multirun_start(config)


def test_two_multiruns_of_one_second_get_a_folder_each(tmp_path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        folders = []
        for _ in range(2):
            config = compose("train", return_hydra_config=True)
            with open_dict(config), read_write(config.hydra):
                config.hydra.sweep.dir = str(tmp_path / "12-00-00")
            RunFolder().on_multirun_start(config)
            folders.append(Path(config.hydra.sweep.dir).name)
    assert folders == ["12-00-00", "12-00-00-2"]
