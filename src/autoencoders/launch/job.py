"""A job of a multirun, and what became of it."""

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from autoencoders.errors import InputError
from autoencoders.files import LAST, is_finished
from autoencoders.launch.evaluation import asked_of
from autoencoders.launch.objective import objective_of
from autoencoders.runs import evaluations
from autoencoders.runs.folder import digest_of

ERROR = "error.txt"


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
