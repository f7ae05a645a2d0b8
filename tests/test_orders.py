"""Trainings as they are ordered: with the worker that the app starts, killed in the middle; and what is refused."""

import math
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path

import pandas as pd
import pytest
from installed import installation, until

from skin_model import bundle, settings, tracking
from skin_model.bundle import Bundle
from skin_model.entities import DataSet
from skin_model.errors import ConfigurationError, DatasetError, JobError, StoreError, TrainingError
from skin_model.jobs import keeper, queue, worker
from skin_model.jobs.running import Running
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import (
    durable,
    models,
    orders,
    plans,
    registered,
    registry,
    reproduction,
    training,
    workflows,
    workspace,
)
from skin_model.services.telling import Telling
from skin_model.store import database, records
from skin_model.training.run import OnEpoch
from skin_model.training.state import RunState, ancestors, lineage, lineage_folders, write_state

FIGURES = [field.name for field in fields(EpochRecord) if field.name != "seconds"]
SPLITS: dict[int, Path] = {}  # of the registered sets


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("orders")
    with installation(home):
        yield home


@pytest.fixture(scope="module")
def data_set(home: Path, drawn_data: Path, split_file: Path) -> DataSet:
    made = registered.register(folder=drawn_data, split=split_file, who="ada")
    SPLITS[made.id] = split_file
    return made


@pytest.fixture(scope="module")
def small(tiny: TrainingConfig) -> TrainingConfig:
    return replace(tiny, size=32, epochs=3)


def state(job: str) -> str:
    return next(found.state for found in orders.jobs() if found.id == job)


