"""The plain auto-encoder."""

from torch import Tensor

from autoencoders.models.base import AutoEncoder, Losses, Pass


class AE(AutoEncoder):
    """Auto-encoder: minimise c(x, G(Q(x))).

    Nothing shapes its codes, so that draws from the prior need not decode to anything.
    """

    label = "AE"

    def losses(self, x: Tensor, out: Pass) -> Losses:
        reconstruction = self.reconstruction(x, out)
        return {"loss": reconstruction, "reconstruction": reconstruction}
