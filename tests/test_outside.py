"""The user's own classes, outside this package: a module in the current folder."""

import json

import pytest
from conftest import SMALL, run_script
from omegaconf import OmegaConf

from autoencoders.errors import InputError
from autoencoders.runs.trust import foreign_targets
from autoencoders.trusted import is_trusted, trusted_class

MODULE = """
from pytorch_lightning.callbacks import Callback

from autoencoders.losses import SquaredError
from autoencoders.models import AE


class Sparse(AE):
    label = "sparse"

    def losses(self, batch, out):
        reconstruction = self.reconstruction(batch, out)
        penalty = out.z.abs().sum(1).mean()
        loss = reconstruction + penalty
        return {"loss": loss, "reconstruction": reconstruction, "penalty": penalty}


class Count(Callback):
    def __init__(self, word="batches"):
        self.word, self.n = word, 0

    def on_train_batch_end(self, *_):
        self.n += 1

    def on_train_end(self, *_):
        print("seen:", self.n, self.word)


class Twice(SquaredError):
    def loss(self, logits, x):
        return 2 * super().loss(logits, x)
"""
YAML = "defaults:\n  - ae\n\n_target_: own_lab.Sparse\ncost:\n  _target_: own_lab.Twice\n"
CALLBACK = "count:\n  _target_: own_lab.Count\n  word: steps\n"
TINY = (*SMALL, "network=mlp", "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
TINY += ("logger=none", "evaluate=false", "hydra.run.dir=run")


@pytest.fixture
def lab(tmp_path):
    """A folder with a module and a conf/ beside it."""
    (tmp_path / "own_lab.py").write_text(MODULE)
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/sparse.yaml").write_text(YAML)
    (tmp_path / "conf/callbacks").mkdir()
    (tmp_path / "conf/callbacks/count.yaml").write_text(CALLBACK)
    return tmp_path


def test_a_model_a_cost_and_a_callback_in_the_current_folder(lab):
    trained = run_script(
        "train.py", "--config-dir=conf", "model=sparse", "callbacks=count", *TINY, cwd=lab
    )
    assert trained.returncode == 0, trained.stderr
    assert "commands need AUTOENCODERS_TRUST=own_lab" in trained.stdout
    assert "seen: 2 steps" in trained.stdout
    metrics = json.loads((lab / "run/metrics.json").read_text())
    assert metrics["test/reconstruction"] == pytest.approx(2 * 784 * metrics["test/mse"], rel=1e-4)

    again = ("run=run", "evaluation.images=20", "sampler=[prior]")
    refused = run_script("evaluate.py", *again, cwd=lab)
    assert refused.returncode == 1
    assert "_target_=own_lab." in refused.stderr
    assert "set AUTOENCODERS_TRUST=own_lab" in refused.stderr
    trusted = run_script("evaluate.py", *again, cwd=lab, AUTOENCODERS_TRUST="other,own_lab")
    assert trusted.returncode == 0, trusted.stderr
    after = json.loads((lab / "run/metrics.json").read_text())
    assert after["test/mse"] == pytest.approx(metrics["test/mse"])


def test_classes_that_no_command_makes_unasked_are_named():
    """Also Lightning's, but for those that every command makes."""
    timer = {"_target_": "pytorch_lightning.callbacks.Timer"}
    trainer = {"_target_": "pytorch_lightning.Trainer", "callbacks": [timer]}
    own = {"_target_": "own_lab.Sparse", "cost": {"_target_": "autoencoders.losses.SquaredError"}}
    config = OmegaConf.create({"trainer": trainer, "callbacks": {"mine": timer}, "model": own})
    assert foreign_targets(config) == {
        "callbacks.mine": "pytorch_lightning.callbacks.Timer",
        "model": "own_lab.Sparse",
    }


def test_what_files_may_name(monkeypatch):
    assert is_trusted("autoencoders.models.AE")
    assert is_trusted("torch.optim.Adam")
    for foreign in ("os.system", "autoencoders_evil.X", "torch.hub.load", "mine.models.A"):
        assert not is_trusted(foreign)
    monkeypatch.setenv("AUTOENCODERS_TRUST", "lab, mine.models")
    assert is_trusted("mine.models.A")
    assert not is_trusted("mine.others.A")
    with pytest.raises(InputError, match="is no class"):
        trusted_class("autoencoders.models.ae.__doc__")
    with pytest.raises(InputError, match=r"os\.system: files may name .*AUTOENCODERS_TRUST=os"):
        trusted_class("os.system")
