"""The folders of one job's executions."""

import shutil
from pathlib import Path

import pytest

from skin_model import files
from skin_model.services import attempts
from skin_model.training.state import read_state


def test_what_is_copied_from_one_who_finishes_meanwhile_holds_the_last_network(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sleeper wakes between two files, puts its last network in place and removes the checkpoint it made it of."""
    sleeper = tmp_path / "first"
    shutil.copytree(trained, sleeper)
    checkpoint = f"checkpoint-{read_state(sleeper).epoch:04d}.keras"
    (sleeper / checkpoint).write_bytes(b"the last network")
    (sleeper / "best.keras").write_bytes(b"an earlier network")
    copied = shutil.copyfile

    def copy_beside_the_sleeper(source: Path, target: Path) -> None:
        copied(source, target)
        if source.name == "best.keras" and (sleeper / checkpoint).exists():
            (sleeper / checkpoint).replace(source)

    monkeypatch.setattr(attempts.shutil, "copyfile", copy_beside_the_sleeper)
    with files.held(sleeper):
        mine = attempts.own(tmp_path, "second")
    networks = [mine / name for name in (checkpoint, "best.keras") if (mine / name).is_file()]
    assert b"the last network" in [network.read_bytes() for network in networks]
    assert read_state(mine) == read_state(sleeper)
