"""Hydra's sweeper `optuna_search`: hyperparameters by Optuna's TPE, one job a trial.

Hydra finds sweepers in the package `hydra_plugins` alone. (The one of the name `optuna` that can be
installed wants Optuna 2.)
"""

import itertools
import math
import re
import sqlite3
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, validate_call

from autoencoders.errors import InputError, how_to_install
from autoencoders.files import MULTIRUN
from autoencoders.launch.jobs import admit_jobs, compose_job
from autoencoders.launch.objective import is_maximised

STUDY = "study.db"


@dataclass
class OptunaSearchConf:
    """What `hydra.sweeper` takes, see `OptunaSearch`."""

    _target_: str = "hydra_plugins.autoencoders_search.OptunaSearch"
    _convert_: str = "all"
    space: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    workers: int = 1
    seed: int = 0


ConfigStore.instance().store(group="hydra/sweeper", name="optuna_search", node=OptunaSearchConf)


class Interval(BaseModel, extra="forbid"):
    """What a number is drawn from: whole where both ends are."""

    low: int | float
    high: int | float
    log: bool = False


class Choices(BaseModel, extra="forbid"):
    """What one of several is drawn from."""

    choices: Annotated[list[Any], Field(min_length=1)]


class OptunaSearch(Sweeper):
    """Looks for the best of what train.py returns, with the tree-structured Parzen estimator.

    The study lies in the multirun's folder (study.db, SQLite) beside a folder for each trial, so
    that the same command with `hydra.sweep.dir=<folder>` goes on with it.

    Args:
        space: by key, `{low, high}`, with `log: true` on a logarithmic scale and whole numbers
            where both are, or `{choices: [...]}`.
        trials: how many, finished and failed ones counted.
        workers: trials at once, which a parallel launcher makes use of.
        seed: of the sampler.
    """

    @validate_call
    def __init__(
        self,
        *,
        space: dict[str, Interval | Choices],
        trials: PositiveInt,
        workers: PositiveInt,
        seed: NonNegativeInt,
    ) -> None:
        for key, interval in space.items():
            if not re.fullmatch(r"(?!hydra)\w+(\.\w+)+", key):
                raise InputError(f"space.{key}: must name a key such as model.lr")
            if isinstance(interval, Interval) and not interval.low < interval.high:
                found = f"{{low: {interval.low}, high: {interval.high}}}"
                raise InputError(f"space.{key}={found}: low must lie below high")
        self.space = space
        self.trials = trials
        self.workers = workers
        self.seed = seed

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config: Any = config
        self.hydra_context = hydra_context
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        try:
            import optuna  # takes a second: only who searches pays
        except ModuleNotFoundError as error:
            raise InputError(f"a search needs Optuna: {how_to_install('sweep')}") from error

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Its plots with matplotlib call themselves experimental.
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        ends = {
            key: s.low if isinstance(s, Interval) else s.choices[0] for key, s in self.space.items()
        }
        first = compose_job(self.config, _job(arguments, ends), 0)  # before anything is written
        folder = Path(self.config.hydra.sweep.dir)
        OmegaConf.save(self.config, folder / MULTIRUN)
        study = open_study(folder / STUDY, is_maximised(first.config))
        # One that goes on must not draw the same again.
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(study.trials))
        self._take_up(study, arguments)
        while (left := self.trials - len(study.trials)) > 0:
            asked = [study.ask() for _ in range(min(left, self.workers))]
            for trial, (key, spec) in itertools.product(asked, self.space.items()):
                suggest(trial, key, spec)
            self._run(study, asked, arguments)
        draw(study, folder, str(self.config.objective))

    def _take_up(self, study: Any, arguments: list[str]) -> None:
        """Look at the trials that there are, and go on with those that were interrupted."""
        from optuna.trial import TrialState

        running = []
        for trial in study.trials:
            if trial.params.keys() == self.space.keys():
                admit_jobs(self.config, [_job(arguments, trial.params)], trial.number)
                running += [trial] if trial.state == TrialState.RUNNING else []
            elif trial.state == TrialState.RUNNING:  # interrupted while it was asked for
                study.tell(trial.number, state=TrialState.FAIL)
        if running:  # all of one batch, and so in a row
            self._run(study, running, arguments)

    def _run(self, study: Any, trials: Sequence[Any], arguments: list[str]) -> None:
        from optuna.trial import TrialState

        jobs, first = [_job(arguments, trial.params) for trial in trials], trials[0].number
        admit_jobs(self.config, jobs, first)
        returns = self.launcher.launch(jobs, initial_job_idx=first)
        for trial, job in zip(trials, returns, strict=True):
            value = float(job.return_value)
            if math.isfinite(value):
                study.tell(trial.number, value)
            else:
                study.tell(trial.number, state=TrialState.FAIL)


def suggest(trial: Any, key: str, spec: Interval | Choices) -> None:
    """Draw a trial's value of a key."""
    if isinstance(spec, Choices):
        trial.suggest_categorical(key, spec.choices)
        return
    whole = isinstance(spec.low, int) and isinstance(spec.high, int)
    draw = trial.suggest_int if whole else trial.suggest_float
    draw(key, spec.low, spec.high, log=spec.log)


def open_study(file: Path, maximise: bool = False) -> Any:
    """The study in an SQLite file, a new one where there is none.

    Args:
        maximise: whether a new one looks for the most of its objective.
    """
    import optuna

    # A creator takes any path; in a URL, characters such as ? would mean something.
    connect = {"creator": lambda: sqlite3.connect(file)}
    storage = optuna.storages.RDBStorage("sqlite:///", engine_kwargs=connect)
    return optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize" if maximise else "minimize",
        load_if_exists=True,
    )


def _job(arguments: list[str], params: dict[str, Any]) -> list[str]:
    others = [a for a in arguments if a.lstrip("+").partition("=")[0] not in params]
    return [*others, *(f"{key}={value}" for key, value in params.items())]


def draw(study: Any, folder: Path, objective: str) -> None:
    """The search's history and the importance of its hyperparameters, as PNG files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.ticker import MaxNLocator
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as plots

    values = {trial.value for trial in study.get_trials(states=(TrialState.COMPLETE,))}
    drawn: dict[str, Any] = {"history": plots.plot_optimization_history}
    if len(values) > 1:  # of one value, nothing is important
        drawn["importance"] = plots.plot_param_importances
    for name, plot in drawn.items():
        axes = plot(study, target_name=objective)
        if name == "history":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure = axes.figure
        figure.set_size_inches(8, 4.5)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.png", dpi=150)
