"""The folders of one job: each execution writes to its own, and takes over what the one before has finished.

A worker that was taken for dead and wakes up therefore writes where nobody reads any more.
"""

import os
import shutil
import tempfile
from pathlib import Path

from skin_model import files
from skin_model.errors import BusyError, TrainingError
from skin_model.training.state import read_state

_TRIES = 5  # to copy from a folder in which someone may still be writing


def own(job: Path, token: str) -> Path:
    """The folder of the execution `token`, holding what the furthest one before it has finished.

    Args:
        job: folder of the job.
        token: name of the execution.

    Raises:
        TrainingError: the folder of the one before changes all the time.
    """
    mine = job / token
    job.mkdir(parents=True, exist_ok=True)
    if mine.is_dir():
        return mine
    former = furthest(job)
    if former is None:
        mine.mkdir()
        return mine
    try:
        with files.held(former):
            former.rename(mine)
    except BusyError:  # asleep, not dead
        _copy(former, mine)
    return mine


def furthest(job: Path) -> Path | None:
    """The folder with most finished epochs; None where none was begun."""
    begun = [path for path in job.glob("*") if (path / "run.json").is_file() and not path.name.startswith(".")]
    return max(begun, key=lambda path: read_state(path).epoch, default=None)


def clear_others(job: Path, token: str) -> None:
    """Remove what other executions left, but for one whose worker still lives."""
    for path in job.iterdir():
        if path.name != token and path.is_dir():
            try:
                with files.held(path):
                    shutil.rmtree(path)
            except BusyError:
                continue


def withdraw(job: Path) -> None:
    """Remove the models made by a job that was cancelled at its very end; what it has learned stays."""
    for made in job.glob("*/bundle"):
        with tempfile.TemporaryDirectory(dir=made.parent, prefix=".withdrawn-") as away:
            made.rename(Path(away) / made.name)  # at once: a half-removed model is none


def _copy(former: Path, mine: Path) -> None:
    """One whole epoch of a run: `run.json` is the same before and after the copy."""
    partial = mine.with_name("." + mine.name)
    for _ in range(_TRIES):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        before = (former / "run.json").read_bytes()
        state = read_state(former)
        epoch = state.epoch
        checkpoint = f"checkpoint-{epoch:04d}.keras"
        # the checkpoint first: once it is gone, `best.keras` is that of the last epoch
        for name in (checkpoint, "run.json", "split.csv", "best.keras", "history.csv"):
            if (former / name).is_file():
                shutil.copyfile(former / name, partial / name)
        if (former / "run.json").read_bytes() == before and (
            state.finished or not epoch or (partial / checkpoint).is_file()
        ):
            os.replace(partial, mine)
            return
    shutil.rmtree(partial, ignore_errors=True)
    raise TrainingError(f"The files of the training in {former} change all the time; look for a second worker.")
