"""The contract of a family of networks."""

from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.networks import Network
from autoencoders.testing.faults import call, listed, require, require_tensor

OUT_DIM, LATENT_DIM = 6, 3  # of the encoder's output and the decoder's input
SIZES = (1, 2, 5)  # of batches


def check_network(network: Network, shape: tuple[int, ...] = (1, 28, 28)) -> None:
    """Check a family of networks on examples of a shape.

    Encoder and decoder give the right shapes in float32, in full precision and under bfloat16
    autocast; in evaluation mode they take any number of examples, one among them, and treat each
    by itself; gradients reach all of their parameters.

    Args:
        network: the family.
        shape: of one example, (C, H, W), (C, T) or (features,), that the family takes.

    Raises:
        AssertionError: a sentence that names the fault.
    """
    name = type(network).__name__
    for part in ("encoder", "decoder"):
        require(hasattr(network, part), f"{name} has no method {part}")
    doubled = (2 * shape[0], *shape[1:])  # a cost with two numbers for each dimension
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = call(f"{name}.encoder", network.encoder, shape, OUT_DIM)
        decoder = call(f"{name}.decoder", network.decoder, LATENT_DIM, doubled)
        check_module(f"the encoder of {name}", encoder, shape, (OUT_DIM,))
        check_module(f"the decoder of {name}", decoder, (LATENT_DIM,), doubled)


def check_module(
    name: str, module: nn.Module, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> None:
    """Check one of the two: (B, *in_shape) -> (B, *out_shape)."""
    require(isinstance(module, nn.Module), f"{name} is no torch module")
    x = torch.rand(SIZES[-1], *in_shape)
    check_gradients(name, module, x, out_shape)
    with torch.autocast("cpu", torch.bfloat16):
        out = call(f"{name} under autocast", module, x)
        require_tensor(f"what {name} gives under autocast", out, (len(x), *out_shape))
    module.eval()
    batches = [call(f"{name} on a batch of {n}", module, x[:n]) for n in SIZES]
    for n, out in zip(SIZES, batches, strict=True):
        require_tensor(f"what {name} gives for a batch of {n}", out, (n, *out_shape))
        same = torch.allclose(out, batches[-1][:n], rtol=1e-5, atol=1e-5)
        require(
            same,
            f"{name} gives an example another result in a batch of {n} than in one of {len(x)}",
        )


def check_gradients(name: str, module: Any, x: Tensor, out_shape: tuple[int, ...]) -> None:
    """Check a pass in training mode, and that its gradients reach all parameters."""
    out = call(f"{name} in training", module.train(), x)
    require_tensor(f"what {name} gives in training", out, (len(x), *out_shape))
    require(out.requires_grad, f"no gradient comes out of {name}")
    out.square().sum().backward()
    trained = [(key, p) for key, p in module.named_parameters() if p.requires_grad]
    missed = [key for key, p in trained if p.grad is None or not p.grad.any()]
    require(not missed, f"gradients do not reach these parameters of {name}: {listed(missed)}")
