"""A run that goes on, perhaps for longer than it was meant to."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from autoencoders.errors import InputError
from autoencoders.files import BEST, CONFIG, LAST, OVERRIDES, is_finished, shown, write_whole
from autoencoders.runs import evaluations
from autoencoders.runs.state import begin
from autoencoders.runs.trust import read_yaml

LENGTH = "trainer.max_epochs="  # what a run that goes on may be given anew


def extend(folder: Path, epochs: int, max_epochs: int) -> None:
    """Have the run in `folder`, trained for `epochs`, go on to `max_epochs`.

    What a finished run has come to stays beside what is to come: after 30 epochs as
    checkpoints/last-30.ckpt and best-30.ckpt, and what was measured of them in last-30/ and
    best-30/, where evaluate.py would leave it. The run itself is one that was interrupted.

    Raises:
        InputError: a finished run has as many epochs already.
    """
    finished = is_finished(folder)
    if finished and epochs >= max_epochs:
        raise InputError(
            f"trainer.max_epochs={max_epochs}: the run in {shown(folder)} has {epochs} epochs; give"
            " more"
        )
    if finished:
        for checkpoint, file in (("last", folder / LAST), ("best", folder / BEST)):
            if file.exists():
                write_whole(file.with_stem(f"{checkpoint}-{epochs}"), file.read_bytes())
                evaluations.move(folder, checkpoint, f"{checkpoint}-{epochs}")
    begin(folder)
    config = read_yaml(folder / CONFIG)
    if config.trainer.max_epochs != max_epochs:
        config.trainer.max_epochs = max_epochs
        typed: Any = read_yaml(folder / OVERRIDES) if (folder / OVERRIDES).is_file() else []
        others = [override for override in typed if not str(override).startswith(LENGTH)]
        overrides = OmegaConf.create([*others, f"{LENGTH}{max_epochs}"])
        write_whole(folder / OVERRIDES, OmegaConf.to_yaml(overrides))
        write_whole(folder / CONFIG, OmegaConf.to_yaml(config))
