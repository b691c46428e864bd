"""Our networks as Pythae takes them, for the benchmarks that hold the two side by side."""

from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor

from autoencoders.networks import Network


class PythaeEncoder(BaseEncoder):
    """x (B, *shape) -> means of codes, (B, latent_dim), and with two heads their log-variances."""

    def __init__(
        self, network: Network, shape: tuple[int, ...], latent_dim: int, heads: int
    ) -> None:
        super().__init__()
        self.network = network.encoder(shape, heads * latent_dim)
        self.latent_dim = latent_dim

    def forward(self, x: Tensor) -> ModelOutput:
        mean, *log_var = self.network(x).split(self.latent_dim, dim=1)
        return ModelOutput(embedding=mean, **({"log_covariance": log_var[0]} if log_var else {}))


class PythaeDecoder(BaseDecoder):
    """Codes (B, latent_dim) -> x_hat (B, *shape) in [0, 1]."""

    def __init__(self, network: Network, shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.network = network.decoder(latent_dim, shape)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z).sigmoid())
