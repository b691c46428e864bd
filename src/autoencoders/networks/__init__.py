"""Encoders, decoders and the latent discriminator: tensors in, tensors out; one family a file.

A family is a factory: `encoder(shape, out_dim)` and `decoder(latent_dim, shape)` make networks for
data of one shape. What leaves a network has the precision of what entered it, so that losses are
computed in full precision also where autocast computes the layers in bfloat16.
"""

from autoencoders.networks.base import Network, Size
from autoencoders.networks.discriminator import Discriminator
from autoencoders.networks.mlp import MLP
from autoencoders.networks.paper import Paper
from autoencoders.networks.strided import Strided
from autoencoders.networks.tutorial import Tutorial

__all__ = ["MLP", "Discriminator", "Network", "Paper", "Size", "Strided", "Tutorial"]
