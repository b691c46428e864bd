"""What is in a run's folder, and how a run is read back from it."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import AcquireReturnProxy, FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from yaml import YAMLError

from autoencoders.errors import InputError
from autoencoders.files import (
    BEST,
    CONFIG,
    EVALUATION,
    HYDRA,
    LAST,
    LOCK,
    OVERRIDES,
    shown,
    write_whole,
)
from autoencoders.runs import evaluations
from autoencoders.runs.config import hyperparameters
from autoencoders.runs.keys import refuse_empty_paths
from autoencoders.runs.migration import migrated
from autoencoders.runs.state import begin, is_finished
from autoencoders.runs.trust import read_yaml, refuse_foreign, refuse_links, refuse_target

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import DataModule
    from autoencoders.models import AutoEncoder
    from autoencoders.samplers import Sampler
    from autoencoders.training import EpochLogger

# What reading anything else as a run's config raises.
NOT_A_CONFIG = (
    *(YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, OSError, ImportError),
    *(UnicodeDecodeError, RecursionError),
)

LENGTH = "trainer.max_epochs="  # what a run that goes on may be given anew

# What reading anything else as a sampler's file raises.
UNREADABLE = (OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError)


def to_evaluate(config: DictConfig) -> tuple[Path, str]:
    """The run and the checkpoint in it that `run=` or `ckpt_path=` names.

    Raises:
        InputError: neither or both, no finished run, or no checkpoint of one.
    """
    if (config.run is None) == (config.ckpt_path is None):
        raise InputError(
            "give either run=, a finished run's folder such as outputs/digits/wae/<time>, or"
            " ckpt_path=, a checkpoint in one"
        )
    if config.run is not None:
        key, folder, checkpoint = f"run={config.run}", Path(str(config.run)), "last"
    else:
        path = Path(str(config.ckpt_path)).resolve()
        key, folder, checkpoint = f"ckpt_path={config.ckpt_path}", path.parent.parent, path.stem
        if path.parent.name != "checkpoints" or not re.fullmatch(r"\w[\w.=-]*\.ckpt", path.name):
            raise InputError(
                f"{key}: not a run's checkpoint: give <run>/checkpoints/<name>.ckpt, as train.py"
                " left it"
            )
    if not (folder / CONFIG).is_file():
        raise InputError(f"{key}: {folder} is not a run's folder: it has no {CONFIG}")
    if not is_finished(folder):
        raise InputError(
            f"{key}: {folder} holds no finished run; python train.py resume={folder} finishes it"
        )
    return folder, checkpoint


def without_hydra(config: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part, as a run gets it."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def record_config(cfg: DictConfig, folder: Path) -> None:
    """Write the running job's config to .hydra/, as Hydra does; Hydra itself would write there
    before anybody can look whose folder it is.

    config.yaml comes last: where it is, the others are.
    """
    hydra = HydraConfig.instance().cfg
    (folder / HYDRA).parent.mkdir(exist_ok=True)
    write_whole(folder / HYDRA, OmegaConf.to_yaml(hydra))
    write_whole(folder / OVERRIDES, OmegaConf.to_yaml(HydraConfig.get().overrides.task))
    begin(folder)
    write_whole(folder / CONFIG, OmegaConf.to_yaml(cfg))


def is_recorded(cfg: DictConfig, folder: Path) -> bool:
    """Whether the run in `folder` was begun with exactly this config."""
    file = folder / CONFIG
    recorded = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    return recorded == OmegaConf.to_yaml(cfg)


def extend(folder: Path, epochs: int, max_epochs: int) -> None:
    """Have the run in `folder`, trained for `epochs`, go on to `max_epochs`.

    What a finished run has come to stays beside what is to come: after 30 epochs as
    checkpoints/last-30.ckpt and best-30.ckpt, and what was measured of them in last-30/ and
    best-30/, where evaluate.py would leave it. The run itself is one that was interrupted.

    Raises:
        InputError: a finished run has as many epochs already.
    """
    finished = is_finished(folder)
    if finished and epochs >= max_epochs:
        raise InputError(
            f"trainer.max_epochs={max_epochs}: the run in {shown(folder)} has {epochs} epochs; give"
            " more"
        )
    if finished:
        for checkpoint, file in (("last", folder / LAST), ("best", folder / BEST)):
            if file.exists():
                write_whole(file.with_stem(f"{checkpoint}-{epochs}"), file.read_bytes())
                evaluations.keep(folder, checkpoint, f"{checkpoint}-{epochs}")
    begin(folder)
    config = read_yaml(folder / CONFIG)
    if config.trainer.max_epochs != max_epochs:
        config.trainer.max_epochs = max_epochs
        typed: Any = read_yaml(folder / OVERRIDES) if (folder / OVERRIDES).is_file() else []
        others = [override for override in typed if not str(override).startswith(LENGTH)]
        overrides = OmegaConf.create([*others, f"{LENGTH}{max_epochs}"])
        write_whole(folder / OVERRIDES, OmegaConf.to_yaml(overrides))
        write_whole(folder / CONFIG, OmegaConf.to_yaml(config))


def load_config(folder: Path) -> DictConfig:
    """The composed config of the run in `folder`, as this version writes it; `find_data` sets where
    its data are now.

    Raises:
        InputError: there is none.
    """
    for file in (CONFIG, HYDRA):
        if not (folder / file).is_file():
            raise InputError(f"{folder}: not a run's folder: it has no {file}")
    try:
        config, lines = migrated(read_yaml(folder / CONFIG))
        for line in lines:
            print(f"{folder / CONFIG}: of an earlier version, read by the rule {line}")
        refuse_foreign(config, folder / CONFIG)
        refuse_links(folder)
        refuse_empty_paths(config)
        _started_from(folder)
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / CONFIG}: not a run's config: {reason}") from error
    return config


def _started_from(folder: Path) -> Path:
    """The folder that a run was started from, which its relative paths were meant from."""
    return Path(OmegaConf.select(read_yaml(folder / HYDRA), "hydra.runtime.cwd"))


def find_data(config: DictConfig, folder: Path) -> None:
    """Set a config's `data_dir`, and its `path` where it has one, to where its data lie now.

    Args:
        config: read back from `folder`.

    Raises:
        InputError: there is nothing at `path`.
    """
    started = _started_from(folder)
    if "path" in config.dataset:
        config.dataset.path = str(_find_path(started / str(config.dataset.path)))
    if "data_dir" not in config.dataset:
        return
    data_dir = started / config.dataset.data_dir
    # Where its files are not there, a download must not go where a config says.
    if not get_class(config.dataset._target_).is_in(data_dir):  # type: ignore[attr-defined]
        data_dir = Path(os.environ.get("AUTOENCODERS_DATA", "data"))
    config.dataset.data_dir = str(data_dir)


def _find_path(path: Path) -> Path:
    """A path, or what has its name where data sets lie."""
    moved = Path(os.environ.get("AUTOENCODERS_DATA", "data"), path.name)
    if not path.exists() and not moved.exists():
        raise InputError(
            f"dataset.path={path}: no longer there; put it back, or set AUTOENCODERS_DATA to the"
            f" folder that {path.name} lies in now"
        )
    return path if path.exists() else moved


@dataclass
class Run:
    """A run read back.

    folder: the run's.
    checkpoint: the name of the one that the weights are of.
    model: in evaluation mode.
    cfg: its config.
    metrics: what was measured of these weights.
    epochs: after how many they were saved.
    """

    folder: Path
    checkpoint: str
    model: "AutoEncoder"
    cfg: DictConfig
    metrics: dict[str, float]
    epochs: int

    @cached_property
    def data(self) -> "DataModule":
        """Its data, ready to use: read when they are first asked for.

        Raises:
            InputError: they are not there, or are not what the model was trained on.
        """
        from autoencoders.training.starting_points import refuse_other_data

        find_data(self.cfg, self.folder)
        data: DataModule = instantiate(self.cfg.dataset, _convert_="all")
        data.prepare_data()
        data.setup()
        refuse_other_data(checkpoint_file(self.folder, self.checkpoint), self.model, data)
        return data


def build(cfg: DictConfig) -> tuple["DataModule", "AutoEncoder"]:
    """The data module and the model that a composed config describes.

    Raises:
        InstantiationException: a key outside what its constructor allows.
    """
    data = instantiate(cfg.dataset, _convert_="all")
    return data, build_model(cfg, data.spec)


def build_model(cfg: DictConfig, spec: dict[str, Any]) -> "AutoEncoder":
    """The model that a composed config describes.

    Args:
        spec: what it is told of its data, see `DataModule.spec`.
    """
    network = instantiate(cfg.network, _convert_="all")
    made = {key: _optional(cfg.get(key)) for key in ("optimizer", "scheduler")}
    model: AutoEncoder = instantiate(cfg.model, network=network, **made, **spec, _convert_="all")
    return model


def _optional(config: DictConfig | None) -> Any:
    """What a group makes; None where its choice is to make nothing."""
    return instantiate(config, _convert_="all") if config else None


def make_loggers(config: DictConfig | None, folder: Path, run: DictConfig) -> list["EpochLogger"]:
    """The loggers of a config's `logger`, for the run in `folder` that `run` describes.

    Raises:
        InstantiationException: a package is missing, a service refuses, or a key is outside what is
            allowed.
    """
    settings = hyperparameters(run)
    return [instantiate(choice, folder, settings) for choice in (config or {}).values()]


def load_run(folder: str | Path, checkpoint: str = "last") -> Run:
    """Read a run back.

    Args:
        folder: the run's, such as outputs/fmnist/wae/<time>.
        checkpoint: `last`, `best`, or another in its checkpoints/.

    Returns:
        The run; `data` are read when they are first asked for, `metrics` are those of the
        checkpoint's current evaluation, empty where it has none.

    Raises:
        InputError: no run there, a checkpoint that cannot be read, or an evaluation that is damaged
            or of other weights.
    """
    from autoencoders.training.digest import weights_digest

    folder = Path(folder)
    run = load_trained(folder, checkpoint)
    stored = evaluations.current(folder, checkpoint, weights_digest(run.model.state_dict()))
    run.metrics = stored.metrics if stored else {}
    return run


def load_model(folder: str | Path, checkpoint: str = "last") -> "AutoEncoder":
    """A run's model, in evaluation mode; its data need not be there.

    Args:
        folder: the run's.
        checkpoint: `last`, `best`, or another in its checkpoints/.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    return load_trained(Path(folder), checkpoint).model


