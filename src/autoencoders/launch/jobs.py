"""The jobs of a multirun: what sets each apart, whose its folder is, and what became of it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.table import Table

from autoencoders.errors import InputError
from autoencoders.files import CONFIG, LOCK, shown
from autoencoders.launch.config import check_settings
from autoencoders.launch.job import Job
from autoencoders.launch.keys import check_keys
from autoencoders.launch.program import PROGRAM
from autoencoders.launch.record import is_recorded, without_hydra
from autoencoders.launch.settings import TrainKeys
from autoencoders.runs.trust import refuse_links
from autoencoders.terminal import console

LONGEST = 143  # bytes of a file's name, which even an encrypted home folder takes


def grid(config: DictConfig) -> list[list[str]]:
    """The overrides of each job that Hydra's own sweeper makes of a multirun's config; none where
    another sweeper chooses its jobs as it goes."""
    if config.hydra.runtime.choices["hydra/sweeper"] != "basic":
        return []
    params = [f"{key}={values}" for key, values in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*params, *config.hydra.overrides.task])
    sweeper: Any = get_class(config.hydra.sweeper._target_)
    return sweeper.split_arguments(overrides, max_batch_size=None)[0]


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
        other = PROGRAM.get().jobs.setdefault(job.folder, job)
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


def print_jobs(jobs: list[Job], command: str | None) -> None:
    """What became of a multirun's jobs, and the command that goes on with those that are left."""
    table = Table(title=f"Jobs of {shown(jobs[0].folder.parent)}", title_justify="left")
    for heading in ("job", "overrides", "status", str(jobs[0].config.objective)):
        table.add_column(heading)
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        status, result = job.outcome()
        own = " ".join(override for override in job.overrides if override not in shared)
        result = result if isinstance(result, str) else f"{result:.4g}"
        table.add_row(str(job.number), rounded(own), status, result)
    console().print(table)
    if command:
        print(f"continue with: {command}")
