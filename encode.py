"""Encode new data with a trained model: `python encode.py run=<run or export> input=photos`."""

import re
import sys
import tempfile
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from autoencoders.commands import use_own_modules
from autoencoders.errors import InputError
from autoencoders.files import EXPORT_CONFIG, shown
from autoencoders.launch.ending import end_on_ctrl_c, one_line_errors, one_line_in_job
from autoencoders.launch.evaluation import to_evaluate
from autoencoders.launch.help import explain_keys
from autoencoders.launch.keys import check_command
from autoencoders.launch.overrides import quote_paths
from autoencoders.launch.settings import EncodeKeys
from autoencoders.runs.build import build_data
from autoencoders.runs.run import load_trained

SUFFIXES = (".npz", ".csv", ".h5ad")


def encode(cfg: DictConfig, output: Path) -> None:
    """Write the codes of new data, and what belongs to them, into `output`.

    Args:
        cfg: as composed from conf/encode.yaml.
    """
    # Here and not above: torch takes seconds to import, which `--help` need not wait for.
    import torch

    from autoencoders.data.manifest import Manifest
    from autoencoders.data.new import Preparation, read_new
    from autoencoders.export import DataConfig, load_export, read_config
    from autoencoders.export.encoding import auroc, encode, number_labels, write_encoded
    from autoencoders.terminal import console

    run, source = Path(str(cfg.run)), Path(str(cfg.input))
    if (run / EXPORT_CONFIG).is_file():
        model, data = load_export(run), read_config(run).data
    else:
        trained = load_trained(run, cfg.checkpoint)
        model = trained.model
        data = DataConfig.of(build_data(trained.cfg, None, False), Manifest.load(run))
    if data.covariate_names:
        names = ", ".join(data.covariate_names)
        raise InputError(f"run={run}: its model takes covariates, {names}: use model.embed")
    anomalies = [cfg.anomalies] if isinstance(cfg.anomalies, str) else list(cfg.anomalies or [])
    asked = model.conditional or bool(anomalies)
    labels = cfg.labels or (data.reader.get("labels") if asked else None)
    changes = {**(OmegaConf.to_container(cfg.dataset) or {})}  # type: ignore[dict-item]
    if "labels" in data.reader or cfg.labels:
        changes["labels"] = labels
    prepared = Preparation(model.shape, model.kind, model.bounded, data.preprocessing, data.reader)
    with tempfile.TemporaryDirectory() as place:
        new = read_new(source, prepared, changes, Path(place))
        for remark in new.remarks:
            print(f"{shown(source)}: {remark}")
        if model.conditional:
            if new.classes is None:
                raise InputError(
                    f"input={source}: {model.label} needs the class of each example; give labels="
                )
            new.examples.labels = number_labels(new.classes, data.class_names)
            if unknown := int((new.examples.labels < 0).sum()):
                print(f"{shown(source)}: {unknown:,} are of no class that the model knows")
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        encoded = encode(model, new.examples, cfg.batch_size, cfg.reconstructions)
        score = auroc(new, encoded.errors, anomalies) if anomalies else None
        write_encoded(output, encoded, new, model, source)
    n, dims = encoded.codes.shape
    console().print(f"{n:,} codes of {dims} dimensions: {shown(output)}")
    console().print(f"mean squared error {encoded.errors.mean():.4g}")
    if score is not None:
        console().print(f"AUROC of the error, {', '.join(anomalies)}: {score:.4g}")


def output_of(cfg: DictConfig) -> Path:
    """Where codes go.

    Raises:
        InputError: a kind of file that none are written as, or something is there.
    """
    source = Path(str(cfg.input))
    suffix = ".h5ad" if source.suffix.lower() == ".h5ad" else ".npz"
    default = f"{source.resolve().name.partition('.')[0] or 'input'}-codes{suffix}"
    output = Path(str(cfg.output or default))
    if output.suffix not in SUFFIXES:
        raise InputError(f"output={output}: allowed: a file that ends in {', '.join(SUFFIXES)}")
    if output.exists():
        raise InputError(f"output={output}: is there already; move it away, or choose another")
    return output


@hydra.main(version_base="1.3", config_path="conf", config_name="encode")
def main(cfg: DictConfig) -> None:
    with one_line_in_job():
        check_command(cfg, EncodeKeys)
        run, source, output = Path(str(cfg.run)), Path(str(cfg.input)), output_of(cfg)
        if not (run / EXPORT_CONFIG).is_file():
            to_evaluate(cfg)
        if not source.exists():
            raise InputError(f"input={source}: no such file, and no such folder")
        print(f"encoding {shown(source)} with {shown(run)}", flush=True)
        try:
            encode(cfg, output)
        except InputError as error:  # which names the keys of a training's data
            line = str(error).replace("dataset.path=", "input=")
            raise InputError(re.sub(r"\bdataset\.(?=\w+=)", "+dataset.", line)) from error


if __name__ == "__main__":
    use_own_modules()
    explain_keys()
    quote_paths(sys.argv)
    with one_line_errors(), end_on_ctrl_c():
        main()
