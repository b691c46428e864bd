"""What a search ends with: its best trial, as a config that trains it at full length."""

import re
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from autoencoders.files import write_whole
from autoencoders.launch.job import Job
from autoencoders.launch.objective import is_maximised

NAME = "best"
# How long trials train and what they are judged by: of the search, and not of what it has found.
OF_THE_SEARCH = re.compile(
    r"trainer\.(limit_\w+_batches|(max|min)_(epochs|steps|time))|evaluate|evaluation\..*|objective"
)


def best_of(jobs: list[Job]) -> tuple[Job, float] | None:
    """The finished job with the best of its objective, and that; None where none has finished."""
    outcomes = [(job, job.outcome()) for job in jobs]
    values = [(job, float(value)) for job, (status, value) in outcomes if status == "finished"]
    more = bool(jobs) and is_maximised(jobs[0].config)
    return (max if more else min)(values, key=lambda pair: pair[1], default=None)


def write_config(config: DictConfig, job: Job, value: float) -> Path:
    """Write best.yaml into a multirun's folder: conf/train.yaml with the choices and values of a
    job, but for the length of its training and what it was judged by.

    Args:
        config: the multirun's.
        value: of the job's objective.

    Returns:
        The multirun's folder, which `--config-dir=` takes.
    """
    choices = config.hydra.runtime.choices
    known = GlobalHydra.instance().config_loader().list_groups("")
    groups: dict[str, Any] = {key: choices[key] for key in known if choices.get(key) is not None}
    values: Any = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(job.overrides):
        key = override.key_or_group
        if key in known:
            groups[key] = override.value()  # Hydra keeps no choice of several
        elif not override.is_delete() and not OF_THE_SEARCH.fullmatch(key):
            OmegaConf.update(values, key, OmegaConf.select(job.config, key), force_add=True)
    groups.pop("sweep", None)
    defaults = ["train", *({f"override {k}": v} for k, v in groups.items()), "_self_"]
    content = OmegaConf.merge({"defaults": defaults}, values)
    comment = f"# Trial {job.number}: {job.config.objective} {value:.4g}\n"
    folder = job.folder.parent
    write_whole(folder / f"{NAME}.yaml", comment + OmegaConf.to_yaml(content))
    return folder
