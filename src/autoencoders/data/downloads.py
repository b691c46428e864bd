"""Downloads that leave nothing half-way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from autoencoders.errors import InputError


@contextmanager
def downloading(data_dir: Path, how_to_get: Callable[[object], str]) -> Iterator[Path]:
    """A folder beside the data, to download into, and to move complete files out of: a download
    that is cut off leaves nothing, and two at once do not trip over each other.

    Args:
        how_to_get: what a message says, given the reason.

    Raises:
        InputError: it fails.
    """
    new = not data_dir.exists()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=data_dir, prefix=".download-") as partial:
            yield Path(partial)
    except (RuntimeError, OSError) as error:
        if new:
            with suppress(OSError):
                data_dir.rmdir()
        raise InputError(how_to_get(error)) from error
