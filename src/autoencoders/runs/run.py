"""A run read back: its config, its model, its numbers, its data."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from autoencoders.files import CONFIG
from autoencoders.runs import evaluations
from autoencoders.runs.build import build_data, build_model
from autoencoders.runs.folder import checkpoint_file, load_config
from autoencoders.runs.paths import find_data

if TYPE_CHECKING:  # torch and Lightning take seconds, which a mistyped key need not wait for
    from autoencoders.data import DataModule
    from autoencoders.models import AutoEncoder


@dataclass
class Run:
    """A run read back.

    folder: the run's.
    checkpoint: the name of the one that the weights are of.
    model: in evaluation mode.
    cfg: its config.
    metrics: what was measured of these weights.
    epochs: after how many they were saved.
    allow_changed_data: whether its data take in examples that are new since it was trained.
    """

    folder: Path
    checkpoint: str
    model: "AutoEncoder"
    cfg: DictConfig
    metrics: dict[str, float]
    epochs: int
    allow_changed_data: bool = False

    @cached_property
    def data(self) -> "DataModule":
        """Its data, ready to use: read when they are first asked for. A line says what has changed
        since it was trained.

        Raises:
            InputError: they are not there, or are not what the model was trained on.
        """
        from autoencoders.data.manifest import Manifest
        from autoencoders.training.checkpoint_files import read_checkpoint
        from autoencoders.training.starting_points import refuse_other_data

        find_data(self.cfg, self.folder)
        if (manifest := Manifest.load(self.folder)) is None:
            print(
                f"{self.folder}: of before version 0.2, without a data.json: its data are taken as"
                " they are now"
            )
        data = build_data(self.cfg, manifest, self.allow_changed_data)
        data.prepare_data()
        data.setup()
        content = read_checkpoint(checkpoint_file(self.folder, self.checkpoint))
        refuse_other_data(content, self.model, data)
        return data


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


def load(folder: str | Path) -> "AutoEncoder":
    """A trained model, on the CPU and in evaluation mode; its data need not be there.

    Args:
        folder: an export's, as export.py writes it; or a run's, of which it reads the last weights.

    Raises:
        InputError: neither, or one that is damaged or names a class that files may not name.
    """
    from autoencoders.export import load_export

    folder = Path(folder)
    return load_model(folder) if (folder / CONFIG).is_file() else load_export(folder)


def load_model(folder: str | Path, checkpoint: str = "last") -> "AutoEncoder":
    """A run's model, in evaluation mode; its data need not be there.

    Args:
        folder: the run's.
        checkpoint: `last`, `best`, or another in its checkpoints/.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    return load_trained(Path(folder), checkpoint).model


def load_trained(folder: Path, checkpoint: str) -> Run:
    """Read a run back without its evaluation: its metrics are what training has left in the
    checkpoint.

    Raises:
        InputError: no run there, or a checkpoint that cannot be read.
    """
    from autoencoders.training.checkpoint_files import read_checkpoint
    from autoencoders.training.record import training_metrics
    from autoencoders.training.starting_points import load_weights, saved_spec

    cfg = load_config(folder)
    content = read_checkpoint(checkpoint_file(folder, checkpoint))
    model = build_model(cfg, saved_spec(content))
    load_weights(model, content)
    metrics = training_metrics(content, model)
    return Run(folder, checkpoint, model.eval(), cfg, metrics, int(metrics["epochs"]))
