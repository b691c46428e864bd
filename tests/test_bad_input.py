"""Bad input, as it would be typed: exit status 1, one clear last line, and nothing left behind.

`pytest -n 0 -s tests/test_bad_input.py` prints the table of commands and answers.
"""

import json
import os
import pickle
import runpy
import shlex
import shutil
import struct
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    ROOT,
    SHORT,
    attempt,
    choices,
    compose_train,
    run_script,
    write_data_set,
    write_idx,
)
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from autoencoders.launch.config import check_settings
from autoencoders.runs.state import mark
from train import train

MODELS, NETWORKS, DATA_SETS = (
    ", ".join(choices(group)) for group in ("model", "network", "dataset")
)
CONFIG, HYDRA = "run/.hydra/config.yaml", "run/.hydra/hydra.yaml"

# `python train.py <argument>`: what the line says.
OVERRIDES = {
    "model=gan": ["model=gan: no such choice", MODELS],
    "modle=wae": ["modle: no such key", "did you mean model?"],
    "model.latent=3": ["model.latent: no such key", "latent_dim"],
    "+model.depth=3": ["model.depth: no such key; allowed: cost, ", "latent_dim"],
    "+dataset.batchsize=3": ["dataset.batchsize: no such key; did you mean batch_size? allowed: "],
    "+network.hidden=3": ["network.hidden: no such key; did you mean hidden_dim?"],
    "+evaluation.samplers.prior.std=3": ["evaluation.samplers.prior.std: no such key", "none"],
    "callbacks=ema +callbacks.ema.rate=1": ["callbacks.ema.rate: no such key; allowed: decay"],
    "dataset=pbmc +dataset.layer=raw": ["dataset.layer: cannot be set here; leave it out"],
    "trainer.max_time=1": ["trainer.max_time: no such key", "+trainer.max_time="],
    "model.latent_dim=0": ["model.latent_dim=0: must be greater than 0"],
    "model.latent_dim=many": ["model.latent_dim=many: must be a valid integer"],
    "model.reg_weight=-1": ["model.reg_weight=-1: must be greater than or equal to 0"],
    "model.prior_std=0": ["model.prior_std=0: must be greater than 0"],
    "model.cost=l1": ["model.cost=l1: no such cost; allowed: bce, mse, sigma"],
    "model.schedule=step": ["model.schedule: no such key since 0.2.0; scheduler= has its place"],
    "+model.lr=1": ["model.lr: no such key since 0.2.0; optimizer.lr= has its place"],
    "dataset.batch_size=1": ["dataset.batch_size=1: must be greater than or equal to 2"],
    "dataset.val_size=1500": ["dataset.val_size=1500", "allowed: at most 1498"],
    "dataset.val_size=0": ["monitor=val/mse: there is no validation with dataset.val_size=0"],
    "trainer.max_epochs=0": ["trainer.max_epochs=0: must be greater than 0"],
    "trainer.precision=17": ["trainer.precision=17: no such choice", "bf16-mixed"],
    "+trainer.epochs=5": ["trainer.epochs: no such key", "max_epochs"],
    "trainer=gpu": ["trainer: "],
    "scheduler=milestones scheduler.factors=[3]": ["scheduler=MilestonesLR: TypeError: "],
    "scheduler=linear": ["scheduler=linear: no such choice; allowed: constant, cosine"],
    "optimizer._target_=torch.nn.Linear": ["optimizer._target_=torch.nn.Linear: allowed: an opt"],
    "optimizer=sgd optimizer.momentum=-1": ["optimizer=SGD: ValueError: Invalid momentum value"],
    "+optimizer.speed=1": ["optimizer.speed: no such key; did you mean", "allowed: amsgrad"],
    "seed=abc": ["seed=abc: must be a valid integer"],
    "monitor=loss": ["monitor=loss: must match pattern"],
    "resume=nowhere": ["resume=nowhere: not a run to continue", ".hydra/config.yaml"],
    "ckpt_path=nowhere": ["nowhere: no such checkpoint"],
    "optimizer.betas=[0.9]": ["optimizer.betas=[0.9]: must have at least 2 items"],
    "optimizer.betas=[0.9,1.0]": ["optimizer.betas.1=1.0: must be less than 1"],
    "optimizer.lr=0": ["optimizer.lr=0: must be greater than 0"],
    "optimizer.lr=nan": ["optimizer.lr=nan: must be a finite number"],
    "network.hidden_dim=1.5": ["network.hidden_dim=1.5: must be a valid integer"],
    "network=dcgan": [f"network=dcgan: no such choice; allowed: {NETWORKS}"],
    "network.depth=3": ["network.depth: no such key", "hidden_dim"],
    "model.input_noise=-0.1": ["model.input_noise=-0.1: must be greater than or equal to 0"],
    "model.kernel=rbf": ["model.kernel: no such key"],
    "model.latent_dim": ["model.latent_dim"],
    "model.latent_dim=": ["model.latent_dim="],
    "model.latent_dim=[": ["model.latent_dim=["],
    "dataset=cifar": [f"dataset=cifar: no such choice; allowed: {DATA_SETS}"],
    "dataset.batch_size=many": ["dataset.batch_size=many: must be a valid integer"],
    "dataset.val_size=-1": ["dataset.val_size=-1: must be greater than or equal to 0"],
    "dataset=table": ["dataset.path: is missing; give a file: .csv, .tsv"],
    "dataset=table dataset.path=cells.csv": ["dataset.path=cells.csv: no such file"],
    "dataset=table dataset.path=cells.xls": ["dataset.path=cells.xls: no such file"],
    "dataset=table dataset.features=0": ["dataset.features=0: must be greater than 0"],
    "dataset=pbmc dataset.labels=kind": ["dataset.labels=kind: not in", "bulk_labels"],
    "dataset=pbmc model.cost=bce": ["cost=bce: takes data in [0, 1] alone; allowed: mse, sigma"],
    "dataset=pbmc network=tutorial": ["network=tutorial: takes square images", "network=mlp takes"],
    "dataset.workers=4": ["dataset.workers: no such key"],
    "trainer=tpu": ["trainer=tpu: no such choice; allowed: cpu, ddp, debug, "],
    "trainer.max_epochs=ten": ["trainer.max_epochs=ten: must be a valid integer"],
    "trainer.devices=0": ["trainer: "],
    "trainer.devices=many": ["trainer: "],
    "trainer.accelerator=abacus": ["trainer: "],
    "trainer.strategy=magic": ["trainer: "],
    "+trainer.limit_train_batches=-1": ["trainer.limit_train_batches=-1: must be greater than 0"],
    "experiment=mine": ["experiment=mine: no such choice; allowed: best, paper, tutorial"],
    "seed=-1": ["seed=-1: must be greater than or equal to 0"],
    "seed=1.5": ["seed=1.5: must be a valid integer"],
    "+seed=3": ["seed"],
    "monitor=test/mse": ["monitor=test/mse: must match pattern"],
    "monitor=null": ["monitor=None: must be a valid string"],
    "evaluate=perhaps": ["evaluate=perhaps: must be a valid boolean"],
    "evaluation.images=3": ["evaluation.images=3: must be greater than or equal to 20"],
    "evaluation.features=clip": [
        "evaluation.features=clip: must be 'auto', 'cnn', 'pca' or 'inception'"
    ],
    "evaluation.neighbours=0": ["evaluation.neighbours=0: must be greater than 0"],
    "evaluation.samplers.mixture.components=many": [
        "evaluation.samplers.mixture.components=many: must be a valid integer"
    ],
    "evaluation.samplers.mixture._target_=os.system": [
        "evaluation.samplers.mixture._target_=os.system: allowed: a sampler as in autoencoders."
    ],
    "+evaluation.samplers.mine.of=3": ["evaluation.samplers.mine._target_: is missing"],
    "evaluation.neighbors=3": ["evaluation.neighbors: no such key; did you mean neighbours?"],
    "resume=[a,b]": ["resume="],
    "model.kernel=linear model=wae_mmd": ["model.kernel=linear: must be 'imq' or 'rbf'"],
    "monitor=val/fid": ["monitor=val/fid: no such metric, or nothing says", "val/mse"],
    "objective=val/fid": ["objective=val/fid: no such metric, or nothing says ", "val/mse"],
    "objective=foo": [
        "objective=foo: no such metric, or ",
        "allowed: train/loss, val/loss, ",
        "test/",
    ],
    "objective=prior/fd": ["objective=prior/fd: no such metric, or nothing", "prior/fd_cnn"],
    "evaluate=false objective=prior/fd_cnn": ["which evaluate=false leaves out"],
    "objective=test/foo": ["objective=test/foo: no such metric, or nothing", "test/mse"],
    "objective=mixture/log_likelihood": ["nothing says whether less or more", "mixture/fd_cnn"],
    "objective=val/active_units": [
        "no such metric, or nothing says whether less or more",
        "val/mse",
    ],
    "objective=images_per_second": [
        "objective=images_per_second: no such metric, or nothing says "
    ],
    "evaluation.split=val objective=test/mse": ["the test set unseen; objective=val/mse is"],
    "dataset.val_size=0 monitor=train/loss objective=val/mse": ["objective=val/mse: there is no"],
    "model.latent_dim=1000000000": ["model.latent_dim=1000000000: must be less than or equal to"],
    "network.hidden_dim=1000000": ["not enough memory: torch tried to", "lower network.hidden_dim"],
    "optimizer.lr=1e300": ["optimizer.lr=1e+300: must be less than or equal to"],
    "dataset.batch_size=99999999999999999999": ["dataset.batch_size=99999999999999999999: must"],
    "dataset.seed=99999999999999999999": ["dataset.seed=99999999999999999999: must be less than"],
    "+model.shape=[3]": ["model.shape=[3]: cannot be set: the data set tells"],
    "+model.network=paper": ["model.network=paper: cannot be set: network= chooses it"],
    "~monitor": ["monitor: is missing"],
    # what Lightning refuses after it has begun, or computes with as it is
    "+trainer.gradient_clip_val=-1": ["trainer.gradient_clip_val=-1: must be greater than or"],
    "+trainer.accumulate_grad_batches=0": ["trainer.accumulate_grad_batches=0: must be greater"],
    "+trainer.check_val_every_n_epoch=0": ["trainer.check_val_every_n_epoch=0: must be greater"],
    "+trainer.check_val_every_n_epoch=99": ["no validation with trainer.check_val_every_n_epoch="],
    "+trainer.limit_val_batches=0": ["monitor=val/mse: there is no validation with trainer.limit"],
    "+trainer.limit_val_batches=0.01": ["trainer: ", "limit_val_batches"],
    "+trainer.val_check_interval=2": ["val_check_interval=2: cannot be set: ", "check_val_every_n"],
    "+trainer.overfit_batches=-1": ["trainer.overfit_batches=-1: must be a number of batches"],
    "+trainer.overfit_batches=1.5": ["trainer.overfit_batches=1.5: must be a number of batches"],
    "+trainer.overfit_batches=true": ["trainer.overfit_batches=True: must be a number of batches"],
    "+trainer.overfit_batches=0.01": [
        "overfit_batches=0.01: less than one of 21 batches; give 1 or"
    ],
    "+trainer.max_time=00:00:00:00": ["(trainer.max_time) ended training before its first batch"],
    "+trainer.fast_dev_run=true": ["trainer.fast_dev_run=True: cannot be set: trainer=debug"],
    # what no later command would read back
    "+trainer.logger=false": ["trainer.logger=False: cannot be set: logger= chooses where"],
    "callbacks=ema callbacks.ema.decay=1": ["callbacks.ema.decay=1: must be less than 1"],
    "callbacks=early_stopping callbacks.early_stopping.patience=0": ["patience=0: must be greater"],
    "callbacks=early_stopping callbacks.early_stopping.monitor=test/mse": [
        "callbacks.early_stopping.monitor=test/mse: must match pattern '^(train|val)/'"
    ],
    "callbacks=swa": ["callbacks=swa: no such choice; allowed: early_stopping, ema, lr_monitor"],
    "callbacks=ema callbacks.ema._target_=os.system": ["os.system: allowed: a callback as in "],
    "tags=ablation": ["tags=ablation: must be a valid list"],
    "tags=['a b']": ["tags.0=a b: must match pattern"],
    "logger=neptune": ["logger=neptune: no such choice; allowed: csv, mlflow, none, tensorboard"],
    "logger=[csv,neptune]": ["logger=neptune: no such choice"],
    "logger.tensorboard._target_=os.system": ["os.system: allowed: a logger as in autoencoders."],
    "logger=csv logger.csv=3": ["logger.csv=3: must be a valid dictionary"],
    "+logger.tensorboard.flush=1": ["logger.tensorboard.flush: no such key; allowed: none"],
    "+trainer.default_root_dir=x": ["trainer.default_root_dir=x: cannot be set: hydra.run.dir="],
    "model=null": ["Config group override must be a string or a list"],
    "+trainer.callbacks=[{a:3}]": ["trainer.callbacks.0._target_: is missing"],
    "+trainer.callbacks=[{_target_:pytorch_lightning.callbacks.EarlyStopping}]": [
        "trainer.callbacks.0: ",
        "'monitor'",
    ],
    "+trainer.callbacks=x": ["trainer.callbacks=x: must be a valid list"],
    "+trainer.callbacks=[{_target_:pytorch_lightning.callbacks.ModelCheckpoint}]": [
        "trainer.callbacks.0._target_=pytorch_lightning.callbacks.ModelCheckpoint: allowed: ",
        "EarlyStopping",
    ],
    "+trainer.profiler={_target_:pytorch_lightning.profilers.SimpleProfiler}": [
        "trainer.profiler={",
        "must be a valid string",
    ],
    "model._target_=os.system": [
        "model._target_=os.system: allowed: a subclass of autoencoders.AutoEncoder",
    ],
    "model._target_=autoencoders.models.GAN": [
        "autoencoders.models.GAN: there is no such class; allowed: a subclass"
    ],
    "model._target_=autoencoders.models.AutoEncoder": [
        "allowed: a subclass of autoencoders.AutoEncoder"
    ],
    "network._target_=torch.nn.Linear": [
        "network._target_=torch.nn.Linear: allowed: a family as in autoencoders.networks",
    ],
    "dataset._target_=mine.Data": [
        "dataset._target_=mine.Data: there is no such class; allowed: a subclass of ",
    ],
    "dataset._target_=autoencoders.data.Examples": [
        "allowed: a subclass of autoencoders.DataModule"
    ],
    "+model._partial_=true": ["model._partial_=True: not a key that a run's config may have"],
    # an empty path means the current folder, as where a shell's variable is not set
    "resume=": ["resume=: is empty", "give a path, or leave it out"],
    "'resume=\" \"'": ["resume=: is empty"],
    "ckpt_path=": ["ckpt_path=: is empty"],
    "dataset=folder dataset.path=": ["dataset.path=: is empty"],
    "dataset=folder dataset.path=x dataset.test_path=": ["dataset.test_path=: is empty"],
    "dataset=mnist dataset.data_dir=": ["dataset.data_dir=: is empty"],
    "hydra.run.dir=": ["hydra.run.dir=: is empty"],
    "-m seed=1,2 hydra.sweep.dir=": ["hydra.sweep.dir=: is empty"],
    "-m sweep=search_wae hydra.sweep.dir=": ["hydra.sweep.dir=: is empty"],
    "-m seed=1,2 hydra.sweep.subdir=": ["hydra.sweep.subdir=: is empty"],
    "-m dataset=folder 'dataset.path=\"\",a'": ["dataset.path=: is empty"],
    # keys that nothing reads, beside those that another key refers to
    "+foo=1": ["foo: no such key; allowed: seed, monitor, "],
    "+lr=0.1": ["lr: no such key; did you mean optimizer.lr? allowed: seed, "],
    "+images.of=3": ["images: no such key; did you mean evaluation.images?"],
    "-m +foo=1,2": ["foo: no such key"],
    "-m sweep=search_wae +lr=0.1": ["lr: no such key; did you mean optimizer.lr?"],
    "+width=-1 'network.hidden_dim=${width}'": ["network.hidden_dim=-1: must be greater than 0"],
    "+a.b=-1 'network.hidden_dim=${a.b}'": ["network.hidden_dim=-1: must be greater than 0"],
    "+name=7 'hydra.run.dir=x${name}' seed=-1": ["seed=-1: must be greater than or equal to 0"],
    # a whole number is written as one, and a switch is true or false
    "trainer.max_epochs=1.0": ["trainer.max_epochs=1.0: must be a valid integer"],
    "trainer.max_epochs=true": ["trainer.max_epochs=True: must be a valid integer"],
    "trainer.devices=true": ["trainer.devices=True: must be a valid integer, a list"],
    "+trainer.accumulate_grad_batches=2.0": ["accumulate_grad_batches=2.0: must be a valid int"],
    "+trainer.limit_train_batches=true": ["limit_train_batches=True: must be a valid number"],
    "seed=true": ["seed=True: must be a valid integer"],
    "seed=1.0": ["seed=1.0: must be a valid integer"],
    "seed=\"'1'\"": ["seed=1: must be a valid integer"],
    "evaluate=no": ["evaluate=no: must be a valid boolean"],
    "model.latent_dim=8.0": ["model.latent_dim=8.0: must be a valid integer"],
    "optimizer.lr=true": ["optimizer.lr=True: must be a valid number"],
    "dataset.val_size=true": ["dataset.val_size=True: must be a valid integer"],
    "dataset=table dataset.path=x dataset.normalise=1": ["normalise=1: must be a valid boolean"],
    "network.hidden_dim=16.0": ["network.hidden_dim=16.0: must be a valid integer"],
    "evaluation.images=50.0": ["evaluation.images=50.0: must be a valid integer"],
    "evaluation.samplers.mixture.components=true": ["components=True: must be a valid integer"],
    r"model.latent_dim=\${oc.env:HOME}": ["model.latent_dim=", "may refer to other keys"],
}

