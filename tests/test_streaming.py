"""docs/scale.md's data set over a store that is streamed."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import ROOT, SHORT, run_script

litdata = pytest.importorskip("litdata")

N = {"train": 300, "val": 40, "test": 50}


def row(number):
    """Item number 1,000 of a part has other values than any of another part."""
    x = np.random.default_rng(number).normal(size=8).astype(np.float32)
    return {"x": x + number % 2, "label": number % 2}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A folder with the documented module, its YAML and a small store."""
    page = (ROOT / "docs/scale.md").read_text()
    (tmp_path / "streamed.py").write_text(re.search(r"```python\n(.*?)```", page, re.S)[1])
    (tmp_path / "conf/dataset").mkdir(parents=True)
    recipe = re.search(r"```yaml\n(.*?)```", page, re.S)[1]
    (tmp_path / "conf/dataset/streamed.yaml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    for i, (part, n) in enumerate(N.items()):
        numbers = list(range(1000 * i, 1000 * i + n))
        litdata.optimize(row, numbers, str(tmp_path / "store" / part), num_workers=1, chunk_size=64)
    return tmp_path


@pytest.mark.slow  # two commands, and litdata's own processes
def test_a_store_is_trained_on_and_evaluated(started):
    chosen = ("--config-dir=conf", "dataset=streamed", "dataset.store=store", "model=ae")
    short = (*SHORT[:2], "trainer.max_epochs=2", "evaluation.images=40", "hydra.run.dir=run")
    done = run_script("train.py", *chosen, *short, cwd=started)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((started / "run/metrics.json").read_text())
    content = torch.load(started / "run/checkpoints/last.ckpt", weights_only=True)
    assert content["global_step"] == 2 * (N["train"] // 64)
    trust = {"AUTOENCODERS_TRUST": "streamed"}
    done = run_script("evaluate.py", "run=run", "evaluation.images=40", cwd=started, **trust)
    assert done.returncode == 0, done.stderr
    again = json.loads((started / "run/metrics.json").read_text())
    assert again["test/mse"] == pytest.approx(metrics["test/mse"], rel=1e-4)
    manifest = json.loads((started / "run/data.json").read_text())
    assert manifest["examples"] == N
