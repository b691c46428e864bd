"""The keys of the scripts, and what they may hold where no constructor checks it.

A whole number is written as one: 1.0, true and '1' are none. A switch is true or false.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

Beta = Annotated[float, Field(ge=0, lt=1)]


def _refuse_zero(value: Any) -> Any:
    if value == 0:
        raise ValueError("must not be 0")
    return value


def _refuse_no_share(value: Any) -> Any:
    """Raise ValueError unless it is a number of batches, or a share of all as a float."""
    is_number = type(value) is int and value >= 0
    is_share = type(value) is float and 0 <= value <= 1
    if not (is_number or is_share):
        raise ValueError("must be a number of batches, such as 1, or a share of all, such as 0.1")
    return value


def _refuse_fraction(value: Any) -> Any:
    """Lightning takes a number, a list of numbers or their text for devices."""
    if isinstance(value, bool | float):
        raise ValueError("must be a valid integer, a list of them or auto")
    return value


def _refuse_unnamed(value: Any) -> Any:
    if Path(str(value)).name in ("", ".."):  # such as . and /
        raise ValueError("must name a new folder")
    return value


class Group(BaseModel, strict=True):
    target: str = Field(alias="_target_")


class TrainerSettings(Group):
    """Those of the Trainer's arguments that Lightning does not check before it computes with
    them."""

    devices: Annotated[Any, AfterValidator(_refuse_fraction)] = "auto"
    num_nodes: PositiveInt = 1
    max_epochs: PositiveInt
    min_epochs: NonNegativeInt | None = None
    max_steps: Annotated[int, Field(ge=-1), AfterValidator(_refuse_zero)] = -1
    min_steps: NonNegativeInt | None = None
    limit_train_batches: Annotated[float, Field(gt=0)] | None = None
    limit_val_batches: NonNegativeFloat | None = None
    limit_test_batches: Annotated[float, Field(gt=0)] | None = None
    limit_predict_batches: NonNegativeFloat | None = None
    num_sanity_val_steps: Annotated[int, Field(ge=-1)] | None = None
    check_val_every_n_epoch: PositiveInt | None = None
    overfit_batches: Annotated[Any, AfterValidator(_refuse_no_share)] = 0
    log_every_n_steps: NonNegativeInt | None = None
    reload_dataloaders_every_n_epochs: NonNegativeInt = 0
    accumulate_grad_batches: PositiveInt = 1
    gradient_clip_val: NonNegativeFloat | None = None
    detect_anomaly: bool = False
    profiler: str | None = None
    callbacks: list[Group] | None = None


class OptimizerSettings(Group, extra="allow"):
    """Those of an optimizer's arguments that torch does not check before it computes with them."""

    lr: Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
    betas: Annotated[list[Beta], Field(min_length=2, max_length=2)] = [0.9, 0.999]


class Evaluation(BaseModel):
    samplers: dict[str, Group]


class TrainKeys(BaseModel, strict=True):
    """Of train.py."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    monitor: Annotated[str, Field(pattern="^(train|val)/")]
    resume: Any = None
    ckpt_path: str | None
    tags: list[Annotated[str, Field(pattern=r"^\w[\w.-]*$")]] = []
    allow_changed_data: bool = False
    evaluate: bool
    verbose: bool = False
    objective: str
    model: Group
    network: Group
    dataset: Group
    optimizer: OptimizerSettings
    scheduler: dict[str, Any] = {}
    trainer: TrainerSettings
    evaluation: Evaluation
    logger: dict[str, Group] = {}
    callbacks: dict[str, Group] = {}


class EvaluateKeys(BaseModel, strict=True):
    """Of evaluate.py."""

    run: Any = None
    ckpt_path: Any = None
    allow_changed_data: bool = False
    verbose: bool = False
    evaluation: Any = None
    logger: dict[str, Group] = {}


class RunKeys(BaseModel, strict=True):
    """Of a script that reads weights of a run."""

    run: Any = None
    checkpoint: Annotated[str, Field(pattern=r"^\w[\w.=-]*$")] = "last"


class ExportKeys(RunKeys, strict=True):
    """Of export.py."""

    onnx: bool = True


class EncodeKeys(RunKeys, strict=True):
    """Of encode.py."""

    input: Any = None
    output: Any = None
    labels: str | None = None
    anomalies: str | list[str] | None = None
    reconstructions: bool = False
    batch_size: PositiveInt = 1000
    dataset: dict[str, Any] = {}


class CompareKeys(BaseModel, strict=True):
    """Of compare.py; a data set brings a network and settings of models along, which are unused."""

    runs: Any = None
    multirun: Any = None
    tags: Any = None
    points: Any = None
    verbose: bool = False
    folder: Annotated[Any, AfterValidator(_refuse_unnamed)] = None
    dataset: Any = None
    network: Any = None
    model: Any = None
