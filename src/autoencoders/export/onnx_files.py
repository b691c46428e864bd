"""Encoder and decoder as ONNX files, for programs without torch."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.data import Batch
from autoencoders.errors import how_to_install
from autoencoders.export.config import ModelConfig
from autoencoders.models import AutoEncoder

NEEDED = ("onnx", "onnxscript", "onnxruntime")
DECODED, CODES = 1e-5, 1e-4  # how far off decoded values, and codes relative to the largest, may be


class Encoder(nn.Module):
    """x (B, *shape), and labels (B,) for a model that needs them -> codes (B, latent_dim)."""

    def __init__(self, model: AutoEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.model.posterior(Batch(x, labels)).mean


class Decoder(nn.Module):
    """Codes (B, latent_dim), and labels (B,) for a model that needs them -> x_hat (B, *shape)."""

    def __init__(self, model: AutoEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.model.cost.mean(self.model.logits(z, Batch(z[:, :0], labels)))


def write_onnx(model: AutoEncoder, config: ModelConfig, folder: Path) -> list[str]:
    """Write encoder.onnx and decoder.onnx, for batches of any size, each with what new data are
    prepared by in its metadata.

    Returns:
        A line for what could not be written, and why.
    """
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        needs = f"need {', '.join(lacking)}: {how_to_install('onnx')}"
        return [f"encoder.onnx and decoder.onnx are left out: they {needs}"]
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, *model.shape, generator=generator)
    z = torch.randn(3, model.latent_dim, generator=generator)
    labels = (torch.arange(3) % max(model.classes, 1),) if model.conditional else ()
    left_out = []
    for name, part, given in (("encoder", Encoder(model), x), ("decoder", Decoder(model), z)):
        file = folder / f"{name}.onnx"
        try:
            _export(part.eval(), (given, *labels), file, config)
        except Exception as error:  # of a layer that has no form in ONNX, in many ways
            file.unlink(missing_ok=True)
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            left_out.append(f"{file.name} is left out: {reason}")
    return left_out


def _export(part: nn.Module, given: tuple[Tensor, ...], file: Path, config: ModelConfig) -> None:
    """Write a part, and hold its outputs against torch's.

    Raises:
        ValueError: they differ.
    """
    import onnx

    output = "codes" if isinstance(part, Encoder) else "x_hat"
    names = ["x" if output == "codes" else "z", *(["labels"] if len(given) > 1 else [])]
    batch = torch.export.Dim("batch")
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            part,
            given,
            file,
            input_names=names,
            output_names=[output],
            dynamic_shapes={name: {0: batch} for name in names},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    written = onnx.load(file)
    for key, value in _metadata(config).items():
        entry = written.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(written, file)
    _refuse_difference(part, given, file, CODES if output == "codes" else DECODED)


def _metadata(config: ModelConfig) -> dict[str, str]:
    """What a program must know of a model and of its data, as JSON by name."""
    known: dict[str, Any] = {"class": config.target, **config.data.model_dump(mode="json")}
    known |= {"shape": config.shape, "kind": config.kind, "bounded": config.arguments["bounded"]}
    if config.kind == "image" and known["bounded"]:
        known["values"] = "float32 in [0, 1]: bytes divided by 255"
    return {key: json.dumps(value, ensure_ascii=False) for key, value in known.items()}


def _refuse_difference(
    part: nn.Module, given: tuple[Tensor, ...], file: Path, allowed: float
) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for n in (1, len(given[0])):  # the number of examples is not written into it
        inputs = [value[:n] for value in given]
        names = [known.name for known in session.get_inputs()]
        known = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        with torch.no_grad():
            expected = part(*inputs)
        found = torch.from_numpy(session.run(None, known)[0])
        scale = expected.abs().max().item() if isinstance(part, Encoder) else 1.0
        if (difference := (found - expected).abs().max().item()) > allowed * scale:
            raise ValueError(f"its outputs differ by {difference:.2g} from torch's")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
