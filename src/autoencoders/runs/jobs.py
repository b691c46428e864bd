"""The jobs of a multirun: whose a folder is, and what becomes of each job."""

import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from autoencoders.errors import InputError, describe
from autoencoders.files import CONFIG, LAST, LOCK, write_whole
from autoencoders.runs import evaluations
from autoencoders.runs.config import asked_of, check_settings, objective_of
from autoencoders.runs.folder import digest_of, is_recorded, lock, record_config, without_hydra
from autoencoders.runs.keys import PATHS, check_keys
from autoencoders.runs.settings import TrainKeys
from autoencoders.runs.state import is_finished
from autoencoders.runs.trust import refuse_links

ERROR = "error.txt"
LONGEST = 143  # bytes of a file's name, which even an encrypted home folder takes

Train = Callable[[DictConfig, Path, bool], float]


class Job(NamedTuple):
    """A job of a multirun; `overrides` are its own, `config` is composed of them."""

    number: int
    folder: Path
    overrides: list[str]
    config: DictConfig

    def outcome(self) -> tuple[str, float | str]:
        """What became of it: `finished` and the metric `objective`, `failed` and one line that says
        why, or `interrupted` or `not begun` and nothing."""
        try:
            if is_finished(self.folder):
                return "finished", reached(self.folder, self.config)
        except InputError as error:
            return "failed", str(error)
        if (self.folder / ERROR).exists():
            return "failed", (self.folder / ERROR).read_text(encoding="utf-8").partition("\n")[0]
        return "interrupted" if (self.folder / LAST).exists() else "not begun", ""


def reached(folder: Path, cfg: DictConfig) -> float:
    """What a finished job has reached of its `objective`, by an evaluation with the job's own
    settings: evaluate.py may have measured it since on the test set, or otherwise.

    Raises:
        InputError: there is no such evaluation of the run's last weights, or it is damaged.
    """
    stored = evaluations.made_with(folder, asked_of(cfg), digest_of(folder))
    if stored is None:
        raise InputError(
            f"{folder}: its weights have not been evaluated with this job's settings; python"
            f" evaluate.py run={folder} does so"
        )
    return objective_of(stored.metrics, cfg)


JOBS: dict[Path, Job] = {}  # of this program's multirun as far as they are known, by their folders


def grid(config: DictConfig) -> list[list[str]]:
    """The overrides of each job that Hydra's own sweeper makes of a multirun's config; none where
    another sweeper chooses its jobs as it goes."""
    if config.hydra.runtime.choices["hydra/sweeper"] != "basic":
        return []
    params = [f"{key}={values}" for key, values in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*params, *config.hydra.overrides.task])
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]


def shared_keys(config: DictConfig) -> list[str]:
    """The keys that all jobs of a multirun set alike, as far as its command tells."""
    jobs = grid(config) or [config.hydra.overrides.task]
    shared = set.intersection(*map(set, jobs))
    overrides = OverridesParser.create().parse_overrides(sorted(shared))
    searched = config.hydra.sweeper.get("space", {})
    return sorted({override.key_or_group for override in overrides} - set(searched))


def folder_name(number: int, overrides: str) -> str:
    """A job's number and what sets it apart, as a file's name: `0_model=ae,seed=1`."""
    name = re.sub(r"[^\w.,=+-]", "-", rounded(overrides))
    return f"{number}_{name}".strip("_").encode()[:LONGEST].decode(errors="ignore")


OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)  # for hydra.sweep.subdir


def rounded(overrides: str) -> str:
    """The same with four digits of each number that has more."""
    return re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda n: f"{float(n[0]):.4g}", overrides)


def compose_job(config: DictConfig, overrides: Sequence[str], number: int) -> Job:
    """The job that a launcher will make of `overrides`.

    Args:
        config: the multirun's.

    Raises:
        InputError: a key is outside what is allowed, or `resume=` is set.
    """
    job = GlobalHydra.instance().config_loader().load_sweep_config(config, list(overrides))
    with open_dict(job):
        job.hydra.job.num = number
    HydraConfig.instance().set_config(job)  # the folder's name may be made of the job's keys
    check_keys(job, TrainKeys)
    folder = Path(job.hydra.sweep.dir, str(job.hydra.sweep.subdir))
    HydraConfig.instance().set_config(config)
    if job.resume is not None:
        raise InputError(
            f"resume={job.resume}: continues a single run; to go on with a multirun, type its"
            " command again with hydra.sweep.dir=<its folder>"
        )
    cfg = without_hydra(job)
    check_settings(cfg)
    return Job(number, folder, list(overrides), cfg)


