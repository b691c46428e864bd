"""The finished runs that are compared, as far as their files tell without their weights."""

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import CONFIG, HYDRA, METRICS, MULTIRUN, OVERRIDES, is_finished
from autoencoders.runs import evaluations
from autoencoders.runs.folder import NOT_A_CONFIG, digest_of, load_config
from autoencoders.runs.trust import read_yaml

if TYPE_CHECKING:  # torch takes seconds, which a mistyped name need not wait for
    from autoencoders.comparison import FinishedRun

# What has Lightning's Trainer stop before it has seen all of the data, as trainer=debug does.
LIMITS = (
    *("limit_train_batches", "limit_val_batches", "limit_test_batches"),
    *("overfit_batches", "fast_dev_run"),
)


def read_runs(cfg: DictConfig, dataset: str) -> list["FinishedRun"]:
    """The runs that `dataset=`, `runs=`, `multirun=` or `tags=` names; of a multirun or of tags
    those on one data set.

    Raises:
        InputError: no run there, or one that has not finished or not been evaluated; or they are on
            several data sets but none on this one.
    """
    if named := named_runs(cfg, dataset):
        runs = [read_finished(folder) for folder in named]
        datasets = sorted({run.dataset for run in runs})
        if cfg.runs or len(datasets) == 1:
            return runs
        if dataset not in datasets:
            line = f"{_where(cfg)}: holds runs on {', '.join(datasets)}; choose one with dataset="
            raise InputError(line)
        return [run for run in runs if run.dataset == dataset]
    root = Path("outputs", dataset)
    models = sorted({path.parents[2] for path in root.glob(f"*/*/{CONFIG}")})
    newest = [run for run in map(newest_evaluated, models) if run is not None]
    if not newest:
        raise InputError(
            f"dataset={dataset}: none of the finished runs in {root} can be compared; name folders"
            " with runs=[...]"
        )
    return newest


def named_runs(cfg: DictConfig, dataset: str) -> list[Path]:
    """The folders of the runs that `runs=`, `multirun=` or `tags=` names, as far as their files'
    names tell; none where the newest on a data set are meant.

    Raises:
        InputError: no run there, or one that has not finished or not been evaluated.
    """
    tags = _tags(cfg)
    if cfg.runs and tags:
        raise InputError("tags= chooses among runs, which runs= names one by one: leave one out")
    if cfg.runs:
        given = cfg.runs if OmegaConf.is_list(cfg.runs) else [cfg.runs]
        folders = list(dict.fromkeys(Path(str(folder)) for folder in given))
    elif cfg.multirun is not None or tags:
        folders = _of_several(cfg, tags)
    elif any(is_finished(p.parents[1]) for p in Path("outputs", dataset).glob(f"*/*/{CONFIG}")):
        return []
    else:
        raise InputError(
            f"dataset={dataset}: no finished run in outputs/{dataset}; train one with python"
            f" train.py dataset={dataset}, or name folders with runs=[...]"
        )
    for folder in folders:
        check_evaluated(folder)
    return folders


def _of_several(cfg: DictConfig, tags: set[str]) -> list[Path]:
    """The finished runs in a multirun's folder, or of all below outputs/, that have all tags."""
    root, depth = (Path(str(cfg.multirun)), "*") if cfg.multirun else (Path("outputs"), "*/*/*")
    files = root.glob(f"{depth}/{CONFIG}")
    folders = [file.parents[1] for file in files if is_finished(file.parents[1])]
    folders = [folder for folder in folders if not tags or tags <= tags_of(folder)]
    if not folders:
        having = f" with tags=[{','.join(sorted(tags))}]" if cfg.multirun and tags else ""
        raise InputError(f"{_where(cfg)}: no finished run{having} in {root}")
    numbers = {path: int(re.sub(r"\D.*", "", path.name) or 0) for path in folders}  # of a job
    return sorted(folders, key=lambda path: (path.parent, numbers[path], path.name))


def _tags(cfg: DictConfig) -> set[str]:
    return set(cfg.tags if OmegaConf.is_list(cfg.tags) else [cfg.tags])


def _where(cfg: DictConfig) -> str:
    tags = f"tags=[{','.join(sorted(_tags(cfg)))}]"
    return f"multirun={cfg.multirun}" if cfg.multirun else tags


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
    from autoencoders.comparison.rows import short_names

    try:
        space = OmegaConf.select(read_yaml(file), "hydra.sweeper.space") or {}
        names = short_names(map(str, space))
        return {names[str(key)]: bool(space[key].get("log")) for key in space}
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not a multirun's config: {reason}") from error


def newest_evaluated(model: Path) -> "FinishedRun | None":
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


def read_finished(folder: Path) -> "FinishedRun":
    """A run's files.

    Raises:
        InputError: the run has not finished, or its last weights have not been evaluated.
    """
    from autoencoders.comparison import FinishedRun

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
