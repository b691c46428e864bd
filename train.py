"""Train an auto-encoder: `python train.py model=wae dataset=fmnist`; `--help` shows the choices."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from autoencoders.commands import use_own_modules
from autoencoders.files import CONFIG, LAST, is_finished, shown, writing_into
from autoencoders.launch.config import check_settings
from autoencoders.launch.ending import one_line_errors, one_line_in_job
from autoencoders.launch.evaluation import evaluation_settings
from autoencoders.launch.execution import is_job, run_job
from autoencoders.launch.folders import resumed_config
from autoencoders.launch.help import explain_keys
from autoencoders.launch.interruptions import handle_interruptions
from autoencoders.launch.objective import objective_of
from autoencoders.launch.overrides import quote_paths
from autoencoders.launch.ranks import rank
from autoencoders.launch.record import record_config
from autoencoders.runs.build import build, make_loggers
from autoencoders.runs.extension import extend
from autoencoders.runs.trust import read_yaml


def train(
    cfg: DictConfig, folder: Path, resume: bool = False, extra_callbacks: Sequence[Any] = ()
) -> float:
    """Train, test and evaluate the model that `cfg` describes; leave the run in `folder`.

    Args:
        cfg: as composed from conf/train.yaml.
        folder: the run's.
        resume: continue from the folder's last checkpoint.
        extra_callbacks: Lightning callbacks beside those of every run.

    Returns:
        The metric `cfg.objective`, which a sweep looks for the best of.

    Raises:
        InputError: something in `cfg` cannot be used.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    import pytorch_lightning as pl
    import torch

    from autoencoders import training
    from autoencoders.data.manifest import SPLITS, Manifest
    from autoencoders.evaluation import check
    from autoencoders.evaluation.printed import print_advice, print_model, print_run
    from autoencoders.runs.finish import finish

    training.quiet_lightning()
    pl.seed_everything(cfg.seed, verbose=False)
    torch.backends.cudnn.deterministic = True  # a seed's numbers again on a GPU, at no cost there
    recorded = Manifest.load(folder) if resume else None
    data, model = build(cfg, recorded)
    data.prepare_data()
    data.setup()
    data.refuse_changes(*SPLITS)
    data.overfit_batches = cfg.trainer.get("overfit_batches", 0)
    evaluation = evaluation_settings(cfg) if cfg.evaluate else None
    data.judge_on(evaluation[0].split if evaluation else cfg.evaluation.split)
    if evaluation:  # better missed now than after hours of training
        check(model, data, evaluation[0], cfg.objective)
    epochs = go_on(cfg, folder, model, data) if resume else 0  # before anything is written
    if rank() == 0 and (recorded is None or data.take_new):
        data.manifest.save(folder)
    if cfg.ckpt_path and not resume:
        training.start_from(model, training.read_checkpoint(Path(cfg.ckpt_path)), data)

    record = training.RunRecord()
    trainer = make_trainer(cfg, folder, [record, *extra_callbacks], model.why_eager())
    for logger in trainer.loggers if resume else []:
        logger.resume(training.training_history(training.read_checkpoint(folder / LAST)), epochs)
    if trainer.is_global_zero and not is_job():
        print_model(model)
    trainer.fit(model, data, ckpt_path=folder / LAST if resume else None, weights_only=True)
    metrics = record.summary(record.epochs, model)
    metrics |= training.measure(trainer, model, data)
    if torch.distributed.is_initialized():  # a process may abort at its exit otherwise
        torch.distributed.destroy_process_group()
    if not trainer.is_global_zero:  # the first process alone evaluates
        return metrics.get(cfg.objective, math.nan)
    model.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    metrics = finish(
        model, data, metrics, record.history, evaluation, trainer.loggers, folder, quiet=is_job()
    )
    if not is_job():
        samplers = list(evaluation[1]) if evaluation else []
        print_run(metrics, samplers, folder, data.judged_on, cfg.get("verbose", False))
        print_advice(model, metrics)
    return objective_of(metrics, cfg)


def go_on(cfg: DictConfig, folder: Path, model: Any, data: Any) -> int:
    """Have the run in `folder` go on, perhaps for longer than its config says.

    Returns:
        After how many epochs.

    Raises:
        InputError: its last checkpoint is not one that this model goes on from.
    """
    from autoencoders import training

    last = training.read_checkpoint(folder / LAST)
    epochs = training.check_resumable(last, model, cfg.trainer.max_epochs, data)
    longer = cfg.trainer.max_epochs != read_yaml(folder / CONFIG).trainer.max_epochs
    if longer or is_finished(folder):
        training.refuse_extension(last, cfg.trainer.max_epochs)
    if rank() == 0:
        extend(folder, epochs, cfg.trainer.max_epochs)
    return epochs


def make_trainer(
    cfg: DictConfig, folder: Path, extra_callbacks: Sequence[Any], why_eager: str = ""
) -> Any:
    """Lightning's Trainer for a run that writes into `folder`.

    Args:
        why_eager: see `AutoEncoder.why_eager`.
    """
    from hydra.utils import instantiate

    from autoencoders import training

    of_every_run = training.callbacks(
        folder, cfg.seed, cfg.monitor, cfg.objective, cfg.trainer.get("enable_progress_bar", True)
    )
    of_this_one = [
        *(instantiate(choice) for choice in (cfg.get("callbacks") or {}).values()),
        *instantiate(cfg.trainer.get("callbacks") or [], _convert_="all"),
    ]
    return instantiate(
        cfg.trainer,
        precision=training.choose_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        strategy=training.choose_strategy(cfg.trainer, why_eager),
        logger=make_loggers(cfg.get("logger"), folder, cfg) or False,
        # Averaged weights are in place before anything of every run looks at them.
        callbacks=[*of_this_one, *of_every_run, *extra_callbacks],
        plugins=[training.AtomicCheckpointIO()],
        overfit_batches=0.0,  # the data module's: Lightning's would take its batches apart
        _convert_="all",
    )


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        return run_job(train, cfg, folder)
    with one_line_in_job():
        resumed = cfg.resume is not None
        if rank() == 0:  # at once: the imports that follow take seconds
            choices = HydraConfig.get().runtime.choices
            work = "going on" if resumed else f"training {choices['model']} on {choices['dataset']}"
            print(f"{work} in {shown(folder)}", flush=True)
        if resumed:
            cfg = resumed_config(cfg, folder)
        check_settings(cfg)
        # A run that was cut off before its first checkpoint starts again.
        resume = (folder / LAST).exists()
        if rank() == 0 and not resumed and not resume:
            record_config(cfg, folder)
        with writing_into(folder):
            return train(cfg, folder, resume)


if __name__ == "__main__":
    use_own_modules()
    explain_keys()
    quote_paths(sys.argv)
    with one_line_errors(), handle_interruptions():
        main()
