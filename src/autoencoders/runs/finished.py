"""The finished runs that are compared, as far as their files tell without their weights."""

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from autoencoders.comparison import FinishedRun
from autoencoders.errors import InputError
from autoencoders.files import CONFIG, HYDRA, METRICS, MULTIRUN, OVERRIDES
from autoencoders.runs import evaluations
from autoencoders.runs.folder import NOT_A_CONFIG, digest_of, load_config
from autoencoders.runs.state import is_finished
from autoencoders.runs.trust import read_yaml

# What has Lightning's Trainer stop before it has seen all of the data, as trainer=debug does.
LIMITS = (
    *("limit_train_batches", "limit_val_batches", "limit_test_batches"),
    *("overfit_batches", "fast_dev_run"),
)


def read_runs(cfg: DictConfig, dataset: str) -> list[FinishedRun]:
    """The runs that `dataset=`, `runs=`, `multirun=` or `tags=` names.

    Raises:
        InputError: no run there, or one that has not finished or not been evaluated.
    """
    tags = set(cfg.tags if OmegaConf.is_list(cfg.tags) else [cfg.tags])
    if cfg.runs and tags:
        raise InputError("tags= chooses among runs, which runs= names one by one: leave one out")
    if cfg.runs:
        folders = cfg.runs if OmegaConf.is_list(cfg.runs) else [cfg.runs]
        paths = dict.fromkeys(Path(str(folder)) for folder in folders)
        return [read_finished(path) for path in paths]
    if cfg.multirun is not None or tags:
        return of_several(cfg.multirun and str(cfg.multirun), tags, dataset)
    root = Path("outputs", dataset)
    models = sorted({path.parents[2] for path in root.glob(f"*/*/{CONFIG}")})
    if not any(is_finished(path.parents[1]) for path in root.glob(f"*/*/{CONFIG}")):
        raise InputError(
            f"dataset={dataset}: no finished run in {root}; train one with python train.py"
            f" dataset={dataset}, or name folders with runs=[...]"
        )
    runs = [run for run in map(newest_evaluated, models) if run is not None]
    if not runs:
        raise InputError(
            f"dataset={dataset}: none of the finished runs in {root} can be compared; name folders"
            " with runs=[...]"
        )
    return runs


def of_several(multirun: str | None, tags: set[str], dataset: str) -> list[FinishedRun]:
    """The finished runs in a multirun's folder, or of all below outputs/, that have all of the
    tags; those on one data set where they are on several.

    Raises:
        InputError: there are none, or on several data sets but none on this one.
    """
    words = f"tags=[{','.join(sorted(tags))}]"
    where = f"multirun={multirun}" if multirun else words
    root, depth = (Path(multirun), "*") if multirun else (Path("outputs"), "*/*/*")
    files = root.glob(f"{depth}/{CONFIG}")
    folders = [file.parents[1] for file in files if is_finished(file.parents[1])]
    folders = [folder for folder in folders if not tags or tags <= tags_of(folder)]
    numbers = {path: int(re.sub(r"\D.*", "", path.name) or 0) for path in folders}  # of a job
    folders.sort(key=lambda path: (path.parent, numbers[path], path.name))
    if not folders:
        having = f" with {words}" if multirun and tags else ""
        raise InputError(f"{where}: no finished run{having} in {root}")
    runs = [read_finished(folder) for folder in folders]
    datasets = sorted({run.dataset for run in runs})
    if len(datasets) > 1 and dataset not in datasets:
        found = ", ".join(datasets)
        raise InputError(f"{where}: holds runs on {found}; choose one with dataset=")
    return [run for run in runs if run.dataset == dataset or len(datasets) == 1]


def tags_of(folder: Path) -> set[str]:
    """A run's tags; none where its config cannot be read."""
    try:
        return set(load_config(folder).get("tags") or [])
    except InputError:
        return set()


def searched_scales(cfg: DictConfig) -> dict[str, bool]:
    """By setting, whether the search that `multirun=` names drew it on a logarithmic scale; empty
    where it names none.

    Raises:
        InputError: its config cannot be read.
    """
    file = Path(str(cfg.multirun)) / MULTIRUN
    if cfg.runs or not file.is_file():
        return {}
    try:
        space = OmegaConf.select(read_yaml(file), "hydra.sweeper.space") or {}
        return {str(key).rpartition(".")[2]: bool(space[key].get("log")) for key in space}
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not a multirun's config: {reason}") from error


def newest_evaluated(model: Path) -> FinishedRun | None:
    """A model's newest run that has been evaluated and has seen all of its data; a printed line for
    each newer one says why it is left out.

    Args:
        model: the folder of its runs.
    """
    folders = [path.parents[1] for path in model.glob(f"*/{CONFIG}")]
    for folder in sorted(folders, key=lambda folder: (began(folder), folder.name), reverse=True):
        try:
            run = read_finished(folder)
        except InputError as error:
            print(f"left out: {error}")
            continue
        limits = {key: run.config["trainer"].get(key) for key in LIMITS}
        settings = [
            f"trainer.{key}={value}"
            for key, value in limits.items()
            if value and not (isinstance(value, float) and value == 1)  # 1.0 is all, 1 one batch
        ]
        if not settings:
            return run
        print(f"left out: {folder}: saw a part of its data alone ({', '.join(settings)})")
    return None


def read_finished(folder: Path) -> FinishedRun:
    """A run's files.

    Raises:
        InputError: the run has not finished, or its last weights have not been evaluated.
    """
    check_evaluated(folder)
    config = load_config(folder)
    stored = evaluations.current(folder, "last", digest_of(folder))
    assert stored is not None  # or check_evaluated would have refused it
    record, metrics = stored.record, stored.metrics
    if lacking := [key for key in (f"{record.split}/mse", "epochs") if key not in metrics]:
        raise InputError(
            f"{folder / METRICS}: it has no {lacking[0]}; python evaluate.py run={folder} writes it"
            " anew"
        )
    hydra = read_yaml(folder / HYDRA)
    dataset = str(OmegaConf.select(hydra, "hydra.runtime.choices.dataset"))
    if not re.fullmatch(r"\w+", dataset):  # it names the comparison's folder
        raise InputError(f"{folder / HYDRA}: {dataset!r} is no data set's name")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    plain["objective"] = str(config.objective)
    label = str(get_class(config.model._target_).label)  # type: ignore[attr-defined]
    known = (record.conditions, command_of(folder), began(folder))
    return FinishedRun(folder, dataset, label, plain, metrics, *known)


def check_evaluated(folder: Path) -> None:
    """Look, without reading any weights, whether a run is finished and evaluated.

    Raises:
        InputError: it is not.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: not a run's folder: it has no {CONFIG}")
    if not is_finished(folder):
        raise InputError(f"{folder}: not finished; python train.py resume={folder} goes on")
    record = evaluations.read_record(folder)
    if record is None or record.samplers is None:
        raise InputError(f"{folder}: not evaluated; run python evaluate.py run={folder}")


def command_of(folder: Path) -> str:
    """The command that trains a run, empty where it has not been recorded."""
    file = folder / OVERRIDES
    if not file.is_file():
        return ""
    return shlex.join(["python", "train.py", *map(str, read_yaml(file))])


def began(folder: Path) -> str:
    """When a run began: as its folder's or its multirun's name has it, else when its config was
    written."""
    times = re.findall(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(folder.resolve()))
    if times:
        date, _, time = times[-1].partition("_")
        return f"{date} {time.replace('-', ':')}"
    return f"{datetime.fromtimestamp((folder / CONFIG).stat().st_mtime):%Y-%m-%d %H:%M:%S}"
