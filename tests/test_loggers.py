"""What arrives at each logger: the numbers and images that TensorBoard has, read by other means."""

import csv
import io
import json
import struct
import time

import pytest
from conftest import choices, compose_evaluate, compose_train
from hydra.errors import InstantiationException
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context as HParamsContext
from test_train import events, metrics_of, short_run

from autoencoders.errors import describe
from autoencoders.models import WAEGAN
from autoencoders.runs.build import make_loggers
from autoencoders.training import loggers, services
from evaluate import evaluate

EPOCHS = 2
IMAGES = ("epoch/reconstructions", "epoch/samples")


class FromCSV:
    """What a run's metrics.csv holds."""

    def __init__(self, folder):
        self.rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))

    def curve(self, name):
        return [(int(row["epoch"]), float(row[name])) for row in self.rows]

    def final(self, name):
        return float(self.rows[-1][name])


class FromWandB:
    """What a run's files of Weights & Biases hold, for which LevelDB's log format is used."""

    def __init__(self, folder):
        pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
        self.files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
        self.history, self.summary, self.settings = [], {}, {}
        self.ended = 0  # runs of which all is written
        for file in self.files:
            for content in records(file.read_bytes()):
                record = pb.Record.FromString(content)
                self.ended += record.WhichOneof("record_type") == "exit"
                self.history.append(self.values(record.history.item))
                self.summary |= self.values(record.summary.update)
                self.settings |= self.values(record.config.update)

    def values(self, items):
        pairs = [("/".join(item.nested_key) or item.key, item.value_json) for item in items]
        return {name: json.loads(value) for name, value in pairs}

    def curve(self, name):
        return [(row["epoch"], row[name]) for row in self.history if name in row]

    def final(self, name):
        return self.summary[name]

    def images(self, name):
        for epoch, (path,) in self.curve(f"{name}/filenames"):
            (file,) = {f.parent / "files" / path for f in self.files} & set(self.media())
            yield epoch, Image.open(file)

    def media(self):
        return [path for file in self.files for path in file.parent.rglob("media/**/*.png")]


def records(content):
    """The records of a log in blocks of 32 KiB, after a file header of seven bytes."""
    at, record = 7, b""
    while at + 7 <= len(content):
        if (rest := 32768 - at % 32768) < 7:
            at += rest
            continue
        size, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        record += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


class FromMLflow:
    """What a run's MLflow store holds, asked by MLflow's own client."""

    def __init__(self, folder):
        mlflow = pytest.importorskip("mlflow")
        self.client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
        (experiment,) = self.client.search_experiments(filter_string="name = 'autoencoders'")
        (self.run,) = self.client.search_runs([experiment.experiment_id])
        self.settings = self.run.data.params

    def curve(self, name):
        history = self.client.get_metric_history(self.run.info.run_id, name)
        return sorted((point.step, point.value) for point in history)

    def final(self, name):
        return self.run.data.metrics[name]

    def images(self, name):
        prefix = f"images/{name.replace('/', '~')}+step+"
        for item in self.client.list_artifacts(self.run.info.run_id, "images"):
            if item.path.startswith(prefix) and item.path.endswith(".png"):
                file = self.client.download_artifacts(self.run.info.run_id, item.path)
                yield int(item.path.removeprefix(prefix).partition("+")[0]), Image.open(file)


READERS = {"csv": FromCSV, "wandb": FromWandB, "mlflow": FromMLflow}
WITH_IMAGES = ("wandb", "mlflow")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in WITH_IMAGES]


@pytest.fixture(scope="module", autouse=True)
def no_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module", params=["csv", *SLOW])
def run(request, tmp_path_factory):
    """A run's folder and what a logger beside TensorBoard has of it; the run crashed in its second
    epoch and was resumed."""
    if request.param != "csv":
        pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    several = f"logger=[tensorboard,{request.param}]"
    step = WAEGAN.training_step

    def crash(self, batch, batch_idx=0):
        if self.current_epoch == 1:
            raise RuntimeError("the power fails")
        return step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WAEGAN, "training_step", crash)
        with pytest.raises(RuntimeError, match="the power fails"):
            short_run(folder, several)
    short_run(folder, several, resume=True, figures=request.param in WITH_IMAGES)
    if request.param == "wandb":
        pytest.importorskip("wandb").finish()  # as the end of the process does
        deadline = time.monotonic() + 60  # a process of its own writes
        while FromWandB(folder).ended < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
    return folder, READERS[request.param](folder)


def test_every_curve_arrives(run):
    folder, reader = run
    board = events(folder)
    names = [name for name in metrics_of(folder) if name.startswith(("train/", "val/"))]
    assert len(names) > 10
    for name in names:
        expected = [(point.step, pytest.approx(point.value)) for point in board.Scalars(name)]
        assert len(expected) == EPOCHS
        assert reader.curve(name) == expected, name


