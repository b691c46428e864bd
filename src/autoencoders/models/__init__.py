"""One LightningModule a file; `base` holds what they share."""

from autoencoders.models.ae import AE
from autoencoders.models.base import AutoEncoder, Output
from autoencoders.models.beta_tcvae import BetaTCVAE
from autoencoders.models.cvae import CVAE
from autoencoders.models.cwae import CWAE
from autoencoders.models.info_vae import InfoVAE
from autoencoders.models.rae import RAE
from autoencoders.models.swae import SWAE
from autoencoders.models.vae import VAE
from autoencoders.models.vamp import VampVAE
from autoencoders.models.wae import WAEGAN
from autoencoders.models.wae_mmd import WAEMMD

__all__ = [
    "AE",
    "CVAE",
    "CWAE",
    "RAE",
    "SWAE",
    "VAE",
    "WAEGAN",
    "WAEMMD",
    "AutoEncoder",
    "BetaTCVAE",
    "InfoVAE",
    "Output",
    "VampVAE",
]
