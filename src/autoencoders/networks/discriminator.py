"""The latent discriminator of WAE-GAN."""

import itertools

from torch import Tensor, nn


class Discriminator(nn.Module):
    """Tells codes drawn from the prior from encoded data: four hidden layers, one logit.

    z (B, latent_dim) -> logits (B,), positive where "from the prior" is likelier.
    """

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        super().__init__()
        sizes = [latent_dim, *[hidden_dim] * 4]
        hidden = [
            layer
            for n_in, n_out in itertools.pairwise(sizes)
            for layer in (nn.Linear(n_in, n_out), nn.ReLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(hidden_dim, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).flatten().to(z.dtype)
