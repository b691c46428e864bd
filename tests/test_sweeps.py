"""Multiruns: whose a folder is, what becomes of a job, and how an interrupted multirun goes on."""

import json
import re
import shlex
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SHORT, compose_train, rewrite_metrics, run_here
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from multiruns import (
    AGAIN,
    TINY,
    contents,
    metrics,
    of_job,
    paste,
    printed_command,
    start,
    wait_for,
)
from omegaconf import OmegaConf, open_dict, read_write

from autoencoders.errors import InputError
from autoencoders.launch import jobs, overrides
from autoencoders.launch.callback import RunFolder
from autoencoders.launch.execution import run_job
from autoencoders.launch.folders import claim
from autoencoders.launch.interruptions import handle_interruptions, how_to_continue
from autoencoders.runs import load_run
from autoencoders.runs.folder import lock
from autoencoders.runs.state import mark
from hydra_plugins.autoencoders_search import open_study


@pytest.mark.slow
def test_a_failed_job_leaves_its_error_and_typed_again_it_is_tried_again(multirun, finished):
    """A job that finishes, one that diverges, one that fails before its first checkpoint."""
    command = (*TINY, "model=wae", "optimizer.lr=0.001,1e30", "ckpt_path=w.ckpt,null")
    arguments = (*command, "hydra.sweep.dir=sweep")
    code, out = multirun(*arguments)
    assert code == 1
    for number in (0, 1, 2, 3):
        failed = number != 1
        folder = of_job("sweep", number)
        assert (folder / "error.txt").exists() == failed
        assert (folder / "metrics.json").exists() != failed
    names = ["0_ckpt_path=w.ckpt,optimizer.lr=0.001", "1_ckpt_path=null,optimizer.lr=0.001"]
    names += ["2_ckpt_path=w.ckpt,optimizer.lr=1e+30", "3_ckpt_path=null,optimizer.lr=1e+30"]
    assert sorted(path.name for path in Path("sweep").glob("?_*")) == names
    line, _, trace = (of_job("sweep", 0) / "error.txt").read_text().partition("\n")
    assert line == "w.ckpt: no such checkpoint"
    assert "Traceback" in trace
    assert not (of_job("sweep", 0) / "checkpoints").exists()
    assert "training has diverged" in (of_job("sweep", 3) / "error.txt").read_text()
    # The table tells of each.
    table = out[out.index("Jobs of sweep") :]
    for text in ("ckpt_path=null", "optimizer.lr=1e+30", "no such checkpoint", "val/mse"):
        assert text in table
    assert f"finished │ {metrics(of_job('sweep', 1))['val/mse']:.4g}" in table
    assert "model=wae" not in table[: table.index(AGAIN)]  # which all of them have
    assert shlex.split(printed_command(out))[2:] == ["-m", *arguments]

    shutil.copy(finished / "checkpoints/last.ckpt", "w.ckpt")
    kept = contents(of_job("sweep", 1))
    code, out = multirun(*arguments)
    assert code == 1  # it still diverges
    assert contents(of_job("sweep", 1)) == kept
    assert metrics(of_job("sweep", 0))["epochs"] == 1
    assert not (of_job("sweep", 0) / "error.txt").exists()
    assert "training has diverged" in (of_job("sweep", 3) / "error.txt").read_text()