@pytest.fixture(scope="module")
def ended(
    home: Path, data_set: DataSet, small: TrainingConfig, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Three jobs that were queued, the first one's worker killed in the middle: what each is for -> its id.

    The app starts the workers by itself, as it does when a page is open; starting one takes seconds, hence one story.
    """
    jobs = {name: orders.new_id() for name in ("killed", "without data", "trial")}
    copy = tmp_path_factory.mktemp("copy") / "lesions"
    shutil.copytree(data_set.folder, copy)
    vanishing = registered.register(folder=copy, split=SPLITS[data_set.id], who="ada")
    lock = worker.take(worker.slot_file(home))  # nobody works yet
    for _ in range(2):  # pressed twice
        orders.submit(data_set=data_set, config=small, who="ada", job=jobs["killed"], views=1)
    orders.submit(data_set=vanishing, config=small, who="ada", job=jobs["without data"], views=1)
    orders.rehearse(data_set=data_set, config=small, who="ada", job=jobs["trial"])
    assert [job.state for job in orders.jobs()] == ["waiting"] * 3
    copy.rename(copy.with_name("moved"))
    os.close(lock)
    until(lambda: orders.jobs() and orders.history(job=jobs["killed"]), "an epoch")  # `jobs` starts the worker
    (begun,) = keeper._begun  # the app never starts a second one
    assert os.getpriority(os.PRIO_PROCESS, begun.pid) > os.getpriority(os.PRIO_PROCESS, 0)  # analyses come first
    begun.kill()
    until(lambda: all(job.over for job in orders.jobs()), "the end of all")
    copy.with_name("moved").rename(copy)
    return jobs


@pytest.mark.timeout(900)
def test_a_job_without_its_data_says_what_to_do_and_the_others_run(ended: dict[str, str], home: Path) -> None:
    assert {name: state(job) for name, job in ended.items()} == {
        "killed": "done", "without data": "failed", "trial": "done"
    }  # fmt: skip
    failed = next(job for job in orders.jobs() if job.id == ended["without data"])
    assert "is not there. Bring it back or mount it, then resume." in failed.error
    trial = next(job for job in orders.jobs() if job.id == ended["trial"])
    assert orders.estimate(trial) > 3 * trial.outcome["batches"] * trial.outcome["batch"]
    assert not list((home / "runs").glob(".rehearsal-*"))


@pytest.mark.timeout(900)
def test_a_job_is_resumed_and_cancelled_in_the_middle_and_leaves_nothing_that_looks_finished(
    ended: dict[str, str], home: Path
) -> None:
    job = ended["without data"]
    orders.resume(job=job, who="ada")
    until(lambda: orders.history(job=job), "an epoch")
    orders.cancel(job=job, who="ben")
    assert state(job) == "cancelled"
    assert not list((home / "runs" / job).glob("*/bundle"))
    assert len(registry.versions()) == 2


@pytest.mark.timeout(900)
def test_a_training_outlives_its_worker_and_ends_as_a_version_with_an_undisturbed_history(
    ended: dict[str, str], home: Path, data_set: DataSet, small: TrainingConfig, tmp_path: Path
) -> None:
    job = ended["killed"]
    (folder,) = [path for path in (home / "runs" / job).iterdir() if path.is_dir()]
    kept = pd.read_csv(folder / "history.csv")
    training.train(data=data_set.folder, folder=tmp_path / "calm", config=small, split=folder / "split.csv")
    calm = pd.read_csv(tmp_path / "calm" / "history.csv")
    pd.testing.assert_frame_equal(kept[FIGURES], calm[FIGURES])
    assert [record.epoch for record in orders.history(job=job)] == [1, 2, 3]

    found = next(found for found in orders.jobs() if found.id == job)
    newest, first = registry.versions()
    assert (newest.number, first.number) == (found.outcome["version"], 1) == (2, 1)
    assert (newest.status, newest.drawn, first.status) == ("challenger", True, "champion")
    logged = tracking._client().get_metric_history(tracking.versions()[0].run, "val_loss")
    assert sorted((m.step, m.value) for m in logged) == list(zip(calm["epoch"], calm["val_loss"], strict=True))
    with pytest.raises(ConfigurationError, match="learned from drawings"):
        registry.promote(version=newest, who="ada", reason="it is new")

    orders.delete(job=job, who="ben")
    assert not (home / "runs" / job).exists()
    assert job not in [found.id for found in orders.jobs()]
    with database.reading() as record:
        done = [(event.actor, event.action) for event in records.audit_events(record, subject=job)]
    assert done == [("ben", "delete job"), ("ada", "start training")]


def test_what_contradicts_itself_is_refused_with_the_bound_before_anything_is_queued(
    data_set: DataSet, small: TrainingConfig, tmp_path: Path
) -> None:
    before = len(orders.jobs())
    for config, views, words in (
        (replace(small, batch=1000), 1, r"batch must be at most \d+, the number of training images"),
        (replace(small, validation="fold4"), 1, "no fold4"),
        (small, 3, "views must be one of"),
        (replace(small, weights=orders.IN_USE), 1, "is a lite0_mobilenet"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            orders.submit(data_set=data_set, config=config, who="ada", job=orders.new_id(), views=views)
    run = tmp_path / "run"
    run.mkdir()
    write_state(RunState(replace(small, validation="fold1"), data_set.fingerprint, finished=True), run)
    met = replace(small, weights=str(run / "best.keras"))
    for queue_it in (orders.submit, plans.submit_search):
        with pytest.raises(ConfigurationError, match="learned from lesions of fold0"):
            queue_it(data_set=data_set, config=met, who="ada", job=orders.new_id())
    taught = replace(small, teachers=str(run))
    for queue_it in (orders.submit, plans.submit_search):
        with pytest.raises(ConfigurationError, match="would teach the network what is to be measured"):
            queue_it(data_set=data_set, config=taught, who="ada", job=orders.new_id())
    moved = replace(data_set, folder=Path("/nowhere"))
    with pytest.raises(TrainingError, match="is not there"):
        orders.submit(data_set=moved, config=small, who="ada", job=orders.new_id())
    assert len(orders.jobs()) == before


def test_a_worker_elsewhere_fetches_the_model_that_a_training_starts_from(
    data_set: DataSet, tiny: TrainingConfig, made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "folder_in_use", lambda: made.folder)
    version = registry.Version(1, made.manifest.model_version, registry.CHAMPION, True, "")
    monkeypatch.setattr(registry, "versions", lambda: [version])
    monkeypatch.setattr(registry, "folder", lambda version: made.folder)
    asked = replace(tiny, weights=orders.IN_USE)
    order = orders.order_for(data_set=data_set, config=asked, who="ada", name="", views=1)
    here = durable.settings_of(order)
    assert here == TrainingConfig(**order["config"])

    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))  # that of another machine, which has not the first one's files
    shutil.rmtree(Path(str(here.weights)).parent)
    monkeypatch.setattr(registry, "fetch", lambda **reference: made if reference == order["start"] else None)
    there = durable.settings_of(order)
    assert tmp_path in Path(str(there.weights)).parents
    assert [run.config.network for run in ancestors(there, data_set.fingerprint)] == [tiny.network]
    assert replace(there, weights=here.weights) == here


def test_two_folders_of_one_kind_are_told_apart_by_name(
    drawn_data: Path, split_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path / "home"))
    copy = tmp_path / "lesions"
    shutil.copytree(drawn_data, copy)
    first = registered.register(folder=drawn_data, split=split_file, who="ben")
    for _ in range(2):  # registered again each keeps its name
        assert registered.register(folder=copy, split=split_file, who="ben").name == f"{first.name} ({copy})"
        assert registered.register(folder=drawn_data, split=split_file, who="ben").name == first.name
    assert [known.name for known in registered.data_sets()] == [first.name, f"{first.name} ({copy})"]


def test_a_demonstration_set_that_cannot_be_drawn_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(DatasetError, match=r"Nothing could be drawn into .*Mend this"):
        registered.register_demo(who="ben")


def test_a_folder_that_cannot_be_used_is_refused_with_its_problems(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        registered.register(folder=tmp_path / "none", who="ada")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "note.txt").write_text("x")
    with pytest.raises(DatasetError):
        registered.register(folder=tmp_path / "odd", who="ada")


@pytest.mark.parametrize(
    ("named", "words"),
    [("", "Name a folder"), (" ", "Name a folder"), ("~nobody-of-that-name/x", "home"), ("x" * 300, "too long"),
     ("a\0b", "no folder|null byte")],
)  # fmt: skip
def test_what_is_no_folder_on_this_server_is_refused_in_a_sentence(home: Path, named: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        registered.server_folder(Path(named))


@pytest.mark.parametrize("named", ["~nobody-of-that-name/x", "a\0b", "~/none.csv"])
def test_a_split_that_cannot_be_found_is_refused_in_a_sentence(data_set: DataSet, named: str) -> None:
    with pytest.raises(DatasetError) as caught:
        registered.register(folder=data_set.folder, split=Path(named), who="ada")
    assert "~/" not in str(caught.value)


def test_a_training_is_not_deleted_while_another_that_learns_from_its_network_may_go_on(
    data_set: DataSet, small: TrainingConfig, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "ensure_worker", lambda: None)

    def begun(weights: str | None = None, teachers: str = "") -> tuple[str, Path]:
        """A training that has learned something, and was cancelled; its folder."""
        config = replace(small, weights=weights, teachers=teachers)
        job = orders.submit(data_set=data_set, config=config, who="ada", job=orders.new_id(), views=1)
        run = home / "runs" / job / "token"
        run.mkdir(parents=True)
        (run / "best.keras").touch()
        write_state(RunState(config, data_set.fingerprint, finished=True), run)
        orders.cancel(job=job, who="ada")
        return job, run

    first, first_run = begun()
    second, second_run = begun(weights=str(first_run / "best.keras"))
    third, _ = begun(teachers=str(second_run))
    for needed in (first, second):
        with pytest.raises(JobError, match=r"\(cancelled\) learns from the network of this training"):
            orders.delete(job=needed, who="ben")
    assert first_run.is_dir()
    for job in (third, second, first):
        orders.delete(job=job, who="ben")
    assert not first_run.exists()


def test_the_demonstration_set_that_somebody_else_draws_meanwhile_is_taken(
    home: Path, drawn_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(folder: Path, **_: object) -> None:
        shutil.copytree(drawn_data, folder)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(registered.drawn, "draw_dataset", overtaken)
    assert registered.register_demo(who="ben").folder == home / "data" / "drawn"


def test_steps_of_epochs_that_another_worker_trained_beyond_the_last_are_passed_over(
    data_set: DataSet, small: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DBOS finds steps again by their number, so what follows the epochs must not meet a recorded epoch."""
    taken: list[str] = []
    logged = dict[str, float]()
    known = dict.fromkeys((field.name for field in fields(EpochRecord)), 0.5)
    epochs = [EpochRecord(**known | {"epoch": number}) for number in (1, 2, 3, 4)]
    trained = RunState(small, data_set.fingerprint, tuple(epochs[:2]), 2, finished=True, refitted={"val_loss": 1.0})

    def train(*, on_epoch: OnEpoch, **_: object) -> RunState:
        for record in trained.history:
            on_epoch(record, True)
        return trained

    monkeypatch.setattr(durable.training, "train", train)
    monkeypatch.setattr(durable, "step", lambda name, *_: taken.append(name))
    monkeypatch.setattr(durable.tracking, "log_figures", lambda run, figures, step: logged.update(figures))
    monkeypatch.setattr(durable.queue, "steps", lambda job, name: [asdict(record) for record in epochs])
    me = Running("job", "token")
    durable.trained(me, Telling(me, small), small, data_set, tmp_path, "run")
    assert logged == {"refitted_val_loss": 1.0}
    assert taken == ["epoch"] * 4, "and no other: it would stand where the next worker's epochs are looked for"


def test_a_training_that_was_registered_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker died between the last step and the end."""
    monkeypatch.setattr(workflows.Running, "current", lambda: Running("job", "token"))
    monkeypatch.setattr(workflows.queue, "steps", lambda job, name: [{"version": 7}] if name == "register" else [])
    assert workflows.train({}) == {"version": 7}


def test_a_clone_of_a_training_from_the_model_in_use_tells_workers_elsewhere_where_it_is_from(
    data_set: DataSet, tiny: TrainingConfig, made: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "folder_in_use", lambda: made.folder)
    version = registry.Version(1, made.manifest.model_version, registry.CHAMPION, True, "")
    monkeypatch.setattr(registry, "versions", lambda: [version])
    monkeypatch.setattr(registry, "folder", lambda version: made.folder)
    asked = {"data_set": data_set, "who": "ada", "name": "", "views": 1}
    first = orders.order_for(**asked, config=replace(tiny, weights=orders.IN_USE))
    clone = orders.order_for(**asked, config=TrainingConfig(**first["config"]))
    assert clone == first
    assert clone["start"]["version"] == 1
    assert "start" not in orders.order_for(**asked, config=tiny)


def test_several_may_begin_from_the_model_in_use_at_once(
    made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    together = threading.Barrier(8)

    def begin(_: int) -> str:
        together.wait()
        return durable.as_run(made)

    with ThreadPoolExecutor(8) as pool:
        (weights,) = set(pool.map(begin, range(8)))
    assert bundle.sha256(Path(weights)) == bundle.sha256(made.path("network.keras"))
    assert sorted(path.name for path in Path(weights).parent.iterdir()) == ["best.keras", "run.json"]


def test_trials_of_a_few_steps_do_not_push_other_jobs_out_of_the_list(
    data_set: DataSet, small: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    monkeypatch.setattr(keeper, "ensure_worker", lambda: False)
    order = {"name": "a", "actor": "ada"}
    queue.enqueue(kind="score", order=order, job="waits")
    for kind, job in [("train", "old"), *(("rehearse", f"trial {n}") for n in range(4)), ("train", "new")]:
        queue.enqueue(kind=kind, order=order, job=job)
        queue.cancel(job)
    monkeypatch.setattr(orders, "_TRIED", 2)
    assert {job.id for job in orders.jobs(limit=2)} == {"new", "trial 3", "trial 2", "old", "waits"}


def test_jobs_for_which_nobody_works_are_said_to_wait_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    monkeypatch.setattr(keeper, "ensure_worker", lambda: False)
    queue.enqueue(kind="train", order={"name": "a", "actor": "ada"}, job="a")
    assert orders.nobody_works(orders.jobs()) == "", "it has only just been asked for"
    monkeypatch.setattr(worker, "LEASE", 0.0)
    assert "worker.log" in orders.nobody_works(orders.jobs())
    monkeypatch.setattr(worker, "LEASE", 1e-3)
    with database.writing() as record:
        records.beat(record, "alive", 1)
    monkeypatch.setattr(records, "beats", lambda record: {"alive": 0.0})
    assert orders.nobody_works(orders.jobs()) == ""


def test_a_worker_that_ends_by_an_error_is_not_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SKIN_MODEL_HOME", str(home))
    monkeypatch.setattr(keeper, "_begun", [])
    monkeypatch.setattr(keeper, "_failed", -math.inf)
    home.mkdir()
    (home / "jobs.db").mkdir()  # so there can be no queues
    assert keeper.ensure_worker()
    assert keeper._begun[0].wait(120) > 0
    assert not keeper.ensure_worker()
    monkeypatch.setattr(keeper, "AFTER_FAILURE", 0.0)
    assert keeper.ensure_worker()
    keeper._begun[0].kill()
    keeper._begun[0].wait()
    monkeypatch.setattr(keeper, "AFTER_FAILURE", 60.0)
    monkeypatch.setattr(keeper, "_failed", -math.inf)
    assert keeper.ensure_worker(), "one that was killed is started again at once"
    keeper._begun[0].kill()
    keeper._begun[0].wait()


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(registered.getpass, "getuser", nameless)
    assert registered.actor() == f"uid {os.getuid()}"


def test_what_was_not_queued_is_not_noted_and_what_was_is_noted_once(
    data_set: DataSet, small: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(**_: object) -> None:
        raise StoreError("The queues cannot be reached.")

    def submit() -> list[str]:
        orders.submit(data_set=data_set, config=small, who="ada", job=job, views=1)
        return noted()

    def noted() -> list[str]:
        with database.reading() as record:
            return [event.action for event in records.audit_events(record, subject=job)]

    job = orders.new_id()
    monkeypatch.setattr(keeper, "ensure_worker", lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(queue, "enqueue", down)
        with pytest.raises(StoreError):
            submit()
    assert noted() == []
    assert submit() == submit() == ["start training"]  # pressed twice
    orders.cancel(job=job, who="ada")
    orders.delete(job=job, who="ada")


def test_a_registered_data_set_tells_what_is_in_it(data_set: DataSet, parts: pd.DataFrame) -> None:
    assert registered.data_sets()[0] == data_set
    assert data_set.drawn
    counts = {part: {c: n[0] for c, n in classes.items()} for part, classes in data_set.summary["parts"].items()}
    expected = parts.groupby(["part", "dx"]).size()
    assert counts == {part: dict(expected[part]) for part in expected.index.levels[0]}
    for code, paths in registered.samples(data_set=data_set).items():
        rows = parts[parts["path"].isin(paths)]
        assert set(rows["dx"]) == {code}
        assert "test" not in set(rows["part"])


def test_the_settings_offered_first_are_the_shipped_models_as_far_as_they_suit_the_data_and_new_weights(
    data_set: DataSet,
) -> None:
    config = orders.defaults(data_set)
    assert (config.network, config.size, config.weights, config.frozen) == ("mobilenet", 288, None, 0)
    stages = bundle.read(settings.ASSETS / "model").manifest.stages
    first = next(
        stage for stage in stages if not stage["weights"].endswith(".keras") and stage["network"] == "mobilenet"
    )
    assert (config.learning_rate, config.warmup_epochs) == (first["learning_rate"], first["warmup_epochs"])
    without = replace(data_set, summary=data_set.summary | {"masks": 0})
    assert data_set.summary["masks"] == data_set.summary["images"]
    assert orders.defaults(without).attention == 0
    attentive = replace(config, batch=8, attention=1.0)
    orders.check(data_set=data_set, config=attentive)
    with pytest.raises(ConfigurationError, match="no lesion masks"):
        orders.check(data_set=without, config=attentive)
    for preset in orders.PRESETS.values():
        orders.check(data_set=data_set, config=replace(config, batch=8, **preset))


@pytest.mark.timeout(900)
def test_a_model_made_from_the_model_in_use_tells_every_training_behind_it(
    data_set: DataSet, tiny: TrainingConfig, made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "folder_in_use", lambda: made.folder)
    config = replace(tiny, epochs=1, weights=orders.IN_USE)
    order = orders.order_for(data_set=data_set, config=config, who="ada", name="", views=1)
    config = TrainingConfig(**order["config"])
    training.train(data=data_set.folder, folder=tmp_path / "run", config=config, split=SPLITS[data_set.id])
    on = models.make_bundle(data=data_set.folder, run=tmp_path / "run", out=tmp_path / "model")
    assert on.manifest.stages == [made.manifest.training]
    first, second, *_ = reproduction.commands(on.manifest)
    assert first == reproduction.commands(made.manifest)[0]
    assert "--out runs/2 --network custom_cnn --weights runs/1/best.keras" in second


def test_a_training_from_the_shipped_pair_tells_every_training_behind_it(
    data_set: DataSet, small: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = bundle.read(settings.ASSETS / "model").manifest
    monkeypatch.setattr(workspace, "folder_in_use", lambda: settings.ASSETS / "model")
    data_set = replace(data_set, fingerprint=shipped.data["split"])
    config = replace(small, network=shipped.network, size=shipped.size, validation="none", weights=orders.IN_USE)
    order = orders.order_for(data_set=data_set, config=config, who="ada", name="", views=1)
    orders.check_start(order)
    write_state(RunState(TrainingConfig(**order["config"]), data_set.fingerprint, finished=True), tmp_path)
    found = reproduction.told(lineage(tmp_path), lineage_folders(tmp_path))
    assert found[:-1] == [*shipped.stages, shipped.training]


def test_a_job_that_is_not_there_is_said_to_be_gone(home: Path) -> None:
    for act in (orders.cancel, orders.resume, orders.delete):
        with pytest.raises(JobError, match="no job"):
            act(job="none", who="ada")


@pytest.mark.timeout(900)
def test_a_binary_training_ends_as_a_version_with_the_figures_that_it_has(
    ended: dict[str, str], home: Path, data_set: DataSet, small: TrainingConfig
) -> None:
    job, config = orders.new_id(), replace(small, task="binary", epochs=1)
    orders.submit(data_set=data_set, config=config, who="ada", job=job, views=1)
    until(lambda: queue.find(job).over, "the end of the binary training")
    done = queue.find(job)
    assert (done.state, done.error) == ("done", "")
    assert registry.versions()[0].number == done.outcome["version"]
    assert 0 <= done.outcome["figures"]["malignant_auc"] <= 1
    assert "balanced_accuracy" not in done.outcome["figures"]
    assert (done.outcome["recalls"], done.outcome["confusion"]) == ({}, None)
