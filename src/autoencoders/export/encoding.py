"""A trained model on new data: codes, errors, reconstructions, and the files that they go into."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor

from autoencoders.data import Batch, Examples
from autoencoders.data.new import NewExamples
from autoencoders.errors import InputError, how_to_install
from autoencoders.files import open_whole, write_whole
from autoencoders.models import AutoEncoder
from autoencoders.terminal import console


@dataclass(frozen=True)
class Encoded:
    """What a model makes of n examples.

    codes: (n, latent_dim), the posteriors' means.
    errors: (n,), the mean squared error of each reconstruction over an example's dimensions.
    reconstructions: (n, *shape), as the model gives them; None if they were not asked for.
    """

    codes: np.ndarray
    errors: np.ndarray
    reconstructions: np.ndarray | None


def encode(
    model: AutoEncoder, examples: Examples, batch_size: int, reconstructions: bool = False
) -> Encoded:
    """Encode and reconstruct examples in batches, with a progress bar."""
    codes, errors, decoded = [], [], []
    for batch in _batches(model, examples, batch_size):
        z = model.encode(batch.x, **batch.given)
        x_hat = model.decode(z, **batch.given)
        codes.append(z.cpu().numpy())
        errors.append((batch.x - x_hat).square().flatten(1).mean(1).cpu().numpy())
        if reconstructions:
            decoded.append(x_hat.cpu().numpy())
    together = np.concatenate(decoded) if reconstructions else None
    return Encoded(np.concatenate(codes), np.concatenate(errors), together)


def _batches(model: AutoEncoder, examples: Examples, size: int) -> Iterator[Batch]:
    batches = examples.batches(size, model.device)
    steps, quiet = -(-len(examples) // size), not console().is_terminal
    yield from track(batches, "encoding", steps, transient=True, disable=quiet)


def number_labels(classes: np.ndarray, class_names: tuple[str, ...]) -> Tensor:
    """The index of each class among those that a model knows, int64, (n,); -1 for any other."""
    index = {name: number for number, name in enumerate(class_names)}
    return torch.tensor([index.get(name, -1) for name in classes])


def auroc(new: NewExamples, errors: np.ndarray, anomalies: list[str]) -> float:
    """How well the errors tell the examples of some classes from the others: the area under the
    receiver operating characteristic, 1 if all of theirs are larger, 0.5 by chance.

    Examples without a class are left out.

    Raises:
        InputError: nothing says which examples are of which class, or all or none are of these.
    """
    from sklearn.metrics import roc_auc_score  # takes a second: only who needs it pays

    found = ", ".join(anomalies)
    if new.classes is None:
        raise InputError(
            f"anomalies={found}: nothing says which these are; give labels=, the column that names"
            " the classes, or put images into a folder for each class"
        )
    known = new.classes != ""
    is_anomaly = np.isin(new.classes[known].astype(str), anomalies)
    if not 0 < is_anomaly.sum() < len(is_anomaly):
        names = ", ".join(sorted({*new.classes[known].astype(str)}))
        raise InputError(
            f"anomalies={found}: {is_anomaly.sum()} of {len(is_anomaly)} examples are of these;"
            f" some must be, and some not; allowed: {names}"
        )
    return float(roc_auc_score(is_anomaly, errors[known]))


def key_of(model: AutoEncoder) -> str:
    """Where scanpy looks for codes in `obsm`: X_vae, X_wae_gan, ..."""
    ascii_label = model.label.replace("β", "beta").lower()
    return "X_" + "".join(char if char.isalnum() else "_" for char in ascii_label)


def write_encoded(
    file: Path, encoded: Encoded, new: NewExamples, model: AutoEncoder, source: Path
) -> None:
    """Write codes, names, errors and, if there are any, classes and reconstructions, into a file
    whose suffix says how: .npz, .csv or .h5ad.

    Args:
        source: of the examples; an .h5ad file comes along in another.

    Raises:
        InputError: it cannot be written, or cannot hold all of it.
    """
    if file.suffix == ".npz":
        known: dict[str, Any] = {"codes": encoded.codes, "errors": encoded.errors}
        known["names"] = new.names.astype(str)
        if new.classes is not None:
            known["classes"] = new.classes.astype(str)
        if encoded.reconstructions is not None:
            known["reconstructions"] = encoded.reconstructions
        with open_whole(file) as out:
            np.savez_compressed(out, **known)
    elif file.suffix == ".csv":
        write_whole(file, _frame(encoded, new).to_csv(index=False))
    else:
        _write_h5ad(file, encoded, new, key_of(model), source)


def _frame(encoded: Encoded, new: NewExamples) -> pd.DataFrame:
    """A row for each example."""
    columns: dict[str, Any] = {"name": new.names, "error": encoded.errors}
    if new.classes is not None:
        columns["class"] = new.classes
    codes = pd.DataFrame(encoded.codes).add_prefix("z")
    parts = [pd.DataFrame(columns), codes]
    if encoded.reconstructions is not None:
        flat = encoded.reconstructions.reshape(len(codes), -1)
        parts.append(pd.DataFrame(flat).add_prefix("x_hat"))
    return pd.concat(parts, axis=1)


def _write_h5ad(file: Path, encoded: Encoded, new: NewExamples, key: str, source: Path) -> None:
    """Codes in `obsm`, errors in `obs`; NaN for rows that were left out."""
    try:
        import anndata
    except ModuleNotFoundError as error:
        needs = how_to_install("expression")
        raise InputError(f"output={file}: needs anndata: {needs}") from error
    if source.suffix.lower() == ".h5ad":
        with warnings.catch_warnings():  # of files that older versions have written
            warnings.simplefilter("ignore")
            table, rows = anndata.read_h5ad(source), new.rows
        if len(table) != new.total:
            raise InputError(
                f"output={file}: {source} has its examples in columns; choose .npz or .csv"
            )
    else:
        table, rows = anndata.AnnData(obs=pd.DataFrame(index=new.names)), np.arange(len(new.names))
    parts = {key: encoded.codes}
    if encoded.reconstructions is not None:
        parts[f"{key}_reconstructions"] = encoded.reconstructions.reshape(len(rows), -1)
    for name, values in parts.items():
        filled = np.full((len(table), values.shape[1]), np.nan, np.float32)
        filled[rows] = values
        table.obsm[name] = filled
    errors = np.full(len(table), np.nan, np.float32)
    errors[rows] = encoded.errors
    table.obs[f"{key.removeprefix('X_')}_error"] = errors
    partial = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        table.write_h5ad(partial)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
