"""The training page with 200 trainings of 100 epochs on record: a rerun, and the live panel while one runs.

python -m benchmarks.training_page
"""

import statistics
import time
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from benchmarks import installation
from benchmarks.measuring import ROOT, Comparison, arguments, parsed, report
from skin_model import settings
from skin_model.jobs import queue, worker
from skin_model.jobs.running import step
from skin_model.recipe import EpochRecord
from skin_model.services import durable
from skin_model.store import database, records

TRAININGS, EPOCHS = 200, 100
MODEL, RUNNING = "model", "running"  # ids of the training that the others are copies of, and of the one that runs


def remembered(order: dict[str, Any]) -> dict[str, Any]:
    """Leave what a training of 100 epochs leaves."""
    for epoch in range(1, EPOCHS + 1):
        record = EpochRecord(epoch, 1 / epoch, 0.8, 1 / epoch + 0.1, 0.7, 0.6, 0.9, 1e-3, 60.0)
        step(durable.EPOCH, asdict, record)
    matrix = [[10] * 7 for _ in range(7)]
    figures = {"balanced_accuracy": 0.7, "macro_auc": 0.95, "macro_f1": 0.7, "ece": 0.04, "n": 1432}
    return {"version": 2, "name": "mobilenet-x", "figures": figures, "best_epoch": 90, "epochs": EPOCHS,
            "confusion": matrix, "recalls": {}}  # fmt: skip


def fill() -> None:
    """Put 200 finished trainings and one that runs on record: one is made by DBOS, the others are its copies."""
    given = settings.load()
    worker.launch({"train": remembered}, "benchmark", given.jobs)
    installation.ended(MODEL)
    engine = sa.create_engine(given.jobs)
    tables = sa.MetaData()
    tables.reflect(engine, only=["workflow_status", "workflow_input", "workflow_output", "operation_outputs"])
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            rows = connection.execute(sa.select(table).where(table.c.workflow_uuid == MODEL)).mappings().all()
            for number in range(TRAININGS):
                name = RUNNING if number == 0 else f"copy-{number}"
                changed: dict[str, Any] = {"workflow_uuid": name}
                if name == RUNNING and table.name == "workflow_output":
                    continue
                if name == RUNNING and table.name == "workflow_status":
                    changed |= {"status": "PENDING", "output": None, "completed_at": None}
                connection.execute(sa.insert(table), [{**row, **changed} for row in rows])
    told = {"stage": "training", "epoch": 100, "epochs": 200, "batch": 9, "batches": 200, "loss": 0.5, "left": 60.0,
            "images_per_second": 30.0, "memory": 2**30, "log": ["a line"] * 30}  # fmt: skip
    with database.writing() as record:
        records.tell(record, RUNNING, told)


def panel() -> None:
    """A page with nothing but the live panel."""
    from pages.ui import running

    running.live()


def rerun(app: AppTest) -> float:
    began = time.perf_counter()
    app.run()
    seconds = time.perf_counter() - began
    if app.exception:
        raise RuntimeError(app.exception[0].value)
    return seconds


def main() -> None:
    args = parsed(arguments("The training page with 200 trainings on record.", rounds=20))
    with installation.installation(10) as data:
        lock = worker.take(worker.slot_file(settings.load().home))  # so that the page starts no worker
        config = asdict(installation.small(epochs=200))
        order = {"name": "training", "actor": "ada", "data": data.name, "views": 4, "config": config, "images": {}}
        queue.enqueue(kind="train", order=order, job=MODEL)
        fill()
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).switch_page("pages/training.py")
        alone = AppTest.from_function(panel, default_timeout=300)
        first = rerun(page)
        rerun(alone)
        whole: list[float] = []
        live: list[float] = []
        for _ in range(args.rounds):
            whole.append(rerun(page))
            live.append(rerun(alone))
        del lock
    ours, refresh = statistics.median(whole), statistics.median(live)
    rows = [
        Comparison("a rerun of the training page", ours, None, "s", ours, "at most 0.5"),
        Comparison("a refresh of its live panel", refresh, None, "s", refresh, "at most 0.15"),
    ]
    report(args, rows, {"input": f"{TRAININGS} trainings of {EPOCHS} epochs, one more that runs",
                        "first run": f"{first:.2f} s", "reruns": args.rounds})  # fmt: skip


if __name__ == "__main__":
    main()
