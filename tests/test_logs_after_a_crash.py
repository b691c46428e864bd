"""A run that was killed and resumed is logged as one that nothing disturbed: one value an epoch."""

import csv
import errno
import shutil
from typing import ClassVar

import pytest
from conftest import compose_evaluate, without_figures
from pytorch_lightning.loggers.logger import Logger
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context as HParamsContext
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from test_train import events, metrics_of, short_run
from torch.utils.tensorboard import SummaryWriter

from autoencoders.errors import InputError
from autoencoders.training import (
    AtomicCheckpointIO,
    Checkpoints,
    event_files,
    loggers,
    services,
    training_history,
)
from autoencoders.training.checkpoint_files import read_checkpoint
from evaluate import evaluate

RUN = (
    *("model=vae", "network=mlp", "network.hidden_dim=4", "logger=[tensorboard,csv]"),
    *("callbacks=lr_monitor", "trainer.max_epochs=3"),
)


class Killed(Exception):
    """As if the process had ended here."""


def board(folder):
    """Every scalar and image that TensorBoard reads, by tag."""
    read = events(folder)
    tags = read.Tags()
    scalars = {tag: [(p.step, p.value) for p in read.Scalars(tag)] for tag in tags["scalars"]}
    images = {
        tag: [(i.step, i.encoded_image_string) for i in read.Images(tag)] for tag in tags["images"]
    }
    codes = {tag: [h.step for h in read.Histograms(tag)] for tag in tags["histograms"]}
    return scalars | images | codes


