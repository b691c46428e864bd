"""An export's config.json: the class of a model, what it was made with, and what its data are."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from autoencoders.data import DataModule
from autoencoders.data.manifest import Manifest
from autoencoders.errors import InputError
from autoencoders.models import AutoEncoder
from autoencoders.models.description import plain

WEIGHTS, CARD = "model.safetensors", "README.md"  # beside config.json
OF_TRAINING = ("optimizer", "scheduler")  # how arguments end that a finished model needs no more


class DataConfig(BaseModel, extra="forbid"):
    """What a model's data are, and how new examples become what it takes.

    label, class_names, factor_names, covariate_names, feature_names, preprocessing: see
        `manifest.Description`.
    reader: how examples are read from files, see `DataModule.reader`.
    """

    label: str = ""
    class_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    covariate_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = {}
    reader: dict[str, Any] = {}

    @classmethod
    def of(cls, data: DataModule, manifest: Manifest | None) -> "DataConfig":
        """Of the data of a run; they need not be there.

        Args:
            data: made by the run's config.
            manifest: the run's; None of before version 0.2.
        """
        if manifest is None:
            return cls(label=data.label, reader=data.reader)
        known = dataclasses.asdict(manifest.description)
        described = {name: known[name] for name in cls.model_fields if name != "reader"}
        return cls(**described, reader=data.reader)


class ModelConfig(BaseModel):
    """What config.json says. Beside these keys it has each argument of the model's constructor
    under its own name, as `huggingface_hub.PyTorchModelHubMixin` has them.

    target: the model's class, `class` in the file.
    shape, kind, latent_dim: of the arguments those that others ask for.
    data: see there.
    samplers: by name, the class and the settings of each that was fitted on the codes.
    """

    model_config = ConfigDict(extra="allow")

    target: str = Field(alias="class")
    shape: tuple[PositiveInt, ...]
    kind: str
    latent_dim: PositiveInt
    data: DataConfig
    samplers: dict[str, dict[str, Any]] = {}

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the model's constructor."""
        own = {"shape": self.shape, "kind": self.kind, "latent_dim": self.latent_dim}
        return {**(self.model_extra or {}), **own}

    def text(self) -> str:
        """The file's content.

        Raises:
            InputError: an argument has no form in JSON.
        """
        try:
            content = self.model_dump(mode="json", by_alias=True)
            return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.target}: an argument cannot be exported: {reason}") from error


def config_of(
    model: AutoEncoder, data: DataConfig, samplers: Mapping[str, dict[str, Any]]
) -> ModelConfig:
    """The config of a trained model: all that its constructor took, apart from optimizers and
    schedules."""
    arguments = plain(dict(model.hparams))
    kept = {name: arg for name, arg in arguments.items() if not name.endswith(OF_TRAINING)}
    target = f"{type(model).__module__}.{type(model).__qualname__}"
    known = {"class": target, "data": data, "samplers": dict(samplers)}
    return ModelConfig.model_validate({**kept, **known})
