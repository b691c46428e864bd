"""Export a finished run's model: `python export.py run=outputs/fmnist/wae/<time>`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig, OmegaConf

from autoencoders.commands import use_own_modules
from autoencoders.files import FIGURES, OVERRIDES, RUN, read_state, shown, writing_into
from autoencoders.launch.ending import end_on_ctrl_c, one_line_errors, one_line_in_job
from autoencoders.launch.evaluation import to_evaluate
from autoencoders.launch.help import explain_keys
from autoencoders.launch.keys import check_command
from autoencoders.launch.overrides import quote_paths
from autoencoders.launch.settings import ExportKeys
from autoencoders.runs import evaluations
from autoencoders.runs.build import build_data
from autoencoders.runs.folder import lock
from autoencoders.runs.run import Run, load_trained

if TYPE_CHECKING:
    from autoencoders.export import DataConfig


def export(run_folder: Path, checkpoint: str, onnx: bool = True) -> Path:
    """Write a finished run's model into the folder export/ of the run, for others to load.

    Args:
        run_folder: the run's.
        checkpoint: `last`, `best`, or another in its checkpoints/.
        onnx: also encoder.onnx and decoder.onnx, if what writes them is installed.

    Returns:
        The export's folder.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    from autoencoders.data.manifest import Manifest
    from autoencoders.export import DataConfig, Export, config_of, write_export
    from autoencoders.terminal import console
    from autoencoders.training.digest import weights_digest

    run, manifest = load_trained(run_folder, checkpoint), Manifest.load(run_folder)
    stored = evaluations.current(run_folder, checkpoint, weights_digest(run.model.state_dict()))
    data = DataConfig.of(build_data(run.cfg, None, False), manifest)
    if manifest is None:
        print(
            f"{run_folder}: from before version 0.2, without a data.json: the names of classes and"
            " features and what was fitted on the data are left out"
        )
    settings = (stored.record.samplers or {}) if stored else {}
    files = {name: stored.samplers / f"{name}.safetensors" for name in settings} if stored else {}
    samplers = {name: file for name, file in files.items() if file.is_file()}
    if not samplers:
        given = f"run={run_folder}"
        if checkpoint != "last":
            given = f"ckpt_path={run_folder}/checkpoints/{checkpoint}.ckpt"
        print(f"no samplers to export: python evaluate.py {given} fits some")
    home = evaluations.home_of(run_folder, checkpoint)
    drawn = [home / FIGURES / f"{name}.png" for name in (stored.record.figures if stored else ())]
    figures = [file for file in drawn if file.is_file()]
    inventory = manifest.description.inventory if manifest else ""
    text = card_of(run, data, stored, inventory, figures)
    config = config_of(run.model, data, {name: settings[name] for name in samplers})
    folder = run_folder / "export"
    for line in write_export(Export(run.model, config, samplers, text, figures), folder, onnx):
        print(line)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        console().print(f"{file.stat().st_size / 1e6:8.2f} MB  {shown(file)}")
    return folder


def card_of(
    run: Run,
    data: "DataConfig",
    stored: evaluations.Stored | None,
    inventory: str,
    figures: list[Path],
) -> str:
    """The model card of a run.

    Args:
        data: what its data are; inventory: the line on what was read.
        stored: the evaluation of the weights, if there is one; figures: its own.
    """
    from autoencoders.export.card import Card

    state = read_state(run.folder) if (run.folder / RUN).is_file() else {}
    commit = {"commit": state["commit"]} if state.get("commit") else {}
    file = run.folder / OVERRIDES
    typed: Any = OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else []
    measured = {}
    if stored:
        measured = {
            "metrics": stored.metrics,
            "samplers": list(stored.record.samplers or {}),
            "split": stored.record.split,
            "images": stored.record.images,
        }
    return Card(
        model=run.model,
        dataset=data.label,
        inventory=inventory,
        class_names=data.class_names,
        checkpoint=run.checkpoint,
        epochs=run.epochs,
        command=shlex.join(["python", "train.py", *map(str, typed)]),
        seed=run.cfg.seed,
        versions={**state.get("versions", {}), **commit},
        figures=figures,
        **measured,
    ).text()


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
def main(cfg: DictConfig) -> None:
    with one_line_in_job():
        check_command(cfg, ExportKeys)
        run_folder, _ = to_evaluate(cfg)
        print(f"exporting {cfg.checkpoint} of {shown(run_folder)}", flush=True)
        with lock(run_folder), writing_into(run_folder):
            export(run_folder, cfg.checkpoint, cfg.onnx)


if __name__ == "__main__":
    use_own_modules()
    explain_keys()
    quote_paths(sys.argv)
    with one_line_errors(), end_on_ctrl_c():
        main()
