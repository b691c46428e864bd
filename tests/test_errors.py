"""The user's mistakes get one line, the program's defects their stack trace."""

import os

import pytest

from autoencoders.errors import InputError, one_line_errors


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
