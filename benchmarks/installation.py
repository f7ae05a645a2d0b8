"""An installation of a benchmark's own: drawn lesions, trainings in the worker that the app starts, and their end."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from skin_model.dataset import drawn
from skin_model.entities import DataSet, Job
from skin_model.jobs import keeper, queue
from skin_model.recipe import TrainingConfig
from skin_model.services import orders, registered


@contextmanager
def installation(lesions: int) -> Iterator[DataSet]:
    """A home of its own with `lesions` drawn lesions per class; the worker begun in it ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKIN_MODEL_HOME"] = str(Path(folder) / "home")
        for name in ("DATABASE_URL", "SKIN_MODEL_JOBS_URL", "MLFLOW_TRACKING_URI", "SKIN_MODEL_BUNDLE"):
            os.environ.pop(name, None)
        images = Path(folder) / "lesions"
        drawn.draw_dataset(images, lesions_per_class=lesions, height=225, width=300)
        try:
            yield registered.register(folder=images, who="benchmark")
        finally:
            for process in keeper._begun:
                process.kill()
                process.wait()


def small(**changed: object) -> TrainingConfig:
    """A training of seconds an epoch."""
    start = {"network": "custom_cnn", "size": 64, "batch": 16, "epochs": 6, "patience": 1000, "learning_rate": 1e-3}
    return replace(TrainingConfig(), **{**start, **changed})


def start(data: DataSet, config: TrainingConfig) -> str:
    """Queue a training as the page does; returns its id."""
    return orders.submit(data_set=data, config=config, who="benchmark", job=orders.new_id(), views=1)


def ended(job: str) -> Job:
    """The job once it is done."""
    wait(lambda: queue.find(job).over)
    found = queue.find(job)
    if found.state != "done":
        raise RuntimeError(f"{found.state}: {found.error}")
    return found


def wait(holds: Callable[[], object], every: float = 0.2) -> None:
    """Wait until it holds."""
    while not holds():
        time.sleep(every)
