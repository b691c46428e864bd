"""The back room: folders, config checks, jobs, trust, what is printed. No newcomer need enter.

`load_run` reads a run back, `load_sampler` a sampler that its evaluation has fitted.
"""

from autoencoders.runs.folder import Run, load_model, load_run, load_sampler

__all__ = ["Run", "load_model", "load_run", "load_sampler"]
