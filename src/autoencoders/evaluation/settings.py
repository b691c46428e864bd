"""What an evaluation depends on, checked before it begins."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, PositiveInt

from autoencoders.data import DataModule
from autoencoders.errors import InputError
from autoencoders.features import EXTRACTORS, load_extractor
from autoencoders.models import AutoEncoder

# What metrics are of, beside samplers; `floor` and `held_out` are sets of real examples.
FLOOR, HELD_OUT, RECONSTRUCTION = "floor", "held_out", "reconstruction"
TAKEN = (  # What metrics are of, beside samplers; `floor` and `held_out` are sets of real examples.
    FLOOR,
    HELD_OUT,
    RECONSTRUCTION,
    "latent",
    "train",
    "val",
    "test",
)


def _free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"no sampler may have one of the names {', '.join(TAKEN)}")
    return name


# What a sampler's metrics begin with.
SamplerName = Annotated[str, Field(pattern=r"^\w+$"), AfterValidator(_free)]


class Settings(BaseModel, extra="forbid"):
    """What an evaluation depends on; runs compare only where these agree.

    split: `test`, or `val` where something is chosen by the numbers, as in a search.
    images: how many examples of it, and as many generated and training ones, at most.
    features: what they are compared on: `cnn`, the classifier that ships for the data set, `pca`,
        `inception`, or `auto`: the classifier where one ships, else `pca`.
    neighbours: k of precision and recall, density and coverage.
    seed: of every draw.
    samplers: by name, the config of each.
    """

    split: Literal["test", "val"] = "test"
    images: Annotated[int, Field(ge=20)] = 10_000
    features: Literal["auto", "cnn", "pca", "inception"] = "auto"
    neighbours: PositiveInt = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    samplers: dict[SamplerName, dict[str, Any]] = {}


def check(model: AutoEncoder, data: DataModule, settings: Settings, objective: str = "") -> None:
    """Raise InputError where an evaluation could not begin, before training rather than after it.

    Args:
        objective: a metric that is to be measured.

    Raises:
        InputError: no such features of this data set, or an objective on other features.
    """
    if settings.features == "inception":
        if data.kind != "image" or data.shape[0] not in (1, 3):
            raise InputError(
                "evaluation.features=inception: takes grey or colour images; the data set's"
                f" examples are of the shape {data.shape}; set evaluation.features=pca"
            )
        if not data.bounded:
            raise InputError(
                "evaluation.features=inception: takes images in [0, 1]; set evaluation.features=pca"
            )
    distance = load_extractor(settings.features, data.extractor).distance
    of, _, key = objective.rpartition("/")
    others = {extractor.distance.key for extractor in EXTRACTORS} - {distance.key}
    if key in others and of not in ("train", "val", "test"):  # where training measures none
        raise InputError(
            f"objective={objective}: examples of this data set are compared on other features:"
            f" objective={of}/{distance.key}; or set evaluation.features="
        )
