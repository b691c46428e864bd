"""Train an auto-encoder: `python train.py model=wae dataset=fmnist`; `--help` shows the choices."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from autoencoders.config import check_settings, hyperparameters, objective_of
from autoencoders.errors import one_line_errors
from autoencoders.run_folder import handle_interruptions, rank
from autoencoders.runs import LAST, load_config, record_config, write_metrics, writing_into
from autoencoders.sweeps import run_job


def train(
    cfg: DictConfig, folder: Path, resume: bool = False, extra_callbacks: Sequence[Any] = ()
) -> float:
    """Train and test the model that `cfg` describes; leave the run in `folder`.

    Args:
        cfg: as composed from conf/train.yaml.
        folder: the run's.
        resume: continue from the folder's last checkpoint.
        extra_callbacks: Lightning callbacks beside those of every run.

    Returns:
        The metric `cfg.objective`, which a sweep minimises.

    Raises:
        InputError: something in `cfg` cannot be used.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    import pytorch_lightning as pl
    import torch
    from hydra.utils import instantiate

    from autoencoders import callbacks, report
    from autoencoders.checkpoints import AtomicCheckpointIO, check_resumable, load_weights
    from autoencoders.cuda_graph import choose_strategy
    from autoencoders.evaluation import Settings, choose_extractor, evaluate_run
    from autoencoders.precision import choose_precision

    report.quiet_lightning()
    pl.seed_everything(cfg.seed, verbose=False)
    torch.backends.cudnn.deterministic = True  # a seed's numbers again on a GPU, at no cost there
    data = instantiate(cfg.dataset, _convert_="all")
    size = {"channels": data.channels, "image_size": data.image_size}
    model = instantiate(cfg.model, **size, _convert_="all")
    settings = Settings.of(cfg)
    if cfg.evaluate:
        choose_extractor(data, settings)  # better missed now than after hours of training
    if resume:
        check_resumable(folder / LAST, model, cfg.trainer.max_epochs)  # before anything is written
    elif cfg.ckpt_path:
        load_weights(model, Path(cfg.ckpt_path))

    record = callbacks.RunRecord()
    further = instantiate(cfg.trainer.get("callbacks") or [], _convert_="all")
    trainer = instantiate(
        cfg.trainer,
        precision=choose_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        strategy=choose_strategy(cfg.trainer),
        logger=callbacks.EpochLogger(folder),
        callbacks=[*callbacks.for_run(cfg, folder), record, *extra_callbacks, *further],
        plugins=[AtomicCheckpointIO()],
        _convert_="all",
    )
    if trainer.is_global_zero:
        report.print_model(model)
    trainer.fit(model, data, ckpt_path=folder / LAST if resume else None, weights_only=True)
    trainer.test(model, data, verbose=False)

    metrics = record.summary(trainer.current_epoch, model)
    if trainer.is_global_zero:
        if cfg.evaluate:
            model.eval().to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
            board = trainer.logger.experiment
            metrics |= evaluate_run(model, data, settings, folder, trainer.current_epoch, board)
        finite = report.finite(metrics)
        trainer.logger.log_final(hyperparameters(cfg), finite)
        write_metrics(folder, finite)
        report.print_run(finite, folder)
    if torch.distributed.is_initialized():  # a process may abort at its exit otherwise
        torch.distributed.destroy_process_group()
    if not trainer.is_global_zero:  # the others have not evaluated
        return metrics.get(cfg.objective, math.nan)
    return objective_of(metrics, cfg)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        return run_job(train, cfg, folder)
    resumed = cfg.resume is not None
    if resumed:
        cfg = load_config(folder)
    check_settings(cfg)
    # A run that was cut off before its first checkpoint starts again.
    resume = (folder / LAST).exists()
    if rank() == 0 and not resumed and not resume:
        record_config(cfg, folder)
    with writing_into(folder):
        return train(cfg, folder, resume)


if __name__ == "__main__":
    with one_line_errors(), handle_interruptions():
        main()