def table(folder):
    """metrics.csv without what depends on the process."""
    rows = list(csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")))
    of_process = {"train_seconds", "images_per_second", "peak_memory_gib"}
    return [{k: v for k, v in row.items() if k not in of_process} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    short_run(folder, *RUN)
    return folder


def before_the_checkpoint(patch, epoch):
    saves = Checkpoints.on_train_epoch_end

    def killed(self, trainer, pl_module):
        if trainer.current_epoch == epoch:
            raise Killed
        saves(self, trainer, pl_module)

    patch.setattr(Checkpoints, "on_train_epoch_end", killed)


def after_the_checkpoint(patch, epoch):
    """The loggers have this epoch's `val/`, its images, and none of its `train/`."""
    saves = Checkpoints.on_train_epoch_end

    def killed(self, trainer, pl_module):
        saves(self, trainer, pl_module)
        if trainer.current_epoch == epoch:
            raise Killed

    patch.setattr(Checkpoints, "on_train_epoch_end", killed)


def at_the_end(patch, epoch):
    """The first logger has the figures and the final numbers, and the second does not."""

    def killed(*_):
        raise Killed

    patch.setattr(loggers.CSV, "log_final", killed)


MANY = pytest.mark.slow


@pytest.mark.parametrize(
    ("kill", "epochs"),
    [
        (before_the_checkpoint, [0]),
        (after_the_checkpoint, [0]),
        (at_the_end, [2]),
        pytest.param(after_the_checkpoint, [2], marks=MANY),
        pytest.param(before_the_checkpoint, [1, 1, 2], marks=MANY),
        pytest.param(after_the_checkpoint, [0, 1, 2], marks=MANY),
    ],
)
def test_every_logger_has_one_value_an_epoch(kill, epochs, undisturbed, tmp_path):
    for time, epoch in enumerate(epochs):
        with pytest.MonkeyPatch.context() as patch:
            kill(patch, epoch)
            with pytest.raises(Killed):
                short_run(tmp_path, *RUN, resume=time > 0)
    short_run(tmp_path, *RUN, resume=True)
    ours, theirs = board(tmp_path), board(undisturbed)
    assert ours.keys() == theirs.keys()
    for tag, points in theirs.items():
        assert ours[tag] == points, tag
    assert [step for step, _ in ours["train/lr"]] == [0, 1, 2]
    assert table(tmp_path) == table(undisturbed)


def test_an_epochs_images_are_on_disk_before_its_checkpoint(tmp_path, monkeypatch):
    """Nothing draws them again after a kill, and TensorBoard's writer keeps what it has for a while
    unless it is flushed."""
    order = []

    def noting(kind, name, word):
        method = getattr(kind, name)

        def noted(self, *arguments, **options):
            order.append(word)
            return method(self, *arguments, **options)

        monkeypatch.setattr(kind, name, noted)

    noting(loggers.TensorBoard, "log_image", "image")
    noting(SummaryWriter, "flush", "flush")
    noting(AtomicCheckpointIO, "save_checkpoint", "checkpoint")
    short_run(tmp_path, *RUN)
    assert order.count("image") == 2 * 3
    while "image" in order:
        order = order[order.index("image") + 1 :]
        assert order.index("flush") < order.index("checkpoint")


class Fixed:
    """A logger's folder, in which an epoch takes no training."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.patch = folder, monkeypatch

    def log(self, clock, resumed, epochs, tag="val/mse"):
        self.patch.setattr("time.time", lambda: clock)
        logger = loggers.TensorBoard(self.folder, {})
        if resumed is not None:
            history = {"val/mse": {epoch: 10.0 * epoch for epoch in range(1, resumed + 1)}}
            logger.resume(history, resumed)
        for epoch in epochs:
            logger.log_metrics({tag: 10.0 * (epoch + 1)}, epoch)
        logger.finalize("success")


def test_a_clock_that_is_set_back(tmp_path, monkeypatch):
    """TensorBoard reads files in the order of their names, which begin with a time."""
    run = Fixed(tmp_path, monkeypatch)
    run.log(2_000_000_000, None, [0, 1, 2])
    run.log(1_000_000_000, 2, [2, 3])
    run.log(1_000_000_000, 4, [4])
    assert board(tmp_path)["val/mse"] == [(i, 10.0 * (i + 1)) for i in range(5)]


def test_what_another_callback_logs_by_batches_stays(tmp_path, monkeypatch):
    run = Fixed(tmp_path, monkeypatch)
    run.log(1_000_000_000, None, [0, 1])
    run.log(1_000_000_001, None, [5, 9, 30], tag="lr-Adam")
    run.log(1_000_000_002, 1, [1])
    read = board(tmp_path)
    assert [step for step, _ in read["lr-Adam"]] == [5, 9, 30]
    assert [step for step, _ in read["val/mse"]] == [0, 1]


def test_a_kill_between_the_new_file_and_the_end_of_the_old(tmp_path, monkeypatch):
    run = Fixed(tmp_path, monkeypatch)
    run.log(1_000_000_000, None, [0, 1])
    run.log(1_000_000_001, None, [5, 9], tag="lr-Adam")
    with monkeypatch.context() as patch:
        patch.setattr(loggers, "_remove", lambda files: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.log(1_000_000_002, 1, [])
    run.log(1_000_000_003, 1, [1])
    read = board(tmp_path)
    assert read == {"val/mse": [(0, 10.0), (1, 20.0)], "lr-Adam": [(5, 60.0), (9, 100.0)]}


def test_a_record_that_was_cut_off_is_left_out(tmp_path, monkeypatch):
    run = Fixed(tmp_path, monkeypatch)
    run.log(1_000_000_000, None, [0, 1])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    run.log(1_000_000_001, 2, [2])
    assert board(tmp_path)["val/mse"] == [(0, 10.0), (1, 20.0), (2, 30.0)]


def test_events_that_may_not_be_read_are_left_and_named(tmp_path, monkeypatch):
    """root may read everything, so that the mode of a file would not show it."""
    run = Fixed(tmp_path, monkeypatch)
    run.log(1_000_000_000, None, [0, 1])
    (file,) = tmp_path.iterdir()

    def denied(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(file).encode())

    with monkeypatch.context() as patch:
        patch.setattr(event_files.RawEventFileLoader, "Load", denied)
        with pytest.raises(InputError, match=rf"^{file}: cannot be read: Permission denied$"):
            run.log(1_000_000_001, 1, [1])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def hparams(folder):
    """The columns of HPARAMS, as TensorBoard's own plugin finds them."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    board = HParamsContext(TBContext(data_provider=provider))
    tags = board.hparams_metadata(RequestContext(), "").get(".", {})
    if not (content := tags.get("_hparams_/session_start_info")):
        return {}
    columns = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: value.number_value for name, value in columns.items()}


@pytest.mark.parametrize("clock", [2_000_000_001, 1_000_000_000])
def test_hparams_shows_the_latest_evaluation(clock, tmp_path, monkeypatch):
    for now, mse in ((2_000_000_000, 0.5), (clock, 0.25)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        logger = loggers.TensorBoard(tmp_path, {"latent_dim": 3})
        logger.log_metrics({"val/mse": mse}, 0)
        logger.log_final({"test/mse": mse, "val/mse": mse}, 0)
        assert hparams(tmp_path) == {"latent_dim": 3, "test/mse": mse}
    loggers.TensorBoard(tmp_path, {}).resume({}, 1)
    assert hparams(tmp_path) == {}  # the run is not finished


def test_a_second_evaluation_leaves_nothing_of_the_first_in_the_table(undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before = table(run)
    for options in ("sampler=[prior,mixture]", "sampler=prior"):
        with without_figures():
            cfg = compose_evaluate("logger=csv", "evaluation.images=40", options)
            evaluate(cfg, run, "last")
    after = table(run)
    finals = [{k for k, v in row.items() if v and "/" in k} - curves(row) for row in after]
    assert finals[:2] == [set(), set()]
    assert finals[2] == {k for k in metrics_of(run) if "/" in k} - curves(after[2])
    assert not any(key.startswith("mixture/") for key in after[2])
    assert [{k: row[k] for k in curves(row)} for row in after] == [
        {k: row[k] for k in curves(row)} for row in before
    ]


def curves(row):
    return {name for name in row if name.startswith(("train/", "val/"))}


def test_an_extended_run_has_its_final_numbers_in_its_last_row_alone(undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    short_run(run, *RUN, "trainer.max_epochs=4", resume=True)
    rows = table(run)
    assert [bool(row["test/mse"]) for row in rows] == [False, False, False, True]
    assert hparams(run)["test/mse"] == metrics_of(run)["test/mse"]
    assert [step for step, _ in board(run)["train/loss"]] == [0, 1, 2, 3]


class Kept(services.Service, Logger):
    """A service whose records the test keeps."""

    name, version = "kept", "1"
    sent: ClassVar[list] = []

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        numbers = {k: v for k, v in metrics.items() if k.startswith(("train/l", "val/l"))}
        self.sent.extend(
            (name, metrics.get("epoch", step), value) for name, value in numbers.items()
        )
        self._note_epoch(metrics, step)


@pytest.mark.parametrize(
    ("kill", "epoch", "twice"),
    [
        (after_the_checkpoint, 0, set()),
        (after_the_checkpoint, 1, set()),
        (before_the_checkpoint, 1, {("val/loss", 1)}),  # of equal value
    ],
)
def test_a_service_that_cannot_be_asked_lacks_nothing(kill, epoch, twice, tmp_path, monkeypatch):
    monkeypatch.setattr(Kept, "sent", [])
    monkeypatch.setattr(loggers, "CSV", lambda folder, settings: Kept(settings, folder))
    run = ("model=vae", "network=mlp", "logger=csv", "trainer.max_epochs=3")
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, epoch)
        with pytest.raises(Killed):
            short_run(tmp_path, *run)
    short_run(tmp_path, *run, resume=True)
    values = {}
    for name, step, value in Kept.sent:
        values.setdefault((name, step), []).append(value)
    history = training_history(read_checkpoint(tmp_path / "checkpoints/last.ckpt"))
    for name in ("train/loss", "val/loss"):
        for step in range(3):
            expected = [history[name][step + 1]] * (2 if (name, step) in twice else 1)
            assert values.get((name, step)) == pytest.approx(expected), (name, step)
