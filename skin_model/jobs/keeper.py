"""On one machine the app starts the one worker by itself, as a process that outlives page, browser and web server."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import skin_model
from skin_model import settings
from skin_model.errors import BusyError
from skin_model.jobs.worker import slot_file, take

AFTER_FAILURE = 60.0  # seconds until another one is started after one that ended by an error, as where a disk is full
_begun: list[subprocess.Popen[bytes]] = []  # asked for their end, so that none stays behind as a zombie
_failed = -math.inf  # when one was found ended by an error


def ensure_worker() -> bool:
    """Start a worker unless one is at work, or the queues are on a server where workers are started by hand.

    The lock that keeps a second one out is taken here and handed on, so there is no moment between looking and
    starting.

    Returns:
        Whether one was started; none is for a while after one that ended by an error.
    """
    global _failed
    if any((process.poll() or 0) > 0 for process in _begun):  # those that were killed have less than 0
        _failed = time.monotonic()
    _begun[:] = [process for process in _begun if process.poll() is None]
    given = settings.load()
    if not given.jobs.startswith("sqlite") or time.monotonic() < _failed + AFTER_FAILURE:
        return False
    try:
        lock = take(slot_file(given.home))
    except BusyError:
        return False
    try:
        with (given.home / "worker.log").open("ab") as log:
            _begun.append(
                subprocess.Popen(
                    [sys.executable, "-m", "skin_model", "worker", f"--slot={lock}"],
                    cwd=Path(skin_model.__file__).parent.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    start_new_session=True,  # a signal to the web server's terminal does not reach it
                )
            )
    finally:
        os.close(lock)
    return True
