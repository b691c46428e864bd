"""What is in a run's folder, and how a run is read back from it."""

from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from autoencoders.errors import InputError
from autoencoders.files import CONFIG, HYDRA, LOCK
from autoencoders.runs.migration import migrated
from autoencoders.runs.paths import refuse_empty_paths, started_from
from autoencoders.runs.trust import read_yaml, refuse_foreign, refuse_links

# What reading anything else as a run's config raises.
NOT_A_CONFIG = (
    *(YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, OSError, ImportError),
    *(UnicodeDecodeError, RecursionError),
)


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
        started_from(folder)
    except NOT_A_CONFIG as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / CONFIG}: not a run's config: {reason}") from error
    return config


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