def load_sampler(folder: str | Path, name: str, checkpoint: str = "last") -> "Sampler":
    """A sampler as an evaluation fitted it on the run's codes.

    Args:
        folder: the run's.
        name: the sampler's, such as mixture.
        checkpoint: whose codes it was fitted on, `last`, `best`, or another.

    Raises:
        InputError: no such sampler there, one that cannot be read, or one that was fitted on the
            codes of other weights.
    """
    import torch

    run = Path(folder)
    home = evaluations.home_of(run, checkpoint)
    stored = evaluations.current(run, checkpoint, digest_of(run, checkpoint))
    if stored is None:
        raise InputError(f"{home}: not evaluated: it has no {EVALUATION}")
    known = stored.record.samplers or {}
    if name not in known:
        raise InputError(
            f"{home}: has no sampler {name!r}; allowed: {', '.join(known) or 'none'}; evaluate.py"
            " fits others, see docs/samplers.md"
        )
    target = str(known[name].get("_target_")) if isinstance(known[name], dict) else ""
    refuse_target(f"evaluation.samplers.{name}", target, f"{home / EVALUATION}: {name}: {target}")
    path = stored.samplers / f"{name}.safetensors"
    try:
        sampler: Sampler = get_class(target).load(path)  # type: ignore[attr-defined]
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read: {reason}; python evaluate.py run={folder} writes it anew"
        ) from error
    dims = sampler.draw(1, torch.Generator()).shape[1]
    if dims != stored.record.latent_dim:
        raise InputError(
            f"{path}: draws codes of {dims} dimensions, the model's have"
            f" {stored.record.latent_dim}; python evaluate.py run={folder} writes it anew"
        )
    return sampler


