"""Several processes: they stay together, make the step of one, and test each image once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, SHORT, build, compose_train

from autoencoders.data import Digits
from autoencoders.models.inference import inference
from autoencoders.training.checkpoint_files import read_checkpoint
from autoencoders.training.starting_points import load_weights

pytestmark = pytest.mark.slow

MODELS = ["vae", "wae", "wae_mmd"]  # a kind of step or loss each
PATHS = (ROOT, ROOT / "src", ROOT / "tests")
WORKER = Path(__file__).with_name("ddp_worker.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def work(processes, what, folder, name):
    """Have one or two processes do `what`; return what each wrote after each epoch."""
    folder.mkdir()
    launcher = (
        (*TORCHRUN, f"--nproc-per-node={processes}", f"--master-port={free_port()}")
        if processes > 1
        else (sys.executable,)
    )
    done = subprocess.run(
        [*launcher, WORKER, what, folder, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return {
        (epoch, rank): torch.load(folder / f"epoch{epoch}-rank{rank}.pt", weights_only=False)
        for epoch in range(2)
        for rank in range(processes)
    }


# Their penalties compare each example with all others of its process.
OVER_PAIRS = {"wae_mmd", "swae", "cwae", "info_vae", "beta_tcvae"}


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OVER_PAIRS])
def test_two_processes_make_the_step_of_one(name, tmp_path):
    alone, both = work(1, "step", tmp_path / "1", name), work(2, "step", tmp_path / "2", name)
    expected = alone[0, 0]["gradients"]
    assert len(expected) == (2 if name == "wae" else 1)
    largest = 0.0
    for rank in range(2):
        for ours, theirs in zip(both[0, rank]["gradients"], expected, strict=True):
            for gradient, reference in zip(ours, theirs, strict=True):
                torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
                largest = max(largest, (gradient - reference).abs().max().item())
    size = max(reference.abs().max().item() for theirs in expected for reference in theirs)
    print(f"{name}: gradients up to {size:.3g} differ by at most {largest:.1e}")


@pytest.mark.parametrize("name", MODELS)
def test_processes_stay_together_and_test_each_image_once(name, tmp_path):
    folder = tmp_path / "run"
    kept = work(2, "whole", folder, name)
    for epoch in range(2):
        first, second = (kept[epoch, rank]["parameters"] for rank in range(2))
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(*(kept[e, 0]["parameters"]["encoder.head.bias"] for e in range(2)))

    metrics = json.loads((folder / "metrics.json").read_text())
    data = Digits(val_size=200)
    data.setup()
    _, model = build(compose_train(*SHORT, f"model={name}"))
    load_weights(model, read_checkpoint(folder / "checkpoints/last.ckpt"))
    x = data.test.x()
    with inference(model):
        error = ((model.reconstruct(x) - x) ** 2).mean().item()
        z = model.encode(x).double()
    assert metrics["test/mse"] == pytest.approx(error, rel=1e-5)
    variance = z.var(0, correction=0)
    assert metrics["test/active_units"] == (variance > 0.01).sum().item()
    if name != "vae":  # whose draws are not its means
        assert metrics["test/z_std"] == pytest.approx(variance.mean().sqrt().item(), rel=1e-4)
        assert metrics["test/z_abs_mean"] == pytest.approx(z.mean(0).abs().mean().item(), rel=1e-4)
    writers = {path.name.split(".")[-2] for path in folder.rglob("events.out*")}
    assert len(writers) == 1  # process numbers: the first alone writes


def test_torchrun_with_two_nodes(tmp_path):
    port = free_port()
    overrides = (*SHORT, "trainer=ddp", "trainer.devices=1", "+trainer.num_nodes=2")
    command = [ROOT / "train.py", *overrides, "trainer.accelerator=cpu", "hydra.run.dir=run"]
    nodes = [
        subprocess.Popen(
            [
                *TORCHRUN,
                *("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"),
                *("--master-addr=127.0.0.1", f"--master-port={port}"),
                *command,
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [node.communicate(timeout=200) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2
