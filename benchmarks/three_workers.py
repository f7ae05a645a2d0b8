"""Three workers with folders of their own on one PostgreSQL against one: a folder of images and a 5-fold run.

python -m benchmarks.three_workers --database postgresql://USER@HOST/EMPTY
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from benchmarks import installation
from benchmarks.measuring import ROOT, Comparison, arguments, parsed, report
from skin_model.dataset import drawn
from skin_model.entities import DataSet, Job
from skin_model.jobs import queue
from skin_model.services import orders, plans, registered, registry
from skin_model.store import database
from skin_model.taxonomy import CODES

WHO = "benchmark"


@contextmanager
def workers(number: int, place: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """That many worker processes, each with a folder of its own, once all of them have shown signs of life."""
    begun = []
    for _ in range(number):
        home = Path(tempfile.mkdtemp(dir=place))
        with (home / "log").open("wb") as log:
            command, environment = [sys.executable, "-m", "skin_model", "worker"], {"SKIN_MODEL_HOME": str(home)}
            begun.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stderr=log))
    try:
        installation.wait(lambda: {process.pid for process in begun} <= set(pids().values()))
        yield begun
    finally:
        for process in begun:
            process.kill()
            process.wait()


def pids() -> dict[str, int]:
    """Executor -> process."""
    with database.reading() as record:
        return {str(name): int(pid) for name, pid in record.exec_driver_sql("SELECT executor, pid FROM workers")}


def timed(submit: Callable[[], str], number: int, place: Path, *, kill: bool = False) -> tuple[Job, float]:
    """A plan carried out by `number` workers, of which one is killed half-way; and its seconds."""
    with workers(number, place) as begun:
        began, job = time.monotonic(), submit()
        if kill:
            installation.wait(lambda: kill_one(begun, job))
        installation.wait(lambda: queue.find(job).over)
        taken = time.monotonic() - began
    found = queue.find(job)
    if found.state != "done":
        raise RuntimeError(f"{found.state}: {found.error}")
    return found, taken


def kill_one(begun: list["subprocess.Popen[bytes]"], job: str) -> bool:
    """Kill a worker that is at work on a part, once half of them are over; whether one was."""
    parts = plans.parts(job=job)
    busy = {pids()[part.worker] for part in parts if part.state == "running"}
    for process in begun:
        if process.pid in busy and sum(part.over for part in parts) * 2 >= len(parts):
            process.kill()
            return True
    return False


def same(first: str, second: str) -> None:
    """Both tables hold the same rows; figures may differ by rounding.  Raises AssertionError."""
    one, other = (pd.read_csv(io.StringIO(text)) for text in (first, second))
    pd.testing.assert_frame_equal(one, other, atol=1e-3)


def draw(folder: Path, images: int) -> None:
    """A data set of that many pictures or a few more, each of another lesion."""
    per_class = -(-images // len(CODES))
    drawn.draw_dataset(folder, lesions_per_class=per_class, height=225, width=300, extra_views=0)


def scoring(folder: Path) -> str:
    """Queue the judging of a folder with the bundled model; returns the job's id."""
    (version,) = registry.versions()
    return plans.submit_scoring(folder=folder, version=version, who=WHO, job=orders.new_id())


def folds(data: DataSet, epochs: int) -> str:
    """Queue a 5-fold run of a small network; returns the job's id."""
    config = installation.small(epochs=epochs)
    return plans.submit_crossval(data_set=data, config=config, who=WHO, job=orders.new_id(), views=1)


def main() -> None:
    parser = arguments("Three workers against one.", rounds=1)
    parser.add_argument("--database", required=True, help="address of an empty PostgreSQL database")
    parser.add_argument("--images", type=int, default=2000, help="drawn pictures in the folder to judge")
    parser.add_argument("--epochs", type=int, default=6, help="of each fold")
    args = parsed(parser)
    os.environ.pop("SKIN_MODEL_BUNDLE")  # the registry's version 1 is the bundled model
    for name in (
        "SKIN_MODEL_JOBS_URL",
        "MLFLOW_TRACKING_URI",
    ):  # of an installation in use, which is to stay out of this
        os.environ.pop(name, None)
    os.environ["DATABASE_URL"] = args.database
    rows, notes = [], {"input": f"about {args.images} drawn images; five folds of {args.epochs} epochs of a custom CNN"}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["SKIN_MODEL_HOME"] = str(place / "web")
        draw(place / "folder", args.images)
        draw(place / "lesions", 400)
        data = registered.register(folder=place / "lesions", who=WHO)
        registry.ensure()
        kinds: dict[str, tuple[Callable[[], str], Callable[[Job], str]]] = {
            f"{args.images} images judged": (
                lambda: scoring(place / "folder"), lambda job: plans.scored(job=job)
            ),
            "a 5-fold run": (lambda: folds(data, args.epochs), lambda job: plans.out_of_fold(job=job)),
        }  # fmt: skip
        for claim, (submit, answers) in kinds.items():
            one, alone = timed(submit, 1, place)
            three, together = timed(submit, 3, place)
            survived, with_death = timed(submit, 3, place, kill=True)
            same(answers(one), answers(three))
            same(answers(one), answers(survived))
            rows.append(Comparison(f"{claim}: three workers' speed over one's", 1 / together, 1 / alone, "per second",
                                   alone / together, "what two cores allow"))  # fmt: skip
            notes[claim] = (
                f"{alone:.0f} s by one worker, {together:.0f} s by three, {with_death:.0f} s by three of which one was "
                "killed half-way; the same answers each time"
            )
    report(args, rows, notes)


if __name__ == "__main__":
    main()
