"""The metrics of a comparison, in the order of its table."""

from typing import Literal, NamedTuple


class Column(NamedTuple):
    """One metric.

    key: in metrics.json.
    section: that it belongs to.
    name: its heading.
    better: which values are; None where neither is.
    floor: the key of what a perfect model would reach by the same measure: real images in place of
        generated ones, or draws from the prior in place of codes.
    """

    key: str
    section: str
    name: str
    better: Literal["lower", "higher"] | None
    floor: str | None = None


MEASURES: tuple[tuple[str, str, Literal["lower", "higher"] | None], ...] = (
    ("fd_cnn", "FD-CNN", "lower"),
    ("fid", "FID", "lower"),
    ("kernel_distance", "kernel distance", "lower"),
    ("precision", "precision", "higher"),
    ("recall", "recall", "higher"),
    ("density", "density", "higher"),
    ("coverage", "coverage", "higher"),
)
SAMPLE_MEASURES = (
    *MEASURES,
    ("class_entropy", "class entropy", "higher"),
    ("rarest_class", "rarest class", "higher"),
    ("nearest_train", "nearest training image", None),
)


def floor_of(measure: str) -> str:
    """The key of what real images reach: training images, or, where nearness to those is measured,
    images that were held out."""
    return "held_out/nearest_train" if measure == "nearest_train" else f"floor/{measure}"


COLUMNS = (
    Column("test/mse", "Reconstruction", "MSE", "lower"),
    Column("test/bce", "Reconstruction", "BCE, nats", "lower"),
    *(
        Column(f"reconstruction/{key}", "Reconstruction", name, better, floor_of(key))
        for key, name, better in MEASURES
    ),
    *(
        Column(f"{sampler}/{key}", "Samples", f"{name}, {sampler}", better, floor_of(key))
        for key, name, better in SAMPLE_MEASURES
        for sampler in ("prior", "mixture")
    ),
    *(
        Column(f"latent/{key}", "Latent space", name, "lower", f"latent/{key}_floor")
        for key, name in (
            ("mmd", "MMD"),
            ("sliced_wasserstein", "sliced Wasserstein"),
            ("frechet", "Fréchet distance"),
        )
    ),
    Column("test/z_std", "Latent space", "std of codes", None),
    Column("test/active_units", "Latent space", "active units", None),
    Column("latent/knn_accuracy", "Latent space", "kNN accuracy", "higher"),
    Column("latent/probe_accuracy", "Latent space", "linear probe", "higher"),
    Column("parameters", "Training", "parameters", None),
    Column("epochs", "Training", "epochs", None),
    Column("train_seconds", "Training", "seconds", None),
    Column("images_per_second", "Training", "images/s", None),
    Column("evaluation_seconds", "Training", "evaluation, s", None),
)
