"""A worker with jobs that only count and write down what they do: `python toys.py LEASE`."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from skin_model import errors
from skin_model.errors import TrainingError
from skin_model.jobs import running, worker


def count(order: dict[str, Any]) -> str:
    """As a training does: an epoch of batches, then a step; what is finished stands in the folder.

    After each epoch it waits for the order's `gate`, a file, so that a test can interfere there for sure.
    """
    me, folder = running.Running.current(), Path(order["folder"])
    if order.get("fails") and not (folder / "mended").exists():
        raise TrainingError("The data folder is gone; bring it back, then resume.")
    written = folder / "written"
    finished = [int(line.split()[0]) for line in written.read_text().splitlines()] if written.exists() else []
    done = []
    for epoch in range(1, order["epochs"] + 1):
        if epoch not in finished:
            for batch in range(10):
                time.sleep(order["pause"])
                me.tell({"epoch": epoch, "batch": batch})
                me.check()
            with written.open("a") as file:
                file.write(f"{epoch} {me.token}\n")
        done.append(running.step("epoch", lambda number=epoch: number))
        while "gate" in order and not Path(order["gate"]).exists():
            time.sleep(order["pause"])
            me.check()
    return f"counted {done}"


def plan(order: dict[str, Any]) -> list[str]:
    return running.parts("count", order["parts"])


def fail(order: dict[str, Any]) -> str:
    """Fails until the file is there."""
    running.step("begin", lambda: 1)
    if not Path(order["file"]).exists():
        raise TrainingError("The data folder is gone; bring it back, then resume.")
    return "done"


def fill(order: dict[str, Any]) -> str:
    """Leaves no room on its disk, until there is a note elsewhere that there is room again."""
    elsewhere = Path(order["elsewhere"])
    if (elsewhere / "mended").exists():
        return "done"
    with suppress(OSError), Path(order["filler"]).open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    (elsewhere / "filled").touch()
    raise TrainingError("The disk is full. Make room, then resume.")


def die(order: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def grow(order: dict[str, Any]) -> str:
    """Leaves memory behind."""
    kept.append(bytes(range(256)) * 2**20)
    return "grown"


def tell_program(order: dict[str, Any]) -> str:
    """Which program carries this out, by a mark in its sources."""
    return str(getattr(errors, "MARK", "the old one"))


kept: list[bytes] = []

if __name__ == "__main__":
    worker.ATTEMPTS, worker.POLL = 1, 0.1
    worker.work(
        {
            "count": count,
            "plan": plan,
            "fail": fail,
            "fill": fill,
            "die": die,
            "grow": grow,
            "tell program": tell_program,
        },
        plans=("plan",),
        lease=float(sys.argv[1]),
    )