def test_the_final_metrics_arrive(run):
    folder, reader = run
    for name, value in metrics_of(folder).items():
        assert reader.final(name) == pytest.approx(value), name


def test_every_image_arrives(run):
    folder, reader = run
    if isinstance(reader, FromCSV):
        return
    board = events(folder)
    for tag in (*IMAGES, *(f"figures/{file.stem}" for file in folder.glob("figures/*.png"))):
        theirs = dict(reader.images(tag))
        ours = {i.step: Image.open(io.BytesIO(i.encoded_image_string)) for i in board.Images(tag)}
        assert theirs.keys() == ours.keys() == ({0, 1} if tag in IMAGES else {1}), tag
        for epoch, image in theirs.items():
            assert image.convert("RGB").tobytes() == ours[epoch].convert("RGB").tobytes(), tag


def test_the_settings_arrive(run):
    _, reader = run
    if isinstance(reader, FromCSV):
        return
    expected = {"model": "WAEGAN", "network": "Tutorial", "latent_dim": 3, "batch_size": 16}
    for name, value in expected.items():
        assert str(reader.settings[name]) == str(value)


def test_a_resumed_run_is_one_run(run):
    folder, reader = run
    if isinstance(reader, FromWandB):  # which merges the parts of one name
        assert {file.stem for file in reader.files} == {f"run-{(folder / 'wandb.id').read_text()}"}


@pytest.mark.slow
def test_two_jobs_of_one_process_are_two_runs_of_wandb(tmp_path):
    wandb = pytest.importorskip("wandb")
    first = loggers.WandB(tmp_path / "first", {}).version
    second = loggers.WandB(tmp_path / "second", {})
    assert second.version != first
    assert second.experiment.id == second.version == wandb.run.id
    wandb.finish()


def test_an_evaluation_goes_where_it_is_told(run, no_figures):
    """And not where the run's own config says, which may have come from anywhere."""
    folder, reader = run
    if not isinstance(reader, FromCSV):
        return
    before = set(folder.glob("events.out.tfevents.*"))
    evaluate(compose_evaluate("logger=csv", "evaluation.images=40"), folder, "last")
    assert FromCSV(folder).final("prior/precision") == metrics_of(folder)["prior/precision"]
    assert FromCSV(folder).curve("val/mse") == reader.curve("val/mse")
    # The final numbers there were those of the earlier evaluation.
    curves = {file for file in before if not file.name.endswith("-hparams")}
    assert set(folder.glob("events.out.tfevents.*")) == curves < before


def test_none_leaves_the_runs_own_files_alone(tmp_path, recwarn):
    short_run(tmp_path, "logger=none")
    files = {"metrics.json", "evaluation.json", "run.json", "data.json", "data.npz"}
    folders = {".hydra", "checkpoints", "evaluations"}
    assert {path.name for path in tmp_path.iterdir()} == files | folders
    assert not [w for w in recwarn if "logger" in str(w.message)]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda package: None)
    cfg = compose_train(f"logger={name}")
    with pytest.raises(InstantiationException) as error:
        make_loggers(cfg.logger, tmp_path, cfg)
    line = f"logger.{name}: the package {name} is missing: pip install -e '.[{name}]'"
    assert describe(error.value) == line


def test_every_choice_composes_alone_and_with_others():
    names = choices("logger")
    for name in names:
        assert list(compose_train(f"logger={name}").logger) == ([] if name == "none" else [name])
    together = compose_train(f"logger=[{','.join(names)}]").logger
    assert set(together) == set(names) - {"none"}


def test_which_columns_of_hparams_come_first(tmp_path):
    """As TensorBoard itself sorts them."""
    logger = loggers.TensorBoard(tmp_path, {"latent_dim": 3, "model": "VAE"})
    metrics = {"floor/fd_cnn": 0.1, "reconstruction/fd_cnn": 2.0, "prior/fd_cnn": 3.0}
    logger.log_final({**metrics, "mixture/fd_cnn": 2.5, "test/mse": 0.5, "val/mse": 0.4}, 0)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(tmp_path)))
    board, request = HParamsContext(context), RequestContext()
    experiment = board.experiment_from_metadata(
        request, "", False, board.hparams_metadata(request, ""), None, hparams_limit=100
    )
    names = [info.name for info in experiment.hparam_infos]
    assert names == [
        *("model", "prior/fd_cnn", "test/mse"),
        *("floor/fd_cnn", "latent_dim", "mixture/fd_cnn", "reconstruction/fd_cnn"),
    ]
