"""Measure a trained model: `python evaluate.py run=outputs/fmnist/wae/<time>`."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from autoencoders.commands import use_own_modules
from autoencoders.files import shown, writing_into
from autoencoders.launch.ending import end_on_ctrl_c, one_line_errors, one_line_in_job
from autoencoders.launch.evaluation import evaluation_of, evaluation_settings, to_evaluate
from autoencoders.launch.help import explain_keys
from autoencoders.launch.keys import check_command
from autoencoders.launch.overrides import quote_paths
from autoencoders.launch.settings import EvaluateKeys
from autoencoders.runs.build import make_loggers
from autoencoders.runs.evaluations import home_of
from autoencoders.runs.folder import load_config, lock
from autoencoders.runs.run import load_trained


def evaluate(cfg: DictConfig, run_folder: Path, checkpoint: str) -> dict[str, float]:
    """Test a finished run's model and measure it, as training does at its end.

    The last weights' evaluation becomes the run's current one; another checkpoint's goes into a
    folder of its name there, such as best/. What training measured is read from the checkpoint.

    Args:
        cfg: as composed from conf/evaluate.yaml.
        run_folder: the run's.
        checkpoint: `last`, `best`, or another in its checkpoints/.

    Returns:
        The metrics.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    import pytorch_lightning as pl

    from autoencoders import training
    from autoencoders.evaluation import check
    from autoencoders.evaluation.printed import print_advice, print_run
    from autoencoders.runs.finish import finish

    training.quiet_lightning()
    evaluation = evaluation_settings(cfg)
    run = load_trained(run_folder, checkpoint)
    run.allow_changed_data = cfg.allow_changed_data
    run.data.judge_on(evaluation[0].split)
    run.data.refuse_changes(evaluation[0].split)
    check(run.model, run.data, evaluation[0])
    trainer = pl.Trainer(
        accelerator="auto",
        precision=training.choose_precision(run.cfg.trainer.precision, "auto"),
        devices=1,
        logger=False,
        callbacks=[training.SeedEpochs(run.cfg.seed), training.ProgressBar()],
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    metrics = run.metrics | training.measure(trainer, run.model, run.data)
    model = run.model.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    home = home_of(run_folder, checkpoint)
    loggers = make_loggers(cfg.logger, home, run.cfg)
    file = training.read_checkpoint(run_folder / "checkpoints" / f"{checkpoint}.ckpt")
    history = training.training_history(file)
    metrics = finish(model, run.data, metrics, history, evaluation, loggers, run_folder, checkpoint)
    print_run(metrics, list(cfg.evaluation.samplers), home, run.data.judged_on, cfg.verbose)
    print_advice(model, metrics)
    return metrics


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    with one_line_in_job():
        check_command(cfg, EvaluateKeys)
        run_folder, checkpoint = to_evaluate(cfg)
        print(f"evaluating {checkpoint} of {shown(run_folder)}", flush=True)
        typed = HydraConfig.get().overrides.task
        with lock(run_folder), writing_into(run_folder):
            cfg.evaluation = evaluation_of(load_config(run_folder), cfg, typed)
            evaluate(cfg, run_folder, checkpoint)


if __name__ == "__main__":
    use_own_modules()
    explain_keys()
    quote_paths(sys.argv)
    with one_line_errors(), end_on_ctrl_c():
        main()
