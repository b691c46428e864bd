"""TensorBoard's events: read back and brought into order, and those of the HPARAMS tab."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams as hparams_summaries
from torch.utils.tensorboard.summary import scalar

from autoencoders.errors import InputError

History = Mapping[str, Mapping[int, float]]  # by name, a metric's value in each epoch from 1 on

CURVES = ("train/", "val/")  # what the names of metrics begin with that have a value an epoch
BY_EPOCH = (*CURVES, "epoch/", "latent/", "custom_scalars")  # tags with epochs as their steps
OF_END = ("figures/", "_hparams_/")  # tags of a finished run


def event_files(folder: Path, suffix: str = "") -> list[Path]:
    """Those in a folder whose name has that end, in the order in which TensorBoard reads them."""
    return sorted(folder.glob(f"events.out.tfevents.*{suffix}"))


def finished_epochs(files: Sequence[Path], history: History, epochs: int) -> list[Any]:
    """The events of a run's first `epochs` epochs, one for each epoch and tag, in order.

    What was logged later, in an epoch that was cut off or at the run's end, is left out; what was
    logged too late to be written is taken from the history. Events of other tags, whose steps may
    be batches, all stay.
    """
    events: dict[Any, Any] = {}
    for event in _read(files):
        tag = event.summary.value[0].tag
        by_epoch = tag.startswith(BY_EPOCH)
        if not tag.startswith(OF_END) and (event.step < epochs or not by_epoch):
            events.setdefault((tag, event.step, None if by_epoch else event.wall_time), event)
    for name, values in history.items():
        for epoch, value in values.items():
            if 0 < epoch <= epochs and (name, epoch - 1, None) not in events:
                again = {"wall_time": time.time(), "summary": scalar(name, value)}
                events[name, epoch - 1, None] = Event(step=epoch - 1, **again)
    return sorted(events.values(), key=lambda event: event.step)


def _read(files: Sequence[Path]) -> Iterator[Any]:
    """The events that show something; SummaryWriter writes a value in each.

    Raises:
        InputError: a file may not be read.
    """
    for file in files:
        try:
            records = list(RawEventFileLoader(str(file)).Load())
        except PermissionError as error:  # which names the file in bytes
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        for record in records:
            event = Event.FromString(record)
            if event.summary.value:
                yield event


def hparams(settings: dict[str, Any], metrics: dict[str, float]) -> list[Any]:
    """The summaries that show a finished run in the HPARAMS tab: its final numbers as columns
    beside the settings, and the last point of each curve."""
    numbers = {k: v for k, v in metrics.items() if not k.startswith(CURVES)}
    columns = {**settings, **numbers}
    plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in columns.items()}
    curves = {k: v for k, v in metrics.items() if k.startswith(CURVES)}
    experiment, *session = hparams_summaries(plain, curves)
    of_samples = [k for k in numbers if "/f" in k and not k.startswith(("floor/", "recon"))]
    return [_columns_first({"model", "test/mse", *of_samples[:1]}, experiment), *session]


def _columns_first(names: set[str], experiment: Any) -> Any:
    """An experiment's summary in which these columns come first.

    TensorBoard sorts columns by name, but puts those before all others that are said to differ
    between runs.
    """
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in names
    plugin.content = content.SerializeToString()
    return experiment
