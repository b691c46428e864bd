"""IDX files: read as they were written, or refused in one line."""

import gzip

import torch
from conftest import attempt, write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoencoders.data.idx import find_idx, read_idx

QUICK = settings(
    max_examples=60,
    deadline=None,  # a slow machine is no failure
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@QUICK
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_an_idx_file_is_read_back_as_it_was_written(shape, seed, tmp_path):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    write_idx(tmp_path / "values", values)
    assert torch.equal(read_idx(tmp_path / "values"), values)


@QUICK
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(content, tmp_path):
    path = tmp_path / "anything"
    path.write_bytes(content)
    values, refusal = attempt(read_idx, path)
    if values is None:
        assert str(path) in refusal
        assert "\n" not in refusal
    else:
        assert values.dtype == torch.uint8
        assert values.numel() == len(content) - 4 - 4 * content[3]


@QUICK
@given(position=st.integers(0, 19), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_damaged_file_is_never_read_as_another_size(position, value, cut, tmp_path):
    path = tmp_path / "damaged"
    write_idx(path, torch.arange(24).reshape(2, 3, 4))
    content = bytearray(path.read_bytes())
    content[position] = value
    content = content[: len(content) - cut]
    path.write_bytes(content)
    values, refusal = attempt(read_idx, path)
    assert refusal or values.numel() == len(content) - 4 - 4 * content[3]


def test_a_gzipped_file_is_read_as_the_plain_one(tmp_path):
    values = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "values", values)
    assert find_idx(tmp_path, "values") == tmp_path / "values"
    (tmp_path / "values.gz").write_bytes(gzip.compress((tmp_path / "values").read_bytes()))
    (tmp_path / "values").unlink()
    assert find_idx(tmp_path, "values") == tmp_path / "values.gz"
    assert torch.equal(read_idx(tmp_path / "values.gz"), values)
    assert find_idx(tmp_path, "others") is None


def test_a_truncated_gzip_file_is_named(tmp_path):
    write_idx(tmp_path / "values", torch.arange(24).reshape(2, 3, 4))
    path = tmp_path / "values.gz"
    path.write_bytes(gzip.compress((tmp_path / "values").read_bytes())[:-9])
    _, refusal = attempt(read_idx, path)
    assert refusal.startswith(f"{path}: ")
    assert "delete the file" in refusal
    assert "\n" not in refusal
