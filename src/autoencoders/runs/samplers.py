"""A sampler read back that an evaluation has fitted."""

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.utils import get_class

from autoencoders.errors import InputError
from autoencoders.files import EVALUATION, EXPORT_CONFIG
from autoencoders.runs import evaluations
from autoencoders.runs.folder import digest_of
from autoencoders.runs.trust import refuse_target

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.samplers import Sampler


def load_sampler(folder: str | Path, name: str, checkpoint: str = "last") -> "Sampler":
    """A sampler as an evaluation fitted it on the run's codes.

    Args:
        folder: the run's, or an export's.
        name: the sampler's, such as mixture.
        checkpoint: whose codes it was fitted on, `last`, `best`, or another; an export has one.

    Raises:
        InputError: no such sampler there, one that cannot be read, or one that was fitted on the
            codes of other weights.
    """
    from autoencoders.export import load_exported_sampler, read_sampler

    run = Path(folder)
    if (run / EXPORT_CONFIG).is_file():
        return load_exported_sampler(run, name)
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
    again = f"python evaluate.py run={folder} writes it anew"
    return read_sampler(get_class(target), path, stored.record.latent_dim, again)