def admit_jobs(config: DictConfig, batch: Sequence[Sequence[str]], first: int = 0) -> None:
    """Check jobs before they are launched and remember them for the table at the end.

    Args:
        config: the multirun's.
        batch: the overrides of each job.
        first: number of the first.

    Raises:
        InputError: two jobs share a folder, or a folder holds anything but its job.
    """
    for number, overrides in enumerate(batch, first):
        job = compose_job(config, overrides, number)
        other = JOBS.setdefault(job.folder, job)
        if other.number != number:
            raise InputError(
                f"hydra.sweep.subdir={job.folder.name}: jobs {other.number} and {number} would"
                " share that folder; leave it out, or name what tells them apart"
            )
        refuse_foreign_folder(job.config, job.folder)
        numbered = re.compile(rf"{number}(_.*)?")
        if numbered.fullmatch(job.folder.name):
            for path in set(job.folder.parent.glob(f"{number}*")) - {job.folder}:
                if numbered.fullmatch(path.name):
                    raise _foreign(path)  # another job of this number


def refuse_foreign_folder(cfg: DictConfig, folder: Path) -> None:
    """Raise InputError where `folder` holds anything but a run of exactly this config."""
    if is_recorded(cfg, folder):
        refuse_links(folder)
    elif folder.exists() and {path.name for path in folder.iterdir()} - {".hydra", LOCK}:
        raise _foreign(folder)


def _foreign(folder: Path) -> InputError:
    return InputError(
        f"{folder}: holds something other than this job: {CONFIG} there is missing or differs"
        " from the job's config; give hydra.sweep.dir= another folder"
    )


def is_job() -> bool:
    """Whether this program is, or is at, a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def run_job(train: Train, cfg: DictConfig, folder: Path) -> float:
    """Run a job, go on with it where it was interrupted, skip it where it has finished.

    A job that fails leaves its error in its folder, and the others go on.

    Args:
        train: of train.py.
        cfg: the job's.
        folder: the job's.

    Returns:
        The objective; NaN of a job that has failed.

    Raises:
        InputError: the folder holds anything but this job.
    """
    refuse_foreign_folder(cfg, folder)
    try:
        if not is_finished(folder):
            _train_job(train, cfg, folder)
        value = reached(folder, cfg)
        print(f"job {folder.name} finished: {cfg.objective} {value:.4g}")
        return value
    except Exception as error:  # whatever it is, the other jobs go on
        line = describe(error) or f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        write_whole(folder / ERROR, f"{line}\n\n{traceback.format_exc()}")
        print(f"job {folder.name} failed: {line}", file=sys.stderr)
        return float("nan")


def _train_job(train: Train, cfg: DictConfig, folder: Path) -> None:
    check_settings(cfg)
    resume = (folder / LAST).exists()
    with lock(folder):
        (folder / ERROR).unlink(missing_ok=True)
        if not resume:
            record_config(cfg, folder)
        if cfg.trainer.devices == 1:
            train(cfg, folder, resume)
            return
    _in_own_process(train, folder)


def _in_own_process(train: Train, folder: Path) -> None:
    """Run a job that trains in several processes by a command of its own: Lightning kills the
    program whose further processes fail, and with it the jobs that are to follow.

    Raises:
        InputError: the job has failed.
    """
    script = train.__code__.co_filename  # not sys.argv[0], which launchers change
    hydra = HydraConfig.get()
    overrides = [o for o in hydra.overrides.hydra if not o.startswith("hydra.mode=")]
    command = [sys.executable, script, f"--config-name={hydra.job.config_name}"]
    sources = hydra.runtime.config_sources
    command += [f"--config-dir={s.path}" for s in sources if s.provider == "command-line"]
    command += [*overrides, *hydra.overrides.task]
    command.append(path_override("hydra.run.dir", folder))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            errors = process.communicate()[1]
        except KeyboardInterrupt:  # of this process alone, perhaps
            process.send_signal(signal.SIGINT)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
    sys.stderr.write(errors)
    if process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM):
        sys.exit(128 + signal.SIGTERM)
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        line = lines[-1].removeprefix("error: ") if lines else f"ended with {process.returncode}"
        raise InputError(line) from RuntimeError(errors)


def quote_paths(arguments: list[str]) -> None:
    """Have Hydra read paths as they are typed, such as those of jobs' folders: unquoted, `=` and
    `,` mean something to it, and letters such as `ö` are none."""
    parse = OverridesParser.create().parse_override
    for i, argument in enumerate(arguments):
        key, _, path = argument.partition("=")
        if key not in PATHS or not path:
            continue
        try:
            parse(argument)
            literal = bool(re.search("[=,]", path)) and Path(path).exists()
        except HydraException:
            literal = True
        if literal:
            arguments[i] = path_override(key, Path(path))


def path_override(key: str, path: Path) -> str:
    """Hydra's override that sets `key` to this path, whatever characters it has."""
    parse = OverridesParser.create().parse_override
    plain = re.fullmatch(r"[\w./:-]+", str(path), re.ASCII)  # of other letters it reads none
    if plain and isinstance(parse(f"{key}={path}").value(), str):
        return f"{key}={path}"
    # Inside quotes a backslash counts as one only before a quote.
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + m[2].replace('"', '\\"'), str(path))
    return f'{key}="{escaped}"'
