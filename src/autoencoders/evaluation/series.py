"""What is shown of one model of series."""

import torch
from matplotlib.figure import Figure

from autoencoders.data import DataModule
from autoencoders.evaluation.evaluate import Evaluation
from autoencoders.evaluation.vectors import embeddings
from autoencoders.figures.series import series_rows
from autoencoders.models import AutoEncoder

ROW = 6  # series in a row


def reconstructions(model: AutoEncoder, data: DataModule, note: str) -> Figure:
    batch = data.held_out.batch(ROW, model.device)
    rows = [
        (f"{data.held_out_name}\nseries", batch.x),
        (model.label, model.reconstruct(batch.x, **batch.given)),
    ]
    return series_rows(rows, f"{model.label} on {data.label}: reconstructions", note)


def generated_series(
    model: AutoEncoder, data: DataModule, evaluation: Evaluation, note: str
) -> Figure:
    """Real series above a row of samples for each sampler."""
    drawn = [(name, values[:ROW]) for name, values in evaluation.generated.items()]
    rows = [("real", evaluation.real.x(ROW)), *drawn]
    n = min(len(series) for _, series in rows)
    title = f"{model.label} on {data.label}: decoded draws from each sampler"
    return series_rows([(label, torch.as_tensor(s)[:n]) for label, s in rows], title, note)


EXHIBITS = (reconstructions, embeddings)
