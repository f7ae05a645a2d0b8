"""The queues with real workers, which are killed, frozen and woken; on SQLite and on PostgreSQL."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from installed import small_disk, until

from skin_model import settings
from skin_model.errors import JobError, StoreError
from skin_model.jobs import queue
from skin_model.jobs.running import Running
from skin_model.store import database, records, tables

pytestmark = pytest.mark.timeout(900)  # `until` gives up earlier, and says what it waited for
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    from postgres import server

    with server() as address:
        yield address


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without any job."""
    home = tmp_path / "home"
    monkeypatch.setenv("SKIN_MODEL_HOME", str(home))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if request.param == "PostgreSQL":
        import psycopg

        given, name = request.getfixturevalue("postgres"), "t" + uuid.uuid4().hex
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("DATABASE_URL", given.replace("/postgres", "/" + name))
    return home


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a worker process."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(lease: float = 3.0, program: Path = ROOT) -> subprocess.Popen[bytes]:
        home.mkdir(exist_ok=True)
        log = (home / f"log-{len(begun)}").open("wb")
        command, environment = [sys.executable, HERE / "toys.py", str(lease)], os.environ | {"PYTHONPATH": str(program)}
        begun.append(subprocess.Popen(command, env=environment, stderr=log))
        log.close()
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


def counting(home: Path, name: str, epochs: int = 3, pause: float = 0.02) -> dict[str, object]:
    folder = home / "counts" / name
    folder.mkdir(parents=True)
    return {"folder": str(folder), "epochs": epochs, "pause": pause}


def gated(order: dict[str, object]) -> tuple[dict[str, object], Path]:
    """The order of a job that waits after each epoch until the file is there."""
    gate = Path(str(order["folder"])) / "gate"
    return order | {"gate": str(gate)}, gate


def written(order: dict[str, object]) -> list[tuple[int, str]]:
    """(epoch, token of the execution that finished it)."""
    file = Path(str(order["folder"])) / "written"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def over(job: str) -> Callable[[], bool]:
    return lambda: queue.find(job).over


def test_a_job_waits_for_a_worker_runs_and_keeps_what_came_of_it(home: Path, start: Callable[..., object]) -> None:
    order = counting(home, "a")
    queue.enqueue(kind="count", order=order, job="a")
    queue.enqueue(kind="count", order=order, job="a")  # pressed twice
    assert [(j.id, j.state, j.order) for j in queue.listed()] == [("a", "waiting", order)]
    start()
    until(lambda: queue.find("a").progress.get("epoch"), "progress")
    until(over("a"), "the end")
    found = queue.find("a")
    assert (found.state, found.outcome) == ("done", "counted [1, 2, 3]")
    assert queue.steps("a", "epoch") == [1, 2, 3]
    assert found.created <= found.ended