Spoil = Callable[[Path], Any]


def nothing(folder):
    """All is as it should be, but for the command."""


def content(name: str, value: str | bytes) -> Spoil:
    """The file of that name has this content."""

    def spoil(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(value.encode() if isinstance(value, str) else value)

    return spoil


def unfinished(folder):
    """The run is not finished."""
    mark(folder / "run", finished=False)


def both(*spoils: Spoil) -> Spoil:
    return lambda folder: [spoil(folder) for spoil in spoils]


def numbers(text: str) -> Spoil:
    """The numbers of the run's evaluation are this."""

    def spoil(folder):
        files = json.loads((folder / "run/evaluation.json").read_text())["files"]
        (folder / "run" / files / "numbers.json").write_text(text)

    return spoil


def record(**changes: Any) -> Spoil:
    """The run's evaluation.json says otherwise."""

    def spoil(folder):
        file = folder / "run/evaluation.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return spoil


def without(*names: str) -> Spoil:
    """The files of those names are missing."""
    return lambda folder: [(folder / name).unlink() for name in names]


def cut(name: str, length: int) -> Spoil:
    """The file ends after so many bytes."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def changed(key: str, value: Any, file: str = CONFIG, finished: bool = True) -> Spoil:
    """The config of the run has another value."""

    def spoil(folder):
        config = OmegaConf.load(folder / file)
        OmegaConf.update(config, key, value, force_add=True)
        OmegaConf.save(config, folder / file)
        if not finished:
            unfinished(folder)

    return spoil


def lacking(key: str) -> Spoil:
    """The run is unfinished, and its last checkpoint has no such part."""

    def spoil(folder):
        unfinished(folder)
        checkpoint = torch.load(folder / LAST, weights_only=True)
        del checkpoint[key]
        torch.save(checkpoint, folder / LAST)

    return spoil


def images(file: str, damage: Callable[[bytes], bytes]) -> Spoil:
    """A small MNIST lies in data/, one file of it damaged."""

    def spoil(folder):
        write_data_set(folder / "data/MNIST/raw")
        path = folder / "data/MNIST/raw" / file
        path.write_bytes(damage(path.read_bytes()))

    return spoil


class Malicious:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def without_validation(folder):
    """A run of before version 0.2, which knows its split by its config alone."""
    changed("dataset.val_size", 0)(folder)
    (folder / "run/data.json").unlink()


def twice(folder):
    """A second run, evaluated with another seed."""
    shutil.copytree(folder / "run", folder / "other")
    content(
        "other/evaluation.json",
        (folder / "run/evaluation.json").read_text().replace('"seed": 0', '"seed": 7'),
    )(folder)


def linked_lock(folder):
    """A run whose lock leads to a file of the user's."""
    (folder / "mine").write_text("precious")
    (folder / "run/.lock").unlink(missing_ok=True)
    (folder / "run/.lock").symlink_to(folder / "mine")


OFFLINE = "HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
LAST, BEST = "run/checkpoints/last.ckpt", "run/checkpoints/best.ckpt"

# The command, with a finished run in run/; what is wrong there; what the line says.
COMMANDS: list[tuple[str, Spoil, list[str]]] = [
    # run folders
    ("train.py resume=run", nothing, ["resume=run: holds a finished run", "ckpt_path="]),
    (
        "train.py resume=run trainer.max_epochs=2",
        nothing,
        ["trainer.max_epochs=2: the run in run has 2 epochs; give more"],
    ),
    ("train.py resume=run optimizer.lr=1", unfinished, ["leave out optimizer.lr=1"]),
    (
        "train.py resume=run",
        both(unfinished, without(HYDRA)),
        ["resume=run: not a run to continue", "hydra.yaml"],
    ),
    (
        "train.py hydra.run.dir=run",
        nothing,
        ["hydra.run.dir=run: holds a finished run", "give another folder"],
    ),
    (
        "train.py hydra.run.dir=run",
        unfinished,
        ["holds an unfinished run; resume=run continues it"],
    ),
    ("train.py", content("outputs", "no folder"), ["outputs/digits/wae/", "Not a directory"]),
    ("train.py hydra.run.dir=run/metrics.json/x", nothing, ["run/metrics.json", "Not a directory"]),
    ("train.py hydra.run.dir=.", content("a", ""), ["hydra.run.dir=.: holds other files, "]),
    ("train.py hydra.run.dir=..", nothing, ["hydra.run.dir=..: holds other files, "]),
    ("train.py hydra.run.dir=a", content("a/b/c", ""), ["hydra.run.dir=a: holds other files, b "]),
    (
        "train.py -m seed=1,2 hydra.sweep.dir=.",
        content("a", ""),
        ["hydra.sweep.dir=.: holds other files, a ", "give a new or an empty folder"],
    ),
    *(
        (f"{command} {key}=", nothing, [f"{key}=: is empty"])
        for command, keys in (
            ("evaluate.py", ("run", "ckpt_path", "hydra.run.dir")),
            ("compare.py", ("runs", "multirun", "tags", "folder", "hydra.run.dir")),
        )
        for key in keys
    ),
    ("AUTOENCODERS_DATA= train.py", nothing, ["AUTOENCODERS_DATA=: is empty"]),
    ("AUTOENCODERS_DATA= evaluate.py run=run", nothing, ["AUTOENCODERS_DATA=: is empty"]),
    ("""compare.py 'runs=[run,""]'""", nothing, ["runs=: is empty"]),
    ("compare.py folder=.", nothing, ["folder=.: must name a new folder"]),
    (
        "evaluate.py run=run +images=50",
        nothing,
        ["images: no such key; did you mean evaluation.im"],
    ),
    ("evaluate.py run=run verbose=no", nothing, ["verbose=no: must be a valid boolean"]),
    ("evaluate.py run=run evaluation.seed=1.0", nothing, ["seed=1.0: must be a valid integer"]),
    ("compare.py +run=run", nothing, ["run: no such key; did you mean runs? allowed: runs, "]),
    *(
        (
            f"train.py {arguments}",
            nothing,
            [f"resume={value}: continues a single run", "type its command again"],
        )
        for arguments, value in (
            ("-m resume=nowhere", "nowhere"),
            ("--multirun resume=run seed=3", "run"),
            ("--multi resume=run", "run"),
            ("-m resume=a,b", "a"),
            ("-m sweep=search_wae resume=run", "run"),
            ("hydra.mode=MULTIRUN resume=run", "run"),
        )
    ),
    (
        "train.py -m seed=1,2 hydra.sweep.dir=run",
        nothing,
        ["hydra.sweep.dir=run: holds a single run"],
    ),
    *(
        (
            "train.py -m seed=1,2 hydra.sweep.dir=other",
            content("other/multirun.yaml", text),
            ["hydra.sweep.dir=other: holds another multirun, see other/multirun.yaml"],
        )
        for text in ("", "hydra: {overrides: 3}", "[", "hydra: {overrides: {task: [seed=1]}}")
    ),
    ("evaluate.py", nothing, ["give either run=, a finished run's folder"]),
    ("evaluate.py run=run ckpt_path=b", nothing, ["give either run="]),
    ("evaluate.py run=nowhere", nothing, ["run=nowhere: nowhere is not a run's folder"]),
    (
        "evaluate.py run=run",
        unfinished,
        ["holds no finished run", "resume=run finishes it"],
    ),
    (
        "evaluate.py run=run +evaluation.samplers.mine.of=3",
        nothing,
        ["evaluation.samplers.mine._target_: is missing"],
    ),
    ("evaluate.py run=run evaluation.neighbors=3", nothing, ["did you mean neighbours?"]),
    (
        "evaluate.py run=run evaluation.split=val",
        without_validation,
        ["evaluation.split=val: there is no validation set with dataset.val_size=0"],
    ),
    (
        "evaluate.py run=run evaluation.split=train",
        nothing,
        ["evaluation.split=train: must be 'test' or 'val'"],
    ),
    # files read back
    *(
        ("compare.py runs=[run]", numbers(text), [f"/numbers.json: {words}"])
        for text, words in (
            ("{", "damaged: Expecting property name"),
            ("[" * 100_000, "damaged: "),
            ("[1]", "expected a JSON object, found list; python evaluate.py run="),
            ('{"a": NaN}', "a=NaN: must be a finite number; python evaluate.py run="),
            ('{"a": 1e999}', "a=Infinity: must be a finite number"),
            ('{"a": null}', "a=null: must be a finite number"),
            ('{"a": [1]}', "a=[1]: must be a finite number"),
        )
    ),
    (
        "compare.py runs=[run]",
        content("run/evaluation.json", '{"dataset": "digits"}'),
        ["run/evaluation.json: does not say which weights it is of; python evaluate.py run="],
    ),
    (
        "compare.py runs=[run]",
        record(dataset=None),
        ["run/evaluation.json: damaged: dataset=None: must be a valid string"],
    ),
    (
        "train.py resume=run",
        lacking("optimizer_states"),
        [f"{LAST}: nothing to continue from: it has no optimizer_states; ckpt_path="],
    ),
    (
        "train.py resume=run",
        lacking("pytorch-lightning_version"),
        [f"{LAST}: nothing to continue from: it has no pytorch-lightning_version"],
    ),
    (
        "train.py resume=run",
        changed("model.latent_dim", 4, finished=False),
        [f"{LAST}: is of another model or shape", "choose model="],
    ),
    (
        "train.py resume=run",
        changed("trainer.max_epochs", 1, finished=False),
        ["trainer.max_epochs=1: ", f"{LAST} has been trained for 2 epochs; give at least 2"],
    ),
    ("compare.py runs=[nowhere]", nothing, ["nowhere: not a run's folder"]),
    (
        "compare.py runs=[run]",
        unfinished,
        ["run: not finished", "resume=run goes on"],
    ),
    (
        "compare.py runs=[run]",
        without("run/evaluation.json"),
        ["run: not evaluated", "evaluate.py run=run"],
    ),
    (
        "compare.py runs=[run]",
        content("run/evaluation.json", "[1]"),
        ["run/evaluation.json: expected a JSON object, found list"],
    ),
    (
        "compare.py runs=[run,other]",
        twice,
        ["runs of different evaluation settings (seed) do not compare"],
    ),
    (
        "compare.py runs=[run] points=3",
        nothing,
        ["points=3: must be a whole number of at least 10"],
    ),
    ("compare.py multirun=nowhere", nothing, ["multirun=nowhere: no finished run"]),
    (
        "compare.py dataset=mnist",
        nothing,
        ["dataset=mnist: no finished run in outputs/mnist; train one"],
    ),
    (
        "compare.py dataset=cifar",
        nothing,
        [f"dataset=cifar: no such choice; allowed: {DATA_SETS}"],
    ),
    # multiruns
    ("train.py -m model=ae,gan", nothing, ["model=gan: no such choice; allowed: ae, "]),
    ("train.py -m sweep=random", nothing, ["sweep=random: no such choice; allowed: grid, "]),
    ("train.py sweep=grid", nothing, ["sweep=grid: runs many jobs: python train.py -m sweep=grid"]),
    (
        "train.py -m seed=1,2 hydra/launcher=k8s",
        nothing,
        ["hydra/launcher=k8s: no such choice; allowed: basic, joblib"],
    ),
    (
        "train.py -m seed=1,2 hydra.launcher.n_jobs=2",
        nothing,
        ["hydra.launcher.n_jobs: no such key"],
    ),
    (
        "train.py -m seed=1,2 hydra.sweep.dir=run/metrics.json",
        nothing,
        ["run/metrics.json: File exists"],
    ),
    (
        "train.py -m sweep=search_wae hydra.sweeper.trials=0",
        nothing,
        ["hydra.sweeper.trials=0: must be greater than 0"],
    ),
    (
        "train.py -m sweep=search_wae hydra.sweeper.trials=many",
        nothing,
        ["hydra.sweeper.trials=many", "Integer"],
    ),
    (
        "train.py -m sweep=search_wae hydra.sweeper.workers=0",
        nothing,
        ["hydra.sweeper.workers=0: must be greater than 0"],
    ),
    (
        "train.py -m sweep=search_wae hydra.sweeper.space={optimizer.lr:{low:1,high:0}}",
        nothing,
        ["hydra.sweeper: space.optimizer.lr={low: 1, high: 0}: low must lie below high"],
    ),
    (
        "train.py -m sweep=search_wae +hydra.sweeper.space={model.depth:{low:1,high:2}}",
        nothing,
        ["model.depth: no such key"],
    ),
    (
        "train.py resume=run",
        content("run/multirun.yaml", ""),
        ["resume=run: holds a multirun", "typed again with hydra.sweep.dir=run"],
    ),
    (
        "train.py -m seed=1,2 hydra.sweep.subdir=same",
        nothing,
        ["hydra.sweep.subdir=same: jobs 0 and 1 would share that folder"],
    ),
    ("train.py -m seed=1,2 objective=foo", nothing, ["objective=foo: no such metric", "val/"]),
    ("train.py -m sweep=search_wae objective=foo", nothing, ["objective=foo: no such metric"]),
    ("train.py -m seed=1,-1", nothing, ["seed=-1: must be greater than or equal to 0"]),
    ("train.py -m seed=1,2 --cfg hydra", nothing, ["Only one of", "--multirun, --cfg"]),
    ("train.py -m --cfg job", nothing, ["Only one of", "--multirun, --cfg"]),
    # configs read back
    ("evaluate.py run=run", content(CONFIG, ""), ["run/.hydra/config.yaml: not a run's config"]),
    (
        "evaluate.py run=run",
        changed("model._target_", "os.system"),
        ["config.yaml: model._target_=os.system"],
    ),
    (
        "train.py resume=run",
        changed("trainer.callbacks.0._target_", "os.remove", finished=False),
        ["_target_=os.remove"],
    ),
    (
        "train.py resume=run",
        changed("trainer.default_root_dir", "/tmp", finished=False),
        ["trainer.default_root_dir=/tmp", "leave it out"],
    ),
    (
        "train.py resume=run",
        changed("trainer.max_epochs", -3, finished=False),
        ["trainer.max_epochs=-3: must be greater than 0"],
    ),
    (
        "compare.py runs=[run]",
        changed("model._target_", "os.system"),
        ["config.yaml: model._target_=os.system"],
    ),
    (
        "compare.py runs=[run]",
        content("run/.hydra/overrides.yaml", "&a [*a]"),
        ["run/.hydra/overrides.yaml: has an alias in line 1, as no run writes it"],
    ),
    (
        "train.py -m seed=1,2 hydra.sweep.dir=other",
        content("other/multirun.yaml", "a: &a [*a]"),
        ["other/multirun.yaml: has an alias in line 1, as no run writes it"],
    ),
    ("evaluate.py run=run", linked_lock, ["run/.lock: a link, which a lock is not; remove it"]),
    (
        "evaluate.py run=run",
        changed("model.depth", 3),
        ["model.depth=3", "Unexpected keyword argument"],
    ),
    (
        "evaluate.py run=run",
        changed("model.latent_dim", 4),
        ["last.ckpt: is of another model or shape", "choose model="],
    ),
    (
        "compare.py runs=[run]",
        changed("hydra.runtime.choices.dataset", "../x", HYDRA),
        ["'../x' is no data set's name"],
    ),
    # checkpoints
    ("evaluate.py run=run", cut(LAST, 1000), [f"{LAST}: not a checkpoint that can be read safely"]),
    (
        "evaluate.py run=run",
        content(LAST, ""),
        [f"{LAST}: not a checkpoint that can be read safely"],
    ),
    (
        "evaluate.py run=run",
        content(LAST, pickle.dumps(Malicious())),
        [f"{LAST}: ", "asks for code to be run"],
    ),
    (
        "evaluate.py run=run",
        lambda f: torch.save({"x": Malicious()}, f / LAST),
        [f"{LAST}: ", "asks for code to be run"],
    ),
    (
        "evaluate.py run=run",
        lambda f: torch.save({"x": 1}, f / LAST),
        [f"{LAST}: expected a checkpoint with a state_dict"],
    ),
    (
        "evaluate.py run=run",
        lambda f: torch.save({"state_dict": {"x": 1}}, f / LAST),
        [f"{LAST}: expected a checkpoint with a state_dict of tensors"],
    ),
    (
        "evaluate.py ckpt_path=run/checkpoints/...ckpt",
        lambda f: shutil.copy(f / LAST, f / "run/checkpoints/...ckpt"),
        ["...ckpt: not a run's checkpoint"],
    ),
    (f"evaluate.py ckpt_path={BEST}", without(BEST), [f"{BEST}: no such checkpoint"]),
    ("evaluate.py ckpt_path=run", nothing, ["ckpt_path=run: not a run's checkpoint"]),
    ("train.py ckpt_path=run", nothing, ["run: no such checkpoint"]),
    (
        f"train.py model=vae ckpt_path={LAST}",
        nothing,
        [f"{LAST}: is of another model or shape than this VAE"],
    ),
    (
        f"train.py ckpt_path={LAST}",
        nothing,
        ["is of another model or shape than this WAEGAN", "choose model=, network="],
    ),
    (
        f"train.py ckpt_path={CONFIG}",
        nothing,
        ["config.yaml: not a checkpoint that can be read safely"],
    ),
    (
        "train.py resume=run",
        lambda f: (cut(LAST, 1000)(f), unfinished(f)),
        [f"{LAST}: not a checkpoint that can be read safely"],
    ),
    # data files
    (
        "train.py dataset=mnist",
        images(TRAIN_IMAGES, lambda b: b[:1000]),
        [f"data/MNIST/raw/{TRAIN_IMAGES}: expected 75280 bytes, found 1000; delete the file"],
    ),
    (
        "train.py dataset=mnist",
        images(TRAIN_IMAGES, lambda b: b""),
        [f"{TRAIN_IMAGES}: expected an IDX file of bytes"],
    ),
    (
        "train.py dataset=mnist",
        images(TRAIN_IMAGES, lambda b: b"<html>" + b),
        [f"{TRAIN_IMAGES}: expected an IDX file of bytes"],
    ),
    (
        "train.py dataset=mnist",
        images(TRAIN_LABELS, lambda b: b[:4] + struct.pack(">I", 95) + b[8:-1]),
        ["expected 96 labels, found 95"],
    ),
    (
        "train.py dataset=mnist",
        images(TRAIN_LABELS, lambda b: b[:-1] + b"\x0a"),
        ["expected labels 0 to 9, found 10"],
    ),
    (
        "train.py dataset=mnist",
        lambda f: (
            images(TRAIN_LABELS, bytes)(f),
            write_idx(f / "data/MNIST/raw" / TRAIN_IMAGES, torch.zeros(96, 32, 32)),
        ),
        ["expected N x 28 x 28 pixels, found 96 x 32 x 32"],
    ),
    (
        "train.py dataset=mnist dataset.val_size=95",
        images(TRAIN_LABELS, bytes),
        ["dataset.val_size=95", "allowed: at most 94"],
    ),
    ("evaluate.py run=run dataset.batch_size=3", nothing, ["dataset: no such key"]),
    # environment variables
    (
        f"{OFFLINE} AUTOENCODERS_DATA=nowhere train.py dataset=mnist",
        nothing,
        ["MNIST: no data in nowhere/MNIST/raw and no download", "dataset=digits"],
    ),
    (
        f"{OFFLINE} AUTOENCODERS_DATA=run/metrics.json train.py dataset=mnist",
        nothing,
        ["run/metrics.json"],
    ),
    (
        "WORLD_SIZE=2 RANK=0 LOCAL_RANK=0 train.py",
        nothing,
        ["must agree on the run's folder: set hydra.run.dir="],
    ),
    ("WORLD_SIZE=two train.py", nothing, ["WORLD_SIZE=two: must be a whole number"]),
    ("RANK=first train.py", nothing, ["RANK=first: must be a whole number"]),
]


TABLE = [
    *((f"train.py {arguments}", nothing, parts) for arguments, parts in OVERRIDES.items()),
    *COMMANDS,
]


def answer(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command ends with; run in this process, since there are many."""
    words = shlex.split(command)
    while "=" in words[0]:
        variable, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", words)
    GlobalHydra.instance().clear()
    before = dict(os.environ)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    finally:  # a multirun that is continued tells its jobs
        os.environ.clear()
        os.environ.update(before)
    assert isinstance(ended.value.code, str)  # which Python prints, exiting with status 1
    return ended.value.code


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("command", "spoil", "parts"), TABLE, ids=[row[0] for row in TABLE])
def test_bad_input_gets_one_clear_line_and_leaves_nothing(
    command, spoil, parts, finished, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    if "run" in command.replace("evaluate.py", ""):
        shutil.copytree(finished, tmp_path / "run")
    spoil(tmp_path)
    if (tmp_path / "data").exists():
        monkeypatch.setenv("AUTOENCODERS_DATA", "data")
    before = files(tmp_path)
    capfd.readouterr()
    line = answer(command, monkeypatch)
    assert capfd.readouterr().err == ""  # the line is the only one
    assert line.startswith("error: ")
    assert "\n" not in line
    for part in parts:
        assert part in line
    assert files(tmp_path) == before
    print(f"| `{command}` | `{line}` |")


@pytest.mark.parametrize(
    "command",
    [
        "train.py resume=nowhere",
        "train.py model.latent_dim=0",
        "compare.py points=3",
        "evaluate.py run=nowhere",
    ],
)
def test_bad_input_ends_the_program(command, tmp_path):
    """The same in a process of its own."""
    script, argument = command.split()
    done = run_script(script, argument, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("argument", sorted(set(signature(Trainer.__init__).parameters) - {"self"}))
def test_any_argument_of_the_trainer_trains_or_gets_one_line(argument, tmp_path, no_figures):

    def try_out(override, folder):
        few = ("dataset.batch_size=128", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
        cfg = compose_train(*SHORT, *few, override)
        check_settings(cfg)
        train(cfg, folder)

    try:
        for value in ("x", "-1", "0", "0.001", "{a:3}", "[3]"):
            _, line = attempt(try_out, f"++trainer.{argument}={value}", tmp_path / value)
            if line:
                assert "\n" not in line
                # Of max_time and the like: training ended before there was anything to report.
                assert "trainer" in line or argument in line or "was not measured" in line
    finally:
        torch.use_deterministic_algorithms(False)