@pytest.mark.slow
def test_ctrl_c_prints_a_command_that_finishes_the_multirun(multirun, tmp_path):
    """Pasted as it is, from a folder with an awkward name; then everything has been done."""
    name = 'it\'s, "my" sweep?'
    chosen = ("hydra.sweeper.params.model='ae,vae'", "hydra.sweeper.params.seed=0")
    override = overrides.path_override("hydra.sweep.dir", Path(name))
    arguments = ("sweep=grid", *chosen, *SHORT, "trainer.max_epochs=4", override)
    process = start(tmp_path, *arguments)
    wait_for(process, tmp_path, "best.ckpt")  # in the first job: the second is still to come
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert re.search(r"interrupted; \d epochs are saved", out)
    folder = tmp_path / name
    assert not (of_job(folder, 1) / "metrics.json").exists()

    done = paste(printed_command(out), tmp_path)
    assert done.returncode == 0, done.stderr
    assert [type(load_run(of_job(folder, n)).model).__name__ for n in "01"] == ["AE", "VAE"]
    assert [metrics(of_job(folder, n))["epochs"] for n in "01"] == [4, 4]
    assert AGAIN not in done.stdout

    kept = {n: contents(of_job(folder, n)) for n in "01"}
    code, out = multirun(*arguments)
    assert code == 0
    assert {n: contents(of_job(folder, n)) for n in "01"} == kept
    for n in "01":
        assert f"finished │ {metrics(of_job(folder, n))['val/mse']:.4g}" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    jobs_of = {"0_model=ae", "1_model=vae"}
    assert {path.name for path in folder.iterdir()} == {*jobs_of, "multirun.yaml", ".lock"}


@pytest.mark.parametrize("lacking", [None, "metrics.json", ".hydra/config.yaml"])
def test_a_folder_of_another_run_is_refused(lacking, multirun, finished):
    """A finished one, an interrupted one, and one of which it cannot be told."""
    shutil.copytree(finished, "ex/1_seed=2")
    if lacking:
        Path("ex/1_seed=2", lacking).unlink()
    kept = contents("ex")
    code, out = multirun("seed=1,2", *SHORT, "hydra.sweep.dir=ex")
    assert code.startswith(
        "error: ex/1_seed=2: holds something other than this job: .hydra/config.yaml"
    )
    assert "\n" not in code
    assert AGAIN not in out
    assert contents("ex") == kept
    assert sorted(path.name for path in Path("ex").iterdir()) == ["1_seed=2"]


def test_the_folder_of_exactly_this_config_is_taken_up(multirun, finished):
    """Wherever it comes from; one that another job of the multirun has left is not."""
    evaluated = ("evaluate=true", "evaluation.images=40", "verbose=true")
    arguments = (*SHORT, *evaluated, "hydra.sweep.dir=ex")
    shutil.copytree(finished, "ex/0")
    kept = contents("ex/0")
    code, out = multirun("seed=0", *arguments)
    assert code == 0
    assert contents("ex/0") == kept
    assert f"{metrics('ex/0')['val/mse']:.4g}" in out
    Path("ex/multirun.yaml").unlink()
    code, _ = multirun("seed=1,0", *arguments)
    assert code.startswith("error: ex/0: holds something other than this job")
    assert contents("ex/0") == kept


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("model=ae,seed=1", "12_model=ae,seed=1"),
        ("", "12"),
        ("ckpt_path=../a b/last.ckpt", "12_ckpt_path=..-a-b-last.ckpt"),
        (
            "optimizer.lr=0.00031415926,model.reg_weight=27.182818",
            "12_optimizer.lr=0.0003142,model.reg_weight=27.18",
        ),
        ("dataset.path=données", "12_dataset.path=données"),
        ("k=" + "é" * 200, "12_k=" + "é" * 69),  # two bytes each
    ],
    ids=lambda text: text[:30],
)
def test_a_jobs_folder_names_what_differs(overrides, name, tmp_path):
    assert jobs.folder_name(12, overrides) == name
    (tmp_path / name).mkdir()