def test_a_worker_whose_memory_has_grown_begins_anew_before_its_next_job_and_a_plan_does_not_mind(
    home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    process = start(lease=1000)  # so it is the same worker, not another one, that goes on
    queue.enqueue(kind="count", order=counting(home, "first"), job="first")
    until(over("first"), "the first job")
    small = resident()
    queue.enqueue(kind="grow", order={}, job="grow")
    until(over("grow"), "the growth")
    assert resident() > small + 2**27
    orders = [counting(home, name) for name in "abc"]
    queue.enqueue(kind="plan", order={"parts": orders}, job="plan", queue=queue.PLANS)
    until(over("plan"), "the plan")
    assert queue.find("plan").state == "done"
    assert resident() < small + 2**27
    assert process.poll() is None
    assert [[epoch for epoch, _ in written(order)] for order in orders] == [[1, 2, 3]] * 3
    assert {job.worker for job in queue.listed()} == {queue.find("first").worker}


def test_a_worker_that_outlives_an_update_begins_anew_with_the_new_program(
    home: Path, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "skin_model", tmp_path / "skin_model", ignore=shutil.ignore_patterns("__pycache__"))
    process = start(lease=1000, program=tmp_path)
    for job, expected in (("a", "the old one"), ("b", "the new one")):
        queue.enqueue(kind="tell program", order={}, job=job)
        until(over(job), job)
        assert queue.find(job).outcome == expected
        with (tmp_path / "skin_model" / "errors.py").open("a") as source:
            source.write('\nMARK = "the new one"\n')
    assert process.poll() is None


def test_a_worker_gone_for_long_is_forgotten_once_its_jobs_were_looked_for(
    home: Path, start: Callable[..., object]
) -> None:
    queue.enqueue(kind="count", order=counting(home, "a"), job="a")  # the record is there
    for name, age in (("long gone", 25 * 3600), ("gone", 3600)):
        with database.writing() as record:
            records.beat(record, name, 1)
            record.execute(
                sa.update(tables.workers)
                .where(tables.workers.c.executor == name)
                .values(beat=datetime.now(UTC) - timedelta(seconds=age))
            )
    start()
    until(lambda: "long gone" not in alive(), "it to be forgotten")
    assert "gone" in alive()


def test_a_killed_worker_goes_on_after_the_last_finished_epoch_once_it_is_back(
    home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    order, gate = gated(counting(home, "a", epochs=4))
    queue.enqueue(kind="count", order=order, job="a")
    first = start(lease=1000)  # so it is its own return, not the lease, that brings the job back
    until(lambda: written(order), "an epoch")
    first.kill()
    first.wait()
    gate.touch()
    start(lease=1000)
    until(over("a"), "the end")
    assert [epoch for epoch, _ in written(order)] == [1, 2, 3, 4]
    assert len({token for _, token in written(order)}) == 2
    assert queue.find("a").outcome == "counted [1, 2, 3, 4]"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_end_ends_at_once_and_its_job_goes_on_elsewhere(
    home: Path, start: Callable[..., subprocess.Popen[bytes]], signal_number: int
) -> None:
    order, gate = gated(counting(home, "a", epochs=3))
    queue.enqueue(kind="count", order=order, job="a")
    queue.enqueue(kind="count", order=counting(home, "b", epochs=1), job="b")
    first = start()
    until(lambda: written(order), "an epoch")
    first.send_signal(signal_number)
    until(lambda: first.poll() is not None, "the worker to end while its job waits")
    assert first.returncode == 0
    gate.touch()
    start()
    until(lambda: queue.find("a").over and queue.find("b").over, "the end")
    assert [epoch for epoch, _ in written(order)] == [1, 2, 3]
    assert (queue.find("a").state, queue.find("b").state) == ("done", "done")


@pytest.fixture
def two(home: Path, start: Callable[..., subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    """Two workers at work, in the order of their names."""
    workers = []
    for number in range(2):
        workers.append(start())
        until(lambda wanted=number + 1: len(alive()) == wanted, "a worker to start")
    return workers


def alive() -> dict[str, float]:
    with database.reading() as record:
        return records.beats(record)


def whose(job: str, workers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    return workers[int(queue.find(job).worker.rsplit("-", 1)[1])]


def test_a_living_worker_takes_over_from_a_dead_one(home: Path, two: list[subprocess.Popen[bytes]]) -> None:
    order, gate = gated(counting(home, "a", epochs=4))
    queue.enqueue(kind="count", order=order, job="a")
    until(lambda: written(order), "an epoch")
    dead = whose("a", two)
    dead.kill()
    gate.touch()
    until(over("a"), "the end")
    assert [epoch for epoch, _ in written(order)] == [1, 2, 3, 4]
    assert whose("a", two) is not dead


def put_to_sleep(process: subprocess.Popen[bytes]) -> None:
    """Freeze a process between two transactions: inside one it would keep its locks, and nobody could take over."""

    def frozen() -> bool:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        if any(locked(address) for address in {settings.load().database, settings.load().jobs}):
            process.send_signal(signal.SIGCONT)
            return False
        return True

    until(frozen, "a moment between two transactions")


def locked(address: str) -> bool:
    """Whether somebody has held a database's locks for longer than anybody awake does."""
    engine = sa.create_engine(address, connect_args={"timeout": 1} if address.startswith("sqlite") else {})
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                held = "backend_xid IS NOT NULL AND state_change < now() - interval '0.3 seconds'"
                return bool(connection.exec_driver_sql(f"SELECT 1 FROM pg_stat_activity WHERE {held}").first())
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return False
    except sa.exc.OperationalError:
        return True
    finally:
        engine.dispose()


def test_a_worker_that_was_only_asleep_stops_itself_when_it_wakes(
    home: Path, two: list[subprocess.Popen[bytes]]
) -> None:
    order, gate = gated(counting(home, "a", epochs=6, pause=0.05))
    queue.enqueue(kind="count", order=order, job="a")
    until(lambda: written(order), "an epoch")
    asleep, token = whose("a", two), written(order)[0][1]
    put_to_sleep(asleep)
    gate.touch()
    until(lambda: written(order)[-1][1] != token, "another to take over")
    asleep.send_signal(signal.SIGCONT)
    until(over("a"), "the end")
    tokens = [token for _, token in written(order)]
    assert [epoch for epoch, _ in written(order)] == [1, 2, 3, 4, 5, 6]
    assert tokens == sorted(tokens, key=lambda t: t != token)  # not one more of the sleeper once another had begun
    assert queue.steps("a", "epoch") == [1, 2, 3, 4, 5, 6]
    two[1 - two.index(asleep)].kill()
    queue.enqueue(kind="count", order=counting(home, "b", epochs=1), job="b")  # and it is fit for more
    until(lambda: queue.find("b").state == "done", "the next job")
    assert asleep.poll() is None


def test_a_running_job_is_cancelled_within_a_batch_and_resumed_where_it_was(
    home: Path, start: Callable[..., object]
) -> None:
    order, gate = gated(counting(home, "a", epochs=4))
    queue.enqueue(kind="count", order=order, job="a")
    waiting = counting(home, "b", epochs=1)
    queue.enqueue(kind="count", order=waiting, job="b")
    queue.cancel("b")  # while waiting
    start()
    until(lambda: written(order), "an epoch")
    queue.cancel("a")
    assert queue.find("a").state == "cancelled"
    time.sleep(1)
    gate.touch()
    time.sleep(1)
    assert [epoch for epoch, _ in written(order)] == [1]
    assert written(waiting) == []
    with pytest.raises(JobError, match="cancelled already"):
        queue.cancel("a")
    queue.resume("a")
    until(over("a"), "the end")
    assert [epoch for epoch, _ in written(order)] == [1, 2, 3, 4]
    assert queue.find("a").state == "done"
    with pytest.raises(JobError, match="only a cancelled or failed one"):
        queue.resume("a")


def test_a_failed_job_says_why_lets_the_next_one_run_and_can_be_resumed(
    home: Path, start: Callable[..., object]
) -> None:
    mended = home / "mended"
    queue.enqueue(kind="fail", order={"file": str(mended)}, job="bad")
    queue.enqueue(kind="count", order=counting(home, "a", epochs=1), job="good")
    start()
    until(over("good"), "the next job")
    assert queue.find("bad").error == "The data folder is gone; bring it back, then resume."
    assert queue.find("good").state == "done"
    mended.touch()
    queue.resume("bad")
    until(lambda: queue.find("bad").state == "done", "the resumed job")
    queue.delete("bad")
    assert [job.id for job in queue.listed()] == ["good"]
    with pytest.raises(JobError, match="no job bad"):
        queue.find("bad")


def test_a_job_whose_end_found_no_room_on_the_disk_goes_on_once_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    monkeypatch.setenv("SKIN_MODEL_HOME", str(small))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    command, environment = [sys.executable, HERE / "toys.py", "3"], os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        small_disk(small, "16m"),
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stderr=log) as worker,
    ):
        try:
            filler = small / "filler"
            queue.enqueue(kind="fill", order={"filler": str(filler), "elsewhere": str(tmp_path)}, job="a")
            until(lambda: (tmp_path / "filled").exists(), "the disk to be full")
            time.sleep(2)  # for the worker to find out
            (tmp_path / "mended").touch()
            filler.unlink()
            until(over("a"), "the end")
            found = queue.find("a")
            assert found.state == "done" or found.error == "The disk is full. Make room, then resume."
        finally:
            worker.kill()


def test_parts_run_one_at_a_time_and_come_back_in_order(home: Path, start: Callable[..., object]) -> None:
    parts = [counting(home, f"part{k}", epochs=k + 1) for k in range(3)]
    queue.enqueue(kind="plan", order={"parts": parts}, job="plan", queue=queue.PLANS)
    start()
    until(over("plan"), "the end")
    assert queue.find("plan").outcome == ["counted [1]", "counted [1, 2]", "counted [1, 2, 3]"]
    assert [job.kind for job in queue.listed()] == ["plan"]
    assert {job.kind for job in queue.listed(parent="plan")} == {"count"}


def test_cancelling_and_resuming_reaches_the_parts(home: Path, start: Callable[..., object]) -> None:
    parts = [counting(home, f"part{k}", epochs=2) for k in range(2)]
    parts[0], gate = gated(parts[0])
    queue.enqueue(kind="plan", order={"parts": parts}, job="plan", queue=queue.PLANS)
    start()
    until(lambda: written(parts[0]), "an epoch")
    queue.cancel("plan")
    assert {job.state for job in queue.listed(parent="plan")} <= {"cancelled", "done"}
    gate.touch()
    time.sleep(1)
    assert [len(written(part)) for part in parts] == [1, 0]
    queue.resume("plan")
    until(lambda: queue.find("plan").state == "done", "the end")
    assert [epoch for epoch, _ in written(parts[0])] == [1, 2]


def test_a_part_that_fails_fails_the_whole_with_its_sentence_stops_the_others_and_all_can_be_resumed(
    home: Path, start: Callable[..., object]
) -> None:
    first, second = counting(home, "first", epochs=1) | {"fails": True}, counting(home, "second", epochs=8, pause=0.05)
    queue.enqueue(kind="plan", order={"parts": [first, second]}, job="plan", queue=queue.PLANS)
    start()
    until(over("plan"), "the end")
    assert queue.find("plan").error == "The data folder is gone; bring it back, then resume."
    until(lambda: all(part.over for part in queue.listed(parent="plan")), "the parts to end")
    assert {part.state for part in queue.listed(parent="plan")} == {"failed", "cancelled"}
    assert len(written(second)) < 8
    (Path(str(first["folder"])) / "mended").touch()
    queue.resume("plan")
    until(lambda: queue.find("plan").state in ("done", "failed"), "the end")
    assert queue.find("plan").outcome == ["counted [1]", f"counted {list(range(1, 9))}"]


def test_a_job_that_takes_its_worker_down_again_and_again_counts_as_failed(
    home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    queue.enqueue(kind="die", order={}, job="deadly")
    queue.enqueue(kind="count", order=counting(home, "a", epochs=1), job="good")
    for _ in range(4):
        process = start(lease=1000)
        until(lambda process=process: process.poll() is not None or queue.find("good").over, "worker or job to end")
    assert "want of memory" in queue.find("deadly").error
    until(over("good"), "the next job")
    assert queue.find("good").state == "done"


def test_asking_before_anything_was_queued_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert queue.listed() == []
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_told_for_a_moment_stops_no_job(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    Running("a", "token").tell({"epoch": 1}, now=True)
    assert "how far job a is could not be told: The record at" in caplog.text


def test_queues_whose_file_is_damaged_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "jobs.db"
    file.write_bytes(b"this is no database, or no longer one " * 200)
    monkeypatch.setenv("SKIN_MODEL_JOBS_URL", f"sqlite:///{file}")
    for ask in (queue.listed, lambda: queue.enqueue(kind="count", order={}, job="b")):
        with pytest.raises(StoreError, match=r"The queues cannot be read: .*jobs\.db is damaged .* Restore it"):
            ask()


def test_queues_whose_server_has_ended_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from postgres import server

    with server() as address:
        monkeypatch.setenv("DATABASE_URL", address)
        queue.enqueue(kind="count", order={}, job="a")
        assert [job.id for job in queue.listed()] == ["a"]
    asked: list[Callable[[], object]] = [
        queue.listed, lambda: queue.find("a"), lambda: queue.steps("a", "epoch"), lambda: queue.cancel("a"),
        lambda: queue.enqueue(kind="count", order={}, job="b"),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(StoreError, match=r"(?s)The queues at postgresql.* cannot be reached"):
            ask()
