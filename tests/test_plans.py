"""Work in parts, by one worker and by three of which one is killed: K-fold, search, a folder of images."""

import csv
import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from installed import ended, installation, until
from postgres import server

from skin_model import settings
from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices
from skin_model.entities import REFUSED, DataSet, Job
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.evaluation import metrics
from skin_model.jobs import queue
from skin_model.recipe import TrainingConfig
from skin_model.services import crossval, orders, plans, prediction, registered, registry, study, workspace
from skin_model.store import database, records

ROOT = Path(__file__).resolve().parent.parent
FIVE = ("fold0", "fold1", "fold2", "fold3", "fold4")


@dataclass
class Place:
    """An installation with a data set in five folds."""

    home: Path
    data: DataSet


@pytest.fixture(scope="module")
def five(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of the drawn lesions with five folds."""
    path = tmp_path_factory.mktemp("five") / "split.csv"
    splits.write(splits.draw(ham10000.read(drawn_data).table, seed=0, folds=5), path)
    return path


@pytest.fixture(scope="module")
def config(tiny: TrainingConfig) -> TrainingConfig:
    return replace(tiny, size=32, epochs=2)


@pytest.fixture(scope="module")
def place(drawn_data: Path, five: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """On SQLite, with the one worker that the app starts."""
    home = tmp_path_factory.mktemp("plans")
    with installation(home) as patch:
        patch.setattr(plans, "CHUNK", 15)
        yield Place(home, registered.register(folder=drawn_data, split=five, who="ada"))


def out_of_fold(job: Job) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(plans.out_of_fold(job=job)))


def answers_agree(job: Job, folder: Path) -> None:
    """Each image of the folder is answered once, as one process answers it."""
    found = pd.read_csv(io.StringIO(plans.scored(job=job)))
    expected = [judged.to_json() for judged in prediction.predict(classifier=workspace.load(), paths=[folder])]
    assert found["image"].tolist() == [str(Path(plain["image"]).relative_to(folder)) for plain in expected]
    assert found["sha256"].tolist() == [plain["sha256"] for plain in expected]
    assert found["outcome"].tolist() == [plain["outcome"] for plain in expected]
    likely = [plain.get("probabilities", {}).get("mel", np.nan) for plain in expected]
    np.testing.assert_allclose(found["p_mel"], likely, atol=1e-4)
    refused = sum(plain["outcome"] == REFUSED for plain in expected)
    assert job.outcome["refused"] == refused < len(expected)
    assert job.outcome["images"] == len(expected) == sum(job.outcome["diagnoses"].values()) + refused
    assert job.outcome["refer"] == found["refer"].sum()


@pytest.fixture(scope="module")
def crossed(place: Place, config: TrainingConfig) -> Job:
    """A cross-validation by one worker, ordered by pressing twice."""
    job = orders.new_id()
    for _ in range(2):
        plans.submit_crossval(data_set=place.data, config=config, who="ada", job=job, views=1)
    return ended(job)


@pytest.fixture(scope="module")
def one_worker(crossed: Job) -> pd.DataFrame:
    """What came of it."""
    return out_of_fold(crossed)


@pytest.mark.timeout(900)
def test_a_cross_validation_answers_each_lesion_by_the_network_that_did_not_learn_from_it(
    place: Place, crossed: Job, one_worker: pd.DataFrame
) -> None:
    assert (crossed.state, crossed.error) == ("done", "")
    parts = plans.parts(job=crossed.id)
    assert [part.order["fold"] for part in parts] == list(FIVE)
    assert len(parts) == plans.planned(crossed)
    split = pd.read_csv(io.StringIO(place.data.split)).set_index("image_id")
    assert one_worker.set_index("image_id")["fold"].to_dict() == split["part"][split["part"].isin(FIVE)].to_dict()
    for part in parts:
        assert [record.epoch for record in orders.history(job=part.id)] == [1, 2]
    head, *lines = plans.figures(job=crossed)
    assert head == ("figure", "all folds", "95 % interval", *FIVE)
    assert lines
    labels = class_indices(one_worker["dx"])
    again = metrics.score(labels, one_worker[crossval.PROBABILITIES].to_numpy(), threshold=0.5)
    assert crossed.outcome["pooled"]["macro_auc"] == pytest.approx(again["macro_auc"])
    assert crossed.id in [found.id for found in orders.jobs()]
    assert not {part.id for part in parts} & {found.id for found in orders.jobs()}
    assert len(registry.versions()) == 1  # a fold is no model to use


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("one_worker")  # which reads what is deleted here
def test_a_deleted_cross_validation_takes_its_folds_along_and_says_who(place: Place, crossed: Job) -> None:
    copy = [part.id for part in plans.parts(job=crossed.id)]
    assert all((place.home / "runs" / part).is_dir() for part in copy)
    orders.delete(job=crossed.id, who="ben")
    assert not any((place.home / "runs" / part).exists() for part in copy)
    with database.reading() as record:
        done_by = [(event.actor, event.action) for event in records.audit_events(record, subject=crossed.id)]
    assert done_by == [("ben", "delete job"), ("ada", "start cross-validation")]


@pytest.mark.timeout(900)
def test_a_search_ordered_from_the_page_tells_its_trials_and_the_best_settings(
    place: Place, config: TrainingConfig
) -> None:
    job = orders.new_id()
    chosen = ("learning_rate", "dropout")
    plans.submit_search(
        data_set=place.data, config=replace(config, epochs=1), who="ada", job=job, trials=2, searched=chosen
    )
    done = ended(job)
    assert (done.state, done.error) == ("done", "")
    history = pd.DataFrame(done.outcome["history"])
    assert history["trial"].tolist() == [0, 1]
    assert set(history["state"]) <= {"complete", "pruned"}
    best = history.loc[history["trial"] == done.outcome["trial"]].iloc[0]
    assert best[config.monitor] == history[config.monitor].max()
    found = TrainingConfig(**done.outcome["config"])
    assert (found.learning_rate, found.dropout) == (best["learning_rate"], best["dropout"])
    assert found == replace(config, epochs=1, **{name: getattr(found, name) for name in chosen})
    assert history["learning_rate"].nunique() == 2


@pytest.mark.timeout(900)
def test_a_folder_of_images_is_judged_in_chunks_and_a_bad_file_is_named(place: Place, tmp_path: Path) -> None:
    (version,) = registry.versions()
    job = plans.submit_scoring(folder=place.data.folder, version=version, who="ada", job=orders.new_id())
    done = ended(job)
    assert (done.state, done.error) == ("done", "")
    assert len(plans.parts(job=job)) == plans.planned(done) > 3
    listed = [one for one in [*orders.jobs(), *plans.parts(job=job)] if job in (one.id, one.parent)]
    assert not [one for one in listed if queue.BULKY in one.order], "there may be millions of names"
    assert next(one for one in listed if one.id == job).order["name"] == done.order["name"]
    answers_agree(done, place.data.folder)
    bad = tmp_path / "ward"
    bad.mkdir()
    (bad / "=1+1.jpg").write_text("no picture")
    found = ended(plans.submit_scoring(folder=bad, version=version, who="ada", job=orders.new_id()))
    assert found.outcome["failed"] == found.outcome["images"] == 1
    (told,) = csv.DictReader(io.StringIO(plans.scored(job=found)))
    assert told["error"]
    assert told["image"] == "'=1+1.jpg", "no formula to a spreadsheet"


def test_what_cannot_succeed_is_refused_with_the_bound_before_anything_is_queued(
    place: Place, config: TrainingConfig, tmp_path: Path
) -> None:
    before = len(orders.jobs())
    given: dict[str, Any] = {"data_set": place.data, "who": "ada", "job": orders.new_id()}
    (version,) = registry.versions()
    lonely = replace(place.data, summary={"parts": {"fold0": {}}})
    with pytest.raises(ConfigurationError, match="1 folds; two are needed"):
        plans.submit_crossval(**given | {"data_set": lonely}, config=config)
    with pytest.raises(ConfigurationError, match="measures the seven diagnoses"):
        plans.submit_crossval(**given, config=replace(config, task="binary"))
    with pytest.raises(ConfigurationError, match="trials must lie between 2 and 500; 1 was given"):
        plans.submit_search(**given, config=config, trials=1)
    with pytest.raises(ConfigurationError, match="Nothing is left to search"):
        plans.submit_search(**given, config=config, searched=())
    with pytest.raises(DatasetError, match="no folder"):
        plans.submit_scoring(folder=tmp_path / "none", version=version, who="ada", job=orders.new_id())
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(DatasetError, match="no image"):
        plans.submit_scoring(folder=tmp_path, version=version, who="ada", job=orders.new_id())
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/L\xe4sion.jpg")).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"names of 1 files are not UTF-8, such as 'L.*sion\.jpg'.*Rename them"):
        plans.submit_scoring(folder=tmp_path, version=version, who="ada", job=orders.new_id())
    assert len(orders.jobs()) == before


@pytest.fixture
def shared(drawn_data: Path, five: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """On a PostgreSQL server that several workers share."""
    import psycopg

    with server() as address:
        name = "t" + uuid.uuid4().hex
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("DATABASE_URL", address.replace("/postgres", "/" + name))
        monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path / "web"))
        monkeypatch.setattr(plans, "CHUNK", 5)
        yield Place(tmp_path / "web", registered.register(folder=drawn_data, split=five, who="ada"))
        database._engine(settings.load().database).dispose()


@pytest.fixture
def three(shared: Place, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three workers, each with a folder of its own."""
    code = "from skin_model.jobs import worker\nfrom skin_model.services import divided, workflows\n"
    code += "worker.work(workflows.WORKFLOWS, plans=divided.PLANS, lease=15.0)"
    begun = []
    for number in range(3):
        home = tmp_path / f"worker-{number}"
        home.mkdir()
        with (home / "log").open("wb") as log:
            environment = os.environ | {"SKIN_MODEL_HOME": str(home), "PYTHONPATH": str(ROOT)}
            begun.append(subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=log))
    yield begun
    for process in begun:
        process.kill()
        process.wait()


