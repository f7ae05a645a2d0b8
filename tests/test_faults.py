"""What may go wrong while a job runs, and cancelling at any moment: a sentence, nothing half-made, the next job."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from installed import ended, installation, small_disk, until

from skin_model import networks, settings, tracking
from skin_model.entities import DataSet
from skin_model.errors import JobError, TrainingError
from skin_model.jobs import queue
from skin_model.recipe import TrainingConfig
from skin_model.services import orders, registered, registry
from skin_model.services.telling import sentences
from skin_model.training.state import RunState, write_state


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("faults")
    with installation(home):
        yield home


@pytest.fixture(scope="module")
def data_set(home: Path, drawn_data: Path, split_file: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A copy, which may be moved away."""
    copy = tmp_path_factory.mktemp("copy") / "lesions"
    shutil.copytree(drawn_data, copy)
    return registered.register(folder=copy, split=split_file, who="ada")


@pytest.fixture(scope="module")
def start(data_set: DataSet, tiny: TrainingConfig) -> Callable[..., str]:
    """Queues a training; returns its id."""

    def submit(job: str = "", **changed: object) -> str:
        config = replace(tiny, **{"size": 32, "epochs": 1, "patience": 50} | changed)
        return orders.submit(data_set=data_set, config=config, who="ada", job=job or orders.new_id(), views=1)

    return submit


def stage(job: str) -> str:
    return str(queue.find(job).progress.get("stage", ""))


def in_mlflow(job: str) -> str:
    client = tracking._client()
    (run,) = client.search_runs([tracking._experiment(settings.load())], f"tags.job = '{job}'")
    return str(run.info.status)


def leaves_nothing_that_looks_finished(home: Path, job: str) -> bool:
    return not list((home / "runs" / job).glob("*/bundle")) and len(registry.versions()) == 1


@pytest.mark.timeout(900)
def test_a_data_folder_that_vanishes_under_a_training_fails_it_with_a_sentence(
    start: Callable[..., str], data_set: DataSet
) -> None:
    job = start(epochs=50)
    until(lambda: orders.history(job=job), "an epoch")
    away = data_set.folder.with_name("moved")
    data_set.folder.rename(away)
    try:
        found = ended(job)
    finally:
        away.rename(data_set.folder)
    assert found.state == "failed"
    assert in_mlflow(job) == "FAILED"
    assert "Something went wrong inside" not in found.error
    assert str(data_set.folder) in found.error or "is not there" in found.error


@pytest.mark.timeout(900)
def test_a_full_disk_fails_the_training_with_a_sentence(start: Callable[..., str], home: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with small_disk(small, "1m"):
        job = orders.new_id()
        (home / "runs").mkdir(exist_ok=True)
        (home / "runs" / job).symlink_to(small)
        found = ended(start(job))
    assert found.state == "failed"
    assert "The disk is full" in found.error
    assert "Make room, then resume" in found.error


@pytest.mark.timeout(900)
def test_a_loss_that_is_no_number_fails_the_training_with_a_sentence(
    start: Callable[..., str], data_set: DataSet, tiny: TrainingConfig, tmp_path: Path
) -> None:
    model = networks.build("custom_cnn", size=32, task="diagnosis", weights=None, dropout=0.2)
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([kernel, bias * np.nan])
    model.save(tmp_path / "best.keras")
    write_state(RunState(replace(tiny, size=32), data_set.fingerprint, (), 1, True), tmp_path)
    found = ended(start(weights=str(tmp_path / "best.keras")))
    assert found.state == "failed"
    assert "lower the learning rate" in found.error


@pytest.mark.timeout(900)
def test_a_job_cancelled_while_waiting_starting_or_evaluating_leaves_nothing_and_the_next_one_runs(
    start: Callable[..., str], home: Path
) -> None:
    starting, waiting = start(), start()
    until(lambda: queue.find(starting).state == "running", "the start")
    orders.cancel(job=starting, who="ben")
    orders.cancel(job=waiting, who="ben")
    evaluating, last = start(), start()
    until(lambda: stage(evaluating) in ("calibrating", "evaluating on the test part"), "the evaluation")
    orders.cancel(job=evaluating, who="ben")
    for job in (starting, waiting, evaluating):
        assert queue.find(job).state == "cancelled"
    until(lambda: in_mlflow(evaluating) == "KILLED", "MLflow's word")
    until(lambda: queue.find(last).state == "running", "the next job")
    for job in (starting, waiting, evaluating):
        assert leaves_nothing_that_looks_finished(home, job)
    assert orders.history(job=starting) == orders.history(job=waiting) == []
    assert ended(last).state == "done"
    assert in_mlflow(last) == "FINISHED"
    assert len(registry.versions()) == 2


@pytest.mark.timeout(900)
def test_a_job_deleted_as_soon_as_it_was_cancelled_ends_in_mlflow_too(start: Callable[..., str]) -> None:
    job = start(epochs=50)
    until(lambda: orders.history(job=job), "an epoch")
    orders.cancel(job=job, who="ben")
    orders.delete(job=job, who="ben")
    until(lambda: in_mlflow(job) == "KILLED", "MLflow's word")


@pytest.mark.timeout(900)
def test_a_job_cancelled_while_its_model_is_registered_is_done_or_leaves_no_model(
    start: Callable[..., str], home: Path
) -> None:
    before = len(registry.versions())
    job = start()
    until(lambda: list((home / "runs" / job).glob("*/bundle/manifest.json")), "the model")
    with suppress(JobError):  # it was done
        orders.cancel(job=job, who="ben")
    finished = ended(job).state == "done"
    until(lambda: in_mlflow(job) == ("FINISHED" if finished else "KILLED"), "MLflow's word")
    assert len(registry.versions()) == before + finished
    assert finished == bool(list((home / "runs" / job).glob("*/bundle")))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(28, "No space left on device"), "The disk is full .* Make room, then resume"),
        (PermissionError(13, "Permission denied", "/data/x.jpg"), r"/data/x\.jpg: Permission denied\. Mend this"),
        (MemoryError(), "not enough memory .* smaller batches or smaller images"),
        (RuntimeError("ResourceExhaustedError: OOM when allocating tensor"), "not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_told_in_a_sentence(fault: Exception, words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=words), sentences(os.fspath(tmp_path)):
        raise fault
