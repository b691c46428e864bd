"""The plain auto-encoder."""

from autoencoders.data import Batch
from autoencoders.models.base import AutoEncoder, Losses, Output


class AE(AutoEncoder):
    """Auto-encoder: minimise c(x, G(Q(x))).

    Nothing shapes its codes, so that draws from the prior need not decode to anything.
    """

    label = "AE"

    def losses(self, batch: Batch, out: Output) -> Losses:
        reconstruction = self.reconstruction(batch, out)
        return {"loss": reconstruction, "reconstruction": reconstruction}
