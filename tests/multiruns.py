"""Multiruns as a user types them, and what they leave."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, SHORT

TINY = ("model=ae", "scheduler=constant", *SHORT, "trainer.max_epochs=1")
AGAIN = "continue with: "


def contents(folder):
    return {file: file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


def of_job(folder, number):
    """A job's folder, as far as there is one."""
    paths = [p for p in Path(folder).glob("*") if re.fullmatch(rf"{number}(_.*)?", p.name)]
    (path,) = paths or [Path(folder, str(number))]
    return path


def printed_command(out):
    """The command that goes on, which is the last that is printed."""
    *_, last = out.splitlines()
    assert last.startswith(AGAIN), out
    return last.removeprefix(AGAIN)


def paste(command, cwd):
    """Run a command as a shell does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def start(cwd, *arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", "-m", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, which pytest may be one of, start with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process, folder, name, count=1):
    deadline = time.monotonic() + 120
    while len(list(folder.rglob(name))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
