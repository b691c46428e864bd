"""What a run's numbers suggest to change."""

from collections.abc import Mapping

from autoencoders.models import AutoEncoder

# MMD² above its floor. Kept runs of models with such a weight have 0.07 at most on MNIST and
# FashionMNIST, auto-encoders without one 0.12 to 3 (`latent/mmd` in results/*/*/metrics.json).
FAR = 0.15


def far_from_prior(model: AutoEncoder, metrics: Mapping[str, float]) -> str:
    """A line that names the weight to raise where the codes of a model that has one are far from
    the prior; empty where they are near, or nothing was measured."""
    mmd, floor = metrics.get("latent/mmd"), metrics.get("latent/mmd_floor", 0.0)
    if not model.prior_weight or mmd is None or mmd - max(floor, 0.0) < FAR:
        return ""
    kl = metrics.get("latent/kl")
    bound = "" if kl is None else f", KL divergence at least {kl:.3g} nats"
    weight = model.hparams[model.prior_weight]
    return (
        f"the codes are far from the prior (MMD {mmd:.3g}, draws from the prior"
        f" {floor:.3g}{bound}), so that samples from it are poor: raise"
        f" model.{model.prior_weight}, now {weight:g}"
    )
