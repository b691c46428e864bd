"""The user's mistakes get one line, the program's defects their stack trace."""

import errno
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from autoencoders.errors import InputError, describe
from autoencoders.launch.ending import end, one_line_errors


def test_bad_input_ends_the_program_with_one_line():
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise InputError("model.latent_dim=0: must be greater than 0")
    assert end.value.code == "error: model.latent_dim=0: must be greater than 0"


def test_defects_pass_through():
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0


def test_the_full_trace_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InputError), one_line_errors():
        raise InputError("anything")


def test_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with one_line_errors():
        pass
    assert "HYDRA_FULL_ERROR" not in os.environ


def caused_by(cause):
    """An exception that another has led to, as that of an import."""
    try:
        try:
            raise cause
        except Exception:
            raise LookupError("import of autoencoders.models failed") from None
    except LookupError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), "run"),
        RuntimeError("can't start new thread"),
        caused_by(ImportError("libtorch.so: failed to map segment from shared object")),
    ],
)
def test_too_little_memory_is_one_line(error):
    assert describe(error).startswith("not enough memory")


def test_other_faults_of_the_system_are_not_taken_for_memory():
    assert describe(caused_by(ImportError("libtorch.so: no such file"))) is None
    assert describe(OSError(errno.EIO, "Input/output error")) is None


def test_a_limit_of_memory_is_one_line(tmp_path):
    """torch alone takes more than 600 MB of addresses."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -v 600000 && exec "$@"', "-", sys.executable, ROOT / "train.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: not enough memory")
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_callback_keeps_a_stack_trace_that_was_asked_for(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="error: anything"):
        end(InputError("anything"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as ended:
        end(InputError("anything"))
    assert ended.value.code == 1
    assert "InputError: anything" in capsys.readouterr().err
