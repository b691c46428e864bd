"""Inception v3, on whose features papers report the FID."""

import torch
from torch import Tensor, nn

from autoencoders.errors import InputError, how_to_install
from autoencoders.features.base import BATCH, Extractor, Features
from autoencoders.metrics.base import Quantity


class Inception(Extractor):
    """torch-fidelity's Inception v3.

    Its weights are downloaded at first use (`pip install -e '.[inception]'`).

    Args:
        network: uint8 images (N, 3, H, W) -> features (N, 2048), in place of the downloaded one.

    Raises:
        InputError: torch-fidelity or the weights cannot be had.
    """

    distance = Quantity("fid", "FID", "lower")
    fingerprint = "inception"

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network or _download()

    @torch.no_grad()
    def extract(self, values: Tensor) -> Features:
        colour = values.expand(-1, 3, -1, -1)  # grey images get three equal channels
        batches = [batch.to(self.home.device) for batch in colour.split(BATCH)]
        outputs = [self.network(batch).flatten(1) for batch in batches]
        return Features(torch.cat([features.double().cpu() for features in outputs]))


def _download() -> nn.Module:
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        return NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except (ModuleNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"evaluation.features=inception: {reason}; it needs"
            f" {how_to_install('inception')} and a"
            " network at first use; evaluation.features=cnn needs neither"
        ) from error
