"""Commands in processes of their own that need not import torch again, which takes longer than most
short runs: each is forked from a server that has imported it, and nothing else has happened in."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_context: Any = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *("autoencoders.runs", "autoencoders.training", "autoencoders.evaluation"),
        *("autoencoders.runs.finish", "openTSNE", "matplotlib.backends.backend_agg"),
        "torch.utils.tensorboard",
    ]
)


def draw_nothing() -> Iterator[tuple[ModuleType, str, Any]]:
    """What to replace, and by what, for runs of this process to draw no figures."""
    from autoencoders.runs import finish

    for draw in ("of_training", "of_model", "of_evaluation"):
        yield finish, draw, lambda *_: {}


def _main(
    script: str,
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    figures: bool,
    folder: str,
) -> None:
    """What the process does: become `python <script> <arguments>`."""
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path[0:0] = [str(Path(script).parent)]
    for module, name, value in () if figures else draw_nothing():
        setattr(module, name, value)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()


class Command:
    """A command in such a process, as `subprocess.Popen` has it."""

    def __init__(
        self, script: Path, *arguments: str, cwd: Path, figures: bool = True, **environment: str
    ) -> None:
        self.arguments = [str(script), *map(str, arguments)]
        self._files = tempfile.TemporaryDirectory(prefix="autoencoders-tests-")
        given = (str(cwd), {**os.environ, **environment}, figures, self._files.name)
        self._process = _context.Process(
            target=_main, args=(self.arguments[0], self.arguments[1:], *given)
        )
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sent: signal.Signals) -> None:
        os.kill(self._process.pid, sent)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        return code

    def communicate(self, timeout: float) -> tuple[str, str]:
        self.wait(timeout)
        out, err = (
            file.read_text(encoding="utf-8") if file.exists() else ""
            for file in (Path(self._files.name, name) for name in ("out", "err"))
        )
        return out, err
