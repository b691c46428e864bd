"""Measure a trained model: `python evaluate.py run=outputs/fmnist/wae/<time>`."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from autoencoders.config import hyperparameters
from autoencoders.errors import end_on_ctrl_c, one_line_errors
from autoencoders.runs import (
    load_trained,
    lock,
    replace_together,
    to_evaluate,
    write_metrics,
    writing_into,
)


def evaluate(cfg: DictConfig, run_folder: Path, checkpoint: str) -> dict[str, float]:
    """Test a finished run's model and measure it, as training does at its end.

    The last weights' numbers go into the run's metrics.json, in place of what is there, damaged or
    not; another checkpoint's go into a folder of its name there, such as best/. What training
    measured is read from the checkpoint.

    Args:
        cfg: as composed from conf/evaluate.yaml.
        run_folder: the run's.
        checkpoint: `last`, `best`, or another in its checkpoints/.

    Returns:
        The metrics.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    import pytorch_lightning as pl

    from autoencoders import callbacks, exhibits, report
    from autoencoders.evaluation import Settings, evaluate_run
    from autoencoders.precision import choose_precision

    report.quiet_lightning()
    settings = Settings.of(cfg)
    run = load_trained(run_folder, checkpoint)
    folder = run_folder if checkpoint == "last" else run_folder / checkpoint
    logger = callbacks.EpochLogger(folder)
    trainer = pl.Trainer(
        accelerator="auto",
        precision=choose_precision(run.cfg.trainer.precision, "auto"),
        devices=1,
        logger=logger,
        callbacks=[callbacks.SeedEpochs(run.cfg.seed), callbacks.ProgressBar()],
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.test(run.model, run.data, verbose=False)
    tested = {name: float(value) for name, value in trainer.callback_metrics.items()}
    model = run.model.eval().to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    drawn = exhibits.of_model(model, run.data, run.epochs)
    with replace_together(folder) as new:
        exhibits.leave(drawn, new / "figures", logger.experiment, run.epochs - 1)
        measured = evaluate_run(model, run.data, settings, new, run.epochs, logger.experiment)
        metrics = report.finite({**run.metrics, **tested, **measured})
        logger.log_final(hyperparameters(run.cfg), metrics)
        write_metrics(new, metrics)
    report.print_run(metrics, folder)
    return metrics


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    run_folder, checkpoint = to_evaluate(cfg)
    with lock(run_folder), writing_into(run_folder):
        evaluate(cfg, run_folder, checkpoint)


if __name__ == "__main__":
    with one_line_errors(), end_on_ctrl_c():
        main()
