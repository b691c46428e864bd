"""What this program has in hand: the folder that it writes into, and the jobs of its multirun."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from filelock import AcquireReturnProxy

from autoencoders.launch.job import Job


@dataclass
class Program:
    """A run or a multirun of train.py, from its command to its end.

    lock: of its folder, once it has one.
    made: that folder if it is new, and those of its parents that are.
    jobs: of a multirun as far as they are known, by their folders.
    """

    lock: AcquireReturnProxy | None = None
    made: list[Path] = field(default_factory=list)
    jobs: dict[Path, Job] = field(default_factory=dict)


# Of the `with` block of `handle_interruptions`. Hydra makes callbacks and sweepers itself, and has
# no way to give them an object; it copies callbacks to the processes of jobs, which a lock must not
# go along with.
PROGRAM: ContextVar[Program] = ContextVar("program")
