"""What is in a run's folder, and how a run is read back from it."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from filelock import AcquireReturnProxy, FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from autoencoders.errors import FULL, InputError
from autoencoders.trust import read_json, refuse_foreign, refuse_links

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import ImageDataModule
    from autoencoders.models import AutoEncoder

CONFIG = ".hydra/config.yaml"
HYDRA = ".hydra/hydra.yaml"
OVERRIDES = ".hydra/overrides.yaml"
BEST = "checkpoints/best.ckpt"
LAST = "checkpoints/last.ckpt"
METRICS = "metrics.json"
LOCK = ".lock"
MULTIRUN = "multirun.yaml"  # beside the folders of a multirun's jobs
EVALUATION = "evaluation.json"
MIXTURE = "mixture.safetensors"
# What reading anything else as a run's config raises.
NOT_A_CONFIG = (
    *(YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, OSError, ImportError),
    UnicodeDecodeError,
)


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
    if not (folder / METRICS).is_file():
        raise InputError(
            f"{key}: {folder} holds no finished run: it has no {METRICS}; train.py"
            f" resume={folder} finishes it"
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
    write_whole(folder / CONFIG, OmegaConf.to_yaml(cfg))


def is_recorded(cfg: DictConfig, folder: Path) -> bool:
    """Whether the run in `folder` was begun with exactly this config."""
    file = folder / CONFIG
    recorded = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    return recorded == OmegaConf.to_yaml(cfg)


def load_config(folder: Path) -> DictConfig:
    """The composed config of the run in `folder`.

    Raises:
        InputError: there is none.
    """
    for file in (CONFIG, HYDRA):
        if not (folder / file).is_file():
            raise InputError(f"{folder}: not a run's folder: it has no {file}")
    try:
        config: Any = OmegaConf.load(folder / CONFIG)
        hydra = OmegaConf.load(folder / HYDRA)
        refuse_foreign(config, folder / CONFIG)
        refuse_links(folder)
        find_data(config, Path(OmegaConf.select(hydra, "hydra.runtime.cwd")))
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / CONFIG}: not a run's config: {reason}") from error
    return config


def find_data(config: DictConfig, started: Path) -> None:
    """Set a config's `data_dir` to where its data lie now.

    Args:
        config: read back.
        started: the folder that the run was started from, which a relative path was meant from.
    """
    data_dir = started / config.dataset.data_dir
    label = str(config.dataset._target_).rpartition(".")[2]
    # Where its four files are not there, a download must not go where a file says.
    if len({file.name.removesuffix(".gz") for file in data_dir.glob(f"{label}/raw/*-ubyte*")}) < 4:
        data_dir = Path(os.environ.get("AUTOENCODERS_DATA", "data"))
    config.dataset.data_dir = str(data_dir)


class Run(NamedTuple):
    """A run read back: its model in evaluation mode, its config, its data, its metrics, and after
    how many epochs the weights were saved."""

    model: "AutoEncoder"
    cfg: DictConfig
    data: "ImageDataModule"
    metrics: dict[str, float]
    epochs: int


def load_run(folder: str | Path, checkpoint: str = "last") -> Run:
    """Read a run back.

    Args:
        folder: the run's, such as outputs/fmnist/wae/<time>.
        checkpoint: `last`, the weights that metrics.json is about, or `best`.

    Returns:
        The run; `data` is ready to use, `metrics` are empty where the run has not finished.

    Raises:
        InputError: no run there, or a checkpoint or metrics.json that cannot be read.
    """
    folder = Path(folder)
    metrics = read_metrics(folder) if (folder / METRICS).exists() else {}
    return load_trained(folder, checkpoint)._replace(metrics=metrics)


def load_trained(folder: Path, checkpoint: str) -> Run:
    """Read a run back without its metrics.json: its metrics are what training has left in the
    checkpoint.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    from hydra.utils import instantiate

    from autoencoders.callbacks.record import training_metrics
    from autoencoders.checkpoints import load_weights

    cfg = load_config(folder)
    data = instantiate(cfg.dataset, _convert_="all")
    data.prepare_data()
    data.setup()
    size = {"channels": data.channels, "image_size": data.image_size}
    model = instantiate(cfg.model, **size, _convert_="all")
    path = folder / "checkpoints" / f"{checkpoint}.ckpt"
    load_weights(model, path)
    metrics = training_metrics(path, model)
    return Run(model.eval(), cfg, data, metrics, int(metrics["epochs"]))


def read_metrics(folder: Path) -> dict[str, float]:
    """metrics.json of the run in `folder`.

    Raises:
        InputError: it is damaged, or holds anything but finite numbers.
    """
    metrics = read_json(folder / METRICS)
    for name, value in metrics.items():
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise InputError(
                f"{folder / METRICS}: {name}={json.dumps(value)}: must be a finite number;"
                f" python evaluate.py run={folder} writes the file anew"
            )
    return metrics


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


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Write metrics.json, which marks the run as finished, whole or not at all."""
    write_whole(folder / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, content: str) -> None:
    """Write a text file whole or not at all, see `open_whole`."""
    with open_whole(path) as file:
        file.write(content.encode())


@contextmanager
def replace_together(folder: Path) -> Iterator[Path]:
    """A folder to write files into, which take their places in `folder` all at once at the end.

    Where the end is not reached, the files in `folder` stay as they were.
    """
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".partial-") as name:
        yield Path(name)
        files = [path for path in Path(name).rglob("*") if path.is_file()]
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for file in files:
                target = folder / file.relative_to(name)
                target.parent.mkdir(exist_ok=True)
                os.replace(file, target)
        finally:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which lies beside `path` first and takes its place at the end.

    A crash leaves what was there before, or the new file.

    Raises:
        InputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        # torch.save tells of a failed write by a RuntimeError of its own, whose context it is.
        failed = error if isinstance(error, OSError) else error.__context__
        if not isinstance(failed, OSError):
            raise
        raise _not_written(path, failed) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Names the run's folder where the disk is full and the error does not say what did not fit:
    TensorBoard's do not.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            raise _not_written(folder, error) from error
        raise


def _not_written(path: Path, error: OSError) -> InputError:
    run = next((f for f in (path, *path.parents[:2]) if (f / LAST).exists()), None)
    cut_off = run and not (run / METRICS).exists()
    again = f"python train.py resume={run} goes on" if cut_off else "run the command again"
    return InputError(
        f"{path}: cannot be written: {error.strerror or error}; make room, then {again}"
    )


def shown(path: Path) -> Path:
    """A path as a user types it: from the current folder where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