def test_a_job_in_the_folder_of_another_ends_the_multirun(tmp_path):
    """Should a launcher come by another folder than was looked at: nothing is written there."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something other than this job"):
        run_job(lambda *_: pytest.fail("trained"), compose_train(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_link_that_leads_out_of_a_jobs_folder(multirun, tmp_path):
    arguments = (*TINY, "seed=1", "hydra.sweep.dir=ex")
    assert multirun(*arguments)[0] == 0
    (tmp_path / "mine").write_text("precious")
    Path("ex/0/metrics.json").unlink()
    Path("ex/0/metrics.json").symlink_to(tmp_path / "mine")
    code, _ = multirun(*arguments)
    assert "ex/0/metrics.json: a link that leads out of" in code
    assert (tmp_path / "mine").read_text() == "precious"


def test_damaged_metrics_of_a_job(multirun):
    """They are not taken for a result, nor trained over."""
    arguments = (*TINY, "seed=1", "hydra.sweep.dir=ex")
    assert multirun(*arguments)[0] == 0
    (file,) = Path("ex/0/evaluations").glob("*/numbers.json")
    file.write_text("{")
    code, out = multirun(*arguments)
    assert code == 1
    assert "damaged: Expecting property" in out
    assert file.read_text() == "{"


SEARCH = (
    *("sweep=search_wae", *SHORT, "objective=val/mse", "trainer.max_epochs=1"),
    "logger=[csv,tensorboard]",
    r"hydra.sweep.dir='a?b'",
)


def trials():
    return open_study(Path("a?b/study.db")).trials


@pytest.mark.slow
def test_a_search_goes_on_and_searches_on(multirun, tmp_path):
    assert multirun(*SEARCH, "hydra.sweeper.trials=2")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a?b"]
    first = trials()
    # As an interruption leaves it: a trial that was asked for, and its folder half done.
    mark(of_job("a?b", 1), finished=False)
    with sqlite3.connect("a?b/study.db") as database:
        database.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 1")
        database.execute("DELETE FROM trial_values WHERE trial_id = 2")
    kept = contents(of_job("a?b", 0))
    code, out = multirun(*SEARCH, "hydra.sweeper.trials=3")
    assert code == 0
    assert contents(of_job("a?b", 0)) == kept
    assert [trial.state.name for trial in trials()] == ["COMPLETE"] * 3
    assert [trial.params for trial in trials()[:2]] == [trial.params for trial in first]
    for trial in trials():
        folder = of_job("a?b", trial.number)
        for key in ("model.latent_dim", "optimizer.lr"):
            assert f",{key}={trial.params[key]:.4g}," in f"{folder.name},"
        assert trial.value == metrics(folder)["val/mse"]
        assert f"finished │ {trial.value:.4g}" in out
        for key, value in trial.params.items():
            assert OmegaConf.select(load_run(folder).cfg, key) == value
    assert len({trial.params["optimizer.lr"] for trial in trials()}) == 3
    for name in ("history", "importance"):
        assert Path(f"a?b/{name}.png").stat().st_size > 5000

    # It ends with a command that trains its best trial as it would be without the search.
    best = min(trials(), key=lambda trial: trial.value)
    *_, found, file, command = out.splitlines()
    assert found.startswith(f"best: trial {best.number}, val/mse {best.value:.4g}: a?b/")
    assert file == "its config: a?b/best.yaml"
    _, script, *flags = shlex.split(command.removeprefix("at full length: "))
    assert Path(script).name == "train.py"
    _, out = multirun(*flags, "--cfg=job", "seed=5", mode=[])
    cfg = OmegaConf.create(out)
    assert {key: OmegaConf.select(cfg, key) for key in best.params} == best.params
    assert (cfg.network.hidden_dim, cfg.dataset.batch_size, cfg.seed) == (2, 16, 5)
    assert cfg.trainer == compose_train().trainer
    assert (cfg.evaluate, cfg.evaluation.split, cfg.objective) == (True, "test", "val/mse")
    assert list(cfg.logger) == ["csv", "tensorboard"]

    # Without its study, what it draws anew is never paired with what another trial has left.
    Path("a?b/study.db").unlink()
    kept = {n: contents(of_job("a?b", n)) for n in "012"}
    code, _ = multirun(*SEARCH, "hydra.sweeper.trials=3", "hydra.sweeper.workers=3")
    assert code.startswith("error: a?b/2_model.")
    assert "holds something other than this job" in code
    assert {n: contents(of_job("a?b", n)) for n in "012"} == kept

    code, _ = multirun(*SEARCH, "hydra.sweeper.seed=5")
    assert code.startswith("error: hydra.sweep.dir=a?b: holds another multirun")


def test_a_search_whose_trials_all_fail(multirun):
    """And one interrupted while a trial was asked for, whose settings are not all there."""
    Path("a?b").mkdir()
    open_study(Path("a?b/study.db")).ask()
    space = "hydra.sweeper.space={optimizer.lr:{low:1e29,high:1e30}}"
    code, out = multirun(*SEARCH, space, "hydra.sweeper.trials=2", "scheduler=constant")
    assert code == 1
    assert [trial.state.name for trial in trials()] == ["FAIL", "FAIL"]
    assert not of_job("a?b", 0).exists()
    assert "training has diverged" in (of_job("a?b", 1) / "error.txt").read_text()
    assert AGAIN not in out  # nothing is left to do


def test_a_trial_that_is_evaluated_otherwise_keeps_its_place(multirun):
    """docs/sweeps.md: evaluate.py measures a trial on the test set, and the search ranks on."""
    search = (*SEARCH, "evaluate=true", "evaluation.images=40", "objective=prior/precision")
    assert multirun(*search, "hydra.sweeper.trials=2")[0] == 0
    values = [metrics(of_job("a?b", n))["prior/precision"] for n in (0, 1)]
    worst = of_job("a?b", values.index(min(values)))
    run_here("evaluate.py", f"run={worst}", "evaluation.split=test", cwd=Path.cwd())
    # As if it were better there than any.
    rewrite_metrics(worst, lambda numbers: numbers.update({"prior/precision": 9.0}))
    assert "test/mse" in metrics(worst)
    code, out = multirun(*search, "hydra.sweeper.trials=2")
    assert code == 0
    best = values.index(max(values))  # precision: the more of it the better
    assert f"best: trial {best}, prior/precision {max(values):.4g}" in out
    assert f"# Trial {best}: prior/precision" in Path("a?b/best.yaml").read_text()
    assert open_study(Path("a?b/study.db")).best_trial.number == best
    for n in (0, 1):
        assert f"finished │ {values[n]:.4g}" in out


def test_a_search_leaves_the_test_set_unseen():
    for name in ("search_wae", "search_wae_mmd"):
        cfg = compose_train(f"sweep={name}")
        assert (cfg.objective, cfg.evaluation.split) == ("prior/fd_cnn", "val")


@pytest.mark.parametrize(
    "name",
    [
        *("run", "my run", "it's", 'so-"called"', "a,b=c", "{a: 1}", r"a\b", "a\\", '\\"', "[x"),
        *("größe", "日本/x", "x=y", "a b", "(x)", "a:b", "~", "x y\\", '"q"', "é"),
        *("null", "1e3", "true", "a?b", "outputs/multirun/2026-11-20_14-02-11", "$HOME;rm"),
    ],
)
def test_the_printed_command_is_one_that_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=1,2", "hydra.sweep.dir=x", "-m"])
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        typed = ["hydra.mode=MULTIRUN", "seed=1", "hydra.sweep.dir=x"]
        config = compose("train", return_hydra_config=True, overrides=typed)
        with open_dict(config):
            config.hydra.sweep.dir = config.hydra.run.dir = name
            config.hydra.overrides.task = ["seed=1,2"]
        HydraConfig.instance().set_config(config)
        *_, folder = get_args_parser().parse_args(shlex.split(how_to_continue())[2:]).overrides
        with read_write(config.hydra):
            config.hydra.mode = "RUN"
        HydraConfig.instance().set_config(config)
        *_, run = shlex.split(how_to_continue())
    for argument, key in ((folder, "hydra.sweep.dir"), (run, "resume")):
        parsed = OverridesParser.create().parse_override(argument)
        assert (parsed.key_or_group, parsed.value()) == (key, name)


@pytest.mark.parametrize(
    ("ending", "status"),
    [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(1), 1)],
)
def test_how_to_go_on_is_said_of_interruptions_alone(ending, status, tmp_path, monkeypatch, capsys):
    """In an evaluation, say, where Lightning does not see to it."""
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = ["hydra.mode=RUN", "hydra.run.dir=run"]
        config = compose("train", return_hydra_config=True, overrides=chosen)
    HydraConfig.instance().set_config(config)

    @handle_interruptions()
    def cut_off():
        claim(Path("run"), new=True)
        raise ending

    with pytest.raises(SystemExit) as ended:
        cut_off()
    assert ended.value.code == status
    assert ("resume=run\n" in capsys.readouterr().out) == (status > 1)
    assert Path("run").exists() == (status > 1)  # or it has failed before it began


def test_a_multiruns_folder_is_its_own(tmp_path, monkeypatch):
    """Two of one second get a folder each; one in use is left alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])

    def begin(*overrides):
        config = compose("train", return_hydra_config=True, overrides=list(overrides))
        if not overrides:
            with open_dict(config), read_write(config.hydra):
                config.hydra.sweep.dir = "12-00-00"
        RunFolder().on_multirun_start(config)
        return config.hydra.sweep.dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"), handle_interruptions():
        assert [begin(), begin()] == ["12-00-00", "12-00-00-2"]
        Path("used").mkdir()
        held = lock(Path("used"))
        with pytest.raises(SystemExit) as ended:
            begin("hydra.sweep.dir=used")
        assert "another process is writing there" in ended.value.code
        del held
        begin("hydra.sweep.dir=used")


