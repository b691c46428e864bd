"""The back room: folders, config checks, jobs, trust, what is printed. No newcomer need enter.

`load_run` reads a run back.
"""

from autoencoders.runs.folder import Run, load_run

__all__ = ["Run", "load_run"]