def digest_of(run: Path, checkpoint: str = "last") -> str:
    """Of the weights in a run's checkpoint.

    Raises:
        InputError: it cannot be read.
    """
    from autoencoders.training.checkpoint_files import read_checkpoint
    from autoencoders.training.digest import weights_digest

    return weights_digest(read_checkpoint(checkpoint_file(run, checkpoint))["state_dict"])


def checkpoint_file(run: Path, checkpoint: str) -> Path:
    return run / "checkpoints" / f"{checkpoint}.ckpt"


def load_trained(folder: Path, checkpoint: str) -> Run:
    """Read a run back without its evaluation: its metrics are what training has left in the
    checkpoint.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    from autoencoders.training.record import training_metrics
    from autoencoders.training.starting_points import load_weights, saved_spec

    cfg = load_config(folder)
    path = checkpoint_file(folder, checkpoint)
    model = build_model(cfg, saved_spec(path))
    load_weights(model, path)
    metrics = training_metrics(path, model)
    return Run(folder, checkpoint, model.eval(), cfg, metrics, int(metrics["epochs"]))


def lock(folder: Path) -> AcquireReturnProxy:
    """Keep other processes from writing into a run's folder, for a `with` block or until what is
    returned is forgotten; where the process is killed, the lock goes with it.

    Raises:
        InputError: another process holds it.
    """
    file = folder / LOCK
    if file.is_symlink():
        raise InputError(f"{file}: a link, which a lock is not; remove it")
    try:
        return FileLock(file).acquire(timeout=0)
    except Timeout:
        line = f"{folder}: another process is writing there; wait until it ends"
        raise InputError(line) from None
