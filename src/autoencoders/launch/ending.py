"""How the program ends: with one line where its input is at fault."""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from autoencoders.errors import NO_ROOM, describe

# Tells further processes of this run that HYDRA_FULL_ERROR is not the user's wish.
OURS = "AUTOENCODERS_ONE_LINE_ERRORS"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with `error: <one line>` and exit status 1 where the input is at fault.

    Anything else is a defect of the program and keeps its stack trace. With HYDRA_FULL_ERROR=1 in
    the environment everything does.

    What the terminal's encoding lacks, such as the bullets of a progress bar, is printed as `?`.
    """
    threading.excepthook = _report_thread
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if _full_trace_wanted():
        yield
        return
    # Hydra would print its own several lines and exit.
    os.environ |= {"HYDRA_FULL_ERROR": "1", OURS: "1"}
    try:
        yield
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        sys.exit(f"error: {line}")
    finally:
        del os.environ["HYDRA_FULL_ERROR"], os.environ[OURS]


@contextmanager
def one_line_in_job() -> Iterator[None]:
    """The same inside a job, of whose exception Hydra would print a line of its own first.

    The jobs of a multirun are left to Hydra: it goes on with those that follow.
    """
    try:
        yield
    except Exception as error:
        line = describe(error)
        if line is None or _full_trace_wanted() or HydraConfig.get().mode is RunMode.MULTIRUN:
            raise
        sys.exit(f"error: {line}")


def _report_thread(args: threading.ExceptHookArgs) -> None:
    """A thread's exception, but for a full disk: TensorBoard's writer tells the main thread."""
    if not isinstance(args.exc_value, OSError) or args.exc_value.errno not in NO_ROOM:
        threading.__excepthook__(args)


@contextmanager
def end_on_ctrl_c() -> Iterator[None]:
    """End the program after Ctrl-C with one line and exit status 130."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning makes a SystemExit of a KeyboardInterrupt.
        if not isinstance(error.__context__ or error, KeyboardInterrupt):
            raise
        print("interrupted; type the command again", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def end(error: Exception) -> NoReturn:
    """End the program with exit status 1, and `error: <one line>` or a defect's stack trace."""
    line = describe(error)
    if line is None or _full_trace_wanted():
        traceback.print_exception(error)
        sys.exit(1)
    sys.exit(f"error: {line}")


def _full_trace_wanted() -> bool:
    """Whether HYDRA_FULL_ERROR=1 is the user's."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and OURS not in os.environ
