"""What all loggers share: epochs as the x-axis, the run's settings, and how a run goes on."""

from typing import Any

from pytorch_lightning.loggers.logger import Logger

from autoencoders.training.event_files import CURVES, History

Settings = dict[str, Any]


class EpochLogger(Logger):
    """What train.py's loggers share.

    Optimizer steps as the x-axis would put WAE-GAN, which makes two a batch, on another axis than
    the others (Lightning issue 17958).

    Args:
        settings: of the run, by name: numbers, text and lists.
        arguments: of Lightning's logger.
    """

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.settings = settings

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        metrics = dict(metrics)
        epoch = metrics.pop("epoch", step)
        super().log_metrics(metrics, step=int(epoch))  # type: ignore[safe-super]

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Called by Lightning as training starts, with the model's arguments alone."""
        super().log_hyperparams(self.settings)  # type: ignore[safe-super]

    def resume(self, history: History, epochs: int) -> None:
        """Make good what a crash has left of a run that goes on after so many epochs.

        It may have come between the last checkpoint and the logging of that epoch's end.
        """
        ends = {name: values for name, values in history.items() if name.startswith("train/")}
        if last := {name: values[epochs] for name, values in ends.items() if epochs in values}:
            self.log_metrics(last, epochs - 1)
            self.save()

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        """Show PIL images of an epoch, where there is a place for images."""

    def log_final(self, metrics: dict[str, float], epoch: int) -> None:
        """Log metrics.json; its curves are there."""
        self.log_hyperparams(self.settings)
        numbers = {k: v for k, v in metrics.items() if not k.startswith(CURVES)}
        self.log_metrics(numbers, epoch)
        self.save()