def worker_of(part: Job, workers: list[subprocess.Popen[bytes]]) -> "subprocess.Popen[bytes]":
    with database.reading() as record:
        rows = record.exec_driver_sql("SELECT executor, pid FROM workers").all()
    pids = {str(executor): int(pid) for executor, pid in rows}
    return next(process for process in workers if process.pid == pids[part.worker])


@pytest.mark.timeout(1200)
def test_three_workers_with_folders_of_their_own_come_to_the_same_also_when_one_is_killed(
    shared: Place,
    three: list[subprocess.Popen[bytes]],
    config: TrainingConfig,
    one_worker: pd.DataFrame,
) -> None:
    job = orders.new_id()
    plans.submit_crossval(data_set=shared.data, config=config, who="ada", job=job, views=1)
    victim = worker_of(midway(job), three)
    victim.kill()
    done = ended(job)
    assert (done.state, done.error) == ("done", "")
    found = out_of_fold(done)
    assert found[["image_id", "fold"]].equals(one_worker[["image_id", "fold"]])
    np.testing.assert_allclose(found[crossval.LOGS], one_worker[crossval.LOGS], atol=1e-3)
    parts = plans.parts(job=job)
    assert all([record.epoch for record in orders.history(job=part.id)] == [1, 2] for part in parts)
    assert len({part.worker for part in parts}) >= 2

    (version,) = registry.versions()
    scoring = plans.submit_scoring(folder=shared.data.folder, version=version, who="ada", job=orders.new_id())
    until(lambda: sum(part.over for part in plans.parts(job=scoring)) >= 3, "some chunks")
    left = [process for process in three if process is not victim]
    left[0].kill()
    done = ended(scoring)
    assert (done.state, done.error) == ("done", "")
    answers_agree(done, shared.data.folder)

    with study.opened(settings.load().database, "search", 4) as known:  # beside MLflow's tables of the same names
        asked = study.trial_of_part(known, 0, ("dropout",), 0)
        assert asked is not None
        known.tell(asked, 0.5)
        assert study.trial_of_part(known, 0, ("dropout",), 0) is None
        assert study.trial_of_part(known, 1, ("dropout",), 0) is not None
    assert len(registry.versions()) == 1


def midway(job: str) -> Job:
    """A part that has finished an epoch and is not over, once there is one."""
    found: list[Job] = []

    def look() -> bool:
        found[:] = [p for p in plans.parts(job=job) if p.state == "running" and orders.history(job=p.id)]
        return bool(found)

    until(look, "an epoch of a fold")
    return found[0]