def test_results_that_lie_there_are_not_unpickled(multirun):
    """submitit would take them for those of its jobs."""
    result = Path("ex/.submitit/7_0/7_0_0_result.pkl")
    result.parent.mkdir(parents=True)
    result.write_bytes(b"not looked at")
    assert multirun(*TINY, "optimizer.lr=1e30", "hydra.sweep.dir=ex")[0] == 1
    assert not result.exists()


@pytest.mark.slow
def test_a_search_by_the_evaluation(multirun):
    """What is minimised is measured on the validation images."""
    arguments = ("sweep=search_wae", *SHORT, "evaluate=true", "evaluation.images=30")
    code, _ = multirun(*arguments, "hydra.sweeper.trials=1", "hydra.sweep.dir=s")
    assert code == 0
    (trial,) = open_study(Path("s/study.db")).trials
    assert trial.value == metrics(of_job("s", 0))["prior/fd_cnn"]
    assert json.loads((of_job("s", 0) / "evaluation.json").read_text())["split"] == "val"


@pytest.mark.parametrize("mode", [(), ("trainer.devices=2", "trainer.accelerator=cpu")])
@pytest.mark.slow
def test_a_failed_job_in_a_folder_with_a_foreign_name(mode, multirun):
    """Its failure is the multirun's, its table is printed, and the command goes on."""
    code, out = multirun(*TINY, *mode, "optimizer.lr=1e30", "hydra.sweep.dir=größe/日本")
    assert code == 1
    assert "│ failed │" in out
    assert "training has diverged" in (of_job("größe/日本", 0) / "error.txt").read_text()
    assert shlex.split(printed_command(out))[-1] == 'hydra.sweep.dir="größe/日本"'


def test_no_exception_of_a_multiruns_end_is_lost(monkeypatch, capfd):
    """Hydra makes a warning of a callback's, and ends with exit status 0."""
    monkeypatch.setattr("autoencoders.launch.callback.print_jobs", lambda left: 1 / 0)
    with handle_interruptions(), pytest.raises(SystemExit) as ended:
        RunFolder().on_multirun_end(OmegaConf.create({"hydra": {"sweeper": {}}}))
    assert ended.value.code == 1
    assert "ZeroDivisionError" in capfd.readouterr().err
