"""A run's folder: what is in it, how it is read back, what may be let in.

`load_run` reads a run back, `load_sampler` a sampler that its evaluation has fitted, `load` a model
from a run or an export.
"""

from autoencoders.runs.run import Run, load, load_model, load_run
from autoencoders.runs.samplers import load_sampler

__all__ = ["Run", "load", "load_model", "load_run", "load_sampler"]
