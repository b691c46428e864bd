"""Small data and short runs that the tests share."""

import atexit
import functools
import gc
import io
import json
import os
import pickle
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

# One thread a process: tests run in several processes, whose threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import omegaconf.omegaconf
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf._utils import get_yaml_loader
from PIL import Image
from processes import Command, draw_nothing
from scipy.io import savemat
from torch import Tensor
from typing_extensions import get_protocol_members, is_protocol

import autoencoders.data
from autoencoders.data import MNIST, DataModule
from autoencoders.errors import describe
from autoencoders.models import AutoEncoder
from autoencoders.runs.folder import load_config
from autoencoders.runs.paths import find_data

# What has been imported by now is a million objects: no need to look through them time and again.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

ROOT = Path(__file__).parents[1]

SMALL = ("network.hidden_dim=2", "model.latent_dim=3")
SHORT = (
    *SMALL,
    "trainer.max_epochs=2",
    "+trainer.limit_train_batches=3",
    "dataset.batch_size=16",
    "evaluate=false",
)


def choices(group: str) -> list[str]:
    """The choices of a config group."""
    return sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))


@functools.cache
def matrix_file() -> Path:
    """A matrix of 140 rows of three classes, whose first line names eleven columns."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(140, 11, generator=generator) + torch.arange(140)[:, None] % 3
    path = Path(tempfile.mkdtemp(prefix="autoencoders-tests-"), "matrix.csv")
    lines = [",".join(f"column {i}" for i in range(11))]
    lines += [",".join(f"{value:.6f}" for value in row) for row in rows.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    return path


def exported(package: ModuleType, kind: Any) -> list[Any]:
    """The classes that a package exports of a kind, which is a base class or a protocol."""
    values = [getattr(package, name) for name in package.__all__]
    classes = [v for v in values if isinstance(v, type) and v is not kind and not is_protocol(v)]
    if is_protocol(kind):
        members = get_protocol_members(kind)
        return [c for c in classes if all(hasattr(c, member) for member in members)]
    return [c for c in classes if issubclass(c, kind)]


def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, str | None]:
    """What a call returns, and the line that refuses its input: one of them is None."""
    try:
        return call(*arguments, **options), None
    except Exception as error:
        if (line := describe(error)) is None:
            raise
        return None, line


def compose_train(*overrides: str) -> DictConfig:
    """The config that `python train.py <overrides>` composes."""
    return _compose("train", overrides)


def compose_evaluate(*overrides: str) -> DictConfig:
    """The config that `python evaluate.py <overrides>` composes."""
    return _compose("evaluate", overrides)


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


def build(cfg: DictConfig) -> tuple[DataModule, AutoEncoder]:
    """The data set and the model that a config of train.py describes."""
    data = instantiate(cfg.dataset, _convert_="all")
    made = {key: cfg[key] or None for key in ("optimizer", "scheduler")}
    known = {"network": cfg.network, **made, **data.spec}
    return data, instantiate(cfg.model, **known, _convert_="all")


@contextmanager
def without_figures() -> Iterator[None]:
    """Runs of this process draw no figures, which takes longer than to train them as briefly."""
    with pytest.MonkeyPatch.context() as patch:
        for replaced in draw_nothing():
            patch.setattr(*replaced)
        yield


@pytest.fixture
def no_figures() -> Iterator[None]:
    with without_figures():
        yield


@pytest.fixture
def multirun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, no_figures: None
) -> Callable[..., tuple[Any, str]]:
    """Runs `python train.py -m <arguments>` in this process, from an empty folder; returns its exit
    status, or the line that it ends with, and what it has printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, mode: tuple[str, ...] = ("-m",)) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *mode, *arguments])
        GlobalHydra.instance().clear()
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
            code: Any = 0
        except SystemExit as ended:
            code = ended.code
        return code, capfd.readouterr().out

    return run


def write_idx(path: Path, values: Tensor) -> None:
    """Write a uint8 tensor as an IDX file."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + values.to(torch.uint8).numpy().tobytes())


def write_data_set(folder: Path, train: int = 96, test: int = 40) -> None:
    """Write four IDX files of random 28x28 images, in the layout of MNIST."""
    generator = torch.Generator().manual_seed(0)
    for part, n in (("train", train), ("t10k", test)):
        images = torch.randint(256, (n, 28, 28), generator=generator)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", torch.arange(n) % 10)


def write_images(folder: Path, n: int, size: int = 20) -> None:
    """Write n colour PNGs into two subfolders."""
    pixels = torch.randint(256, (n, size, size, 3), generator=torch.Generator().manual_seed(0))
    for i, image in enumerate(pixels.to(torch.uint8).numpy()):
        file = folder / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)


def write_celeba(folder: Path, parts: tuple[int, int, int]) -> None:
    """CelebA's layout: plain photographs, so many of each part, that smile every other time."""
    (folder / "img_align_celeba").mkdir(parents=True)
    partition, attributes = [], [f"{sum(parts)}", "Male Smiling"]
    for i in range(sum(parts)):
        name = f"{i + 1:06}.jpg"
        Image.new("RGB", (178, 218), (i, 0, 0)).save(folder / "img_align_celeba" / name)
        partition.append(f"{name} {(i >= parts[0]) + (i >= parts[0] + parts[1])}")
        attributes.append(f"{name}  1 {'-1' if i % 2 else ' 1'}")
    for file, lines in (("list_eval_partition", partition), ("list_attr_celeba", attributes)):
        (folder / f"{file}.txt").write_text("\n".join(lines) + "\n")


