"""An installation of a test module's own, with the worker that the app starts, and waiting for what becomes of jobs."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skin_model.entities import Job
from skin_model.jobs import keeper, queue

PATIENCE = 500  # seconds: a machine may be busy with a training


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own in an empty folder, with room for `size`; skips the test where none may be mounted."""
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], stderr=subprocess.DEVNULL
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount the small file system that this needs")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def installation(home: Path) -> Iterator[pytest.MonkeyPatch]:
    """Make `home` the installation's folder; the worker begun in it is ended with the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKIN_MODEL_HOME", str(home))
        yield patch
        for process in keeper._begun:
            process.kill()
            process.wait()


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until it holds."""
    ending = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ending, f"waited in vain for {what}: {queue.listed()}"
        time.sleep(0.05)


def ended(job: str) -> Job:
    """The job once it is over."""
    until(lambda: queue.find(job).over, job)
    return queue.find(job)
