"""The tutorial's training loop, written plainly: what the benchmarks measure against.

Full precision, torchvision's data set with a transform an image, and three encodings a WAE-GAN
step, as the published tutorial does it. Networks, sizes and optimizers are this project's, so that
only the loop differs.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import VisionDataset
from torchvision.transforms import ToTensor

from autoencoders.data import Batch
from autoencoders.models import AE, VAE, WAEGAN

Step = Callable[[Tensor], None]


class FromMemory(VisionDataset):
    """torchvision's MNIST without its files: a PIL image an index, given to the transform.

    Args:
        images: uint8, (N, 1, 28, 28).
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__(root="", transform=ToTensor())
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index, 0].numpy())), 0


def batches(images: Tensor, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of pixels in [0, 1], epoch after epoch."""
    loader = DataLoader(FromMemory(images), batch_size, shuffle=True, drop_last=True)
    while True:
        for x, *_ in loader:
            yield x.to(device)


def ae_step(model: AE) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)

    def step(x: Tensor) -> None:
        loss = F.mse_loss(model.decoder(model.encoder(x)).sigmoid(), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def vae_step(model: VAE) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)

    def step(x: Tensor) -> None:
        posterior = model.posterior(Batch(x))
        mean, log_var = posterior.mean, posterior.log_var
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        x_hat = model.decoder(z).sigmoid()
        reconstruction = F.binary_cross_entropy(x_hat, x, reduction="sum")
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()
        optimizer.zero_grad()
        (reconstruction + kl).backward()
        optimizer.step()

    return step


def wae_step(model: WAEGAN) -> Step:
    encoder, decoder, discriminator = model.encoder, model.decoder, model.discriminator
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-4)
        for network in (encoder, decoder, discriminator)
    ]
    weight = 0.01

    def step(x: Tensor) -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        z = torch.randn(len(x), model.latent_dim, device=x.device)
        real = discriminator(z).sigmoid()
        fake = discriminator(encoder(x)).sigmoid()
        (-weight * (real.log().mean() + (1 - fake).log().mean())).backward()
        optimizers[2].step()

        for optimizer in optimizers:
            optimizer.zero_grad()
        reconstruction = F.binary_cross_entropy(decoder(encoder(x)).sigmoid(), x)
        penalty = -discriminator(encoder(x)).sigmoid().log().mean()
        (reconstruction + weight * penalty).backward()
        optimizers[0].step()
        optimizers[1].step()

    return step


STEPS = {"ae": (AE, ae_step), "vae": (VAE, vae_step), "wae": (WAEGAN, wae_step)}