def write_cifar10(folder: Path, each: int = 20) -> None:
    """CIFAR-10's layout: six pickles of random images, as Python 2 has written them."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        pixels = generator.integers(256, size=(each, 3072), dtype=np.uint8)
        batch = {"data": pixels, "labels": [i % 10 for i in range(each)], "batch_label": name}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def write_svhn(folder: Path, train: int = 80, test: int = 40) -> None:
    """SVHN's layout: two files of MATLAB's, of random images."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name, n in (("train", train), ("test", test)):
        images = generator.integers(256, size=(32, 32, 3, n), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8)[:, None] % 10 + 1
        savemat(folder / f"{name}_32x32.mat", {"X": images, "y": labels})


@functools.cache
def yaml_loader() -> Any:
    """OmegaConf's loader on libyaml, which takes a tenth of the time: half of a composition."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "SafeLoader", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return get_yaml_loader()


omegaconf.omegaconf.get_yaml_loader = yaml_loader

_get_mode = Hydra.get_mode


def mode_of(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """The mode that a command chooses by a key, or None.

    Hydra composes the whole config for it, before it composes it again: half of what a command in
    this process takes to begin. No file of conf/ has that key.
    """
    named = any("hydra.mode" in override for override in overrides)
    return _get_mode(self, config_name, overrides) if named else None


MNIST_LIKE = [MNIST, *exported(autoencoders.data, MNIST)]


@pytest.fixture(autouse=True)
def no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command has been started in this process, whatever an earlier test has run."""
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr(Hydra, "get_mode", mode_of)


JOB_NUMBER = "hydra.sweep.subdir=${hydra.job.num}"  # a short name for a job's folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def write_data(folder: Path) -> Path:
    """A folder with a small version of each data set that needs files."""
    for data_set in MNIST_LIKE:
        write_data_set(folder / data_set.label / "raw")
    write_images(folder / "images", 120)
    write_celeba(folder / "celeba", (60, 20, 20))
    write_cifar10(folder / "cifar-10-batches-py")
    write_svhn(folder / "svhn")
    return folder


def small_data(dataset: str, data_dir: Path) -> list[str]:
    """The overrides for the small version of a data set in the folder of `write_data`."""
    own = {
        "avatars": ["dataset.images=40"],
        "folder": [f"dataset.path={data_dir}/images", "dataset.test_share=0.3"],
        "table": [f"dataset.path={matrix_file()}"],
    }
    return [f"dataset={dataset}", f"dataset.data_dir={data_dir}", *own.get(dataset, [])]


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The real MNIST and FashionMNIST, where they lie."""
    for folder in (os.environ.get("AUTOENCODERS_DATA"), ROOT.parent / "shared" / "data"):
        if folder and all(data_set.is_in(Path(folder)) for data_set in MNIST_LIKE):
            return Path(folder)
    pytest.skip("the real MNIST and FashionMNIST are not on this machine")


def run_script(
    name: str, *arguments: str, cwd: Path, figures: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python <name> <arguments>` from `cwd`, where its outputs/ go, in a process of its own
    that begins with torch imported."""
    command = Command(ROOT / name, *arguments, cwd=cwd, figures=figures, **environment)
    out, err = command.communicate(900)
    return subprocess.CompletedProcess(command.arguments, command.wait(1), out, err)


def run_afresh(
    name: str, *arguments: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same from the start of Python on, which takes ten seconds longer."""
    return subprocess.run(
        [sys.executable, ROOT / name, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


def run_here(name: str, *arguments: str, cwd: Path) -> str:
    """Run `python <name> <arguments>` in this process, which has imported torch already.

    Returns:
        What it has printed on stdout.

    Raises:
        SystemExit: as it would end the program.
    """
    before, printed = dict(os.environ), io.StringIO()
    GlobalHydra.instance().clear()
    try:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.chdir(cwd)
            patch.setattr(sys, "argv", [name, *arguments])
            patch.setattr(HydraConfig.instance(), "cfg", None)
            patch.setattr(Hydra, "get_mode", mode_of)
            runpy.run_path(str(ROOT / name), run_name="__main__")
    finally:  # a multirun that is continued tells its jobs
        os.environ.clear()
        os.environ.update(before)
    return printed.getvalue()


def interrupt(sent: signal.Signals, cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Send a signal to a long run of train.py once it has finished an epoch; return its exit
    status, and what it printed on stdout and stderr."""
    command = (*arguments, *SHORT, "trainer.max_epochs=100")
    process = Command(ROOT / "train.py", *command, cwd=cwd, figures=False)
    deadline = time.monotonic() + 120
    while process.poll() is None and not list(cwd.rglob("best.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(sent)
    out, err = process.communicate(60)
    return process.wait(1), out, err


@pytest.fixture
def train_py(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python train.py <arguments>` from an empty folder, where its outputs/ go."""

    return functools.partial(run_script, "train.py", cwd=tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished and evaluated run of the command; beside it, what that printed."""
    root = tmp_path_factory.mktemp("finished")
    evaluated = ("evaluate=true", "evaluation.images=40", "verbose=true", "hydra.run.dir=run")
    (root / "printed").write_text(run_here("train.py", *SHORT, *evaluated, cwd=root))
    return root / "run"


def located(run: Path) -> DictConfig:
    """A run's config as it is read back, with where its data are now."""
    config = load_config(run)
    find_data(config, run)
    return config


def rewrite_metrics(run: Path, change: Callable[[dict[str, float]], Any]) -> None:
    """Change the numbers of a run's current evaluation."""
    record = json.loads((run / "evaluation.json").read_text())
    file = run / record["files"] / "numbers.json"
    metrics = json.loads(file.read_text())
    change(metrics)
    file.write_text(json.dumps(metrics))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
