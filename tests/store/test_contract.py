"""One contract for the project's record, kept on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
import sqlalchemy as sa

from skin_model import settings
from skin_model.entities import DataSet, Promotion
from skin_model.errors import StoreError
from skin_model.store import database, records, tables

AT = datetime(2026, 11, 21, 5, 30, 1, 250_000, UTC)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    from postgres import server

    with server() as address:
        yield address


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty record, as the settings give it."""
    if request.param == "SQLite":
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'record.db'}")
    else:
        given, name = request.getfixturevalue("postgres"), "t" + uuid.uuid4().hex
        engine = sa.create_engine(given.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        monkeypatch.setenv("DATABASE_URL", given.replace("/postgres", "/" + name))
    return settings.load().database


def data_set(folder: str = "/data/ham", **changed: object) -> DataSet:
    known = {"id": 0, "name": "HAM", "folder": Path(folder), "split": "image_id\n", "fingerprint": "ab" * 32,
             "summary": {"images": 3}, "drawn": False, "registered": AT, "actor": "ada"}  # fmt: skip
    return DataSet(**(known | changed))


def promotion(version: int, previous: int) -> Promotion:
    return Promotion(AT, "ada", version, previous, f"runs:/{version}", "cd" * 32, "better on every figure")


def test_what_was_written_is_read_back_with_its_zone(address: str) -> None:
    with database.writing() as record:
        records.add_data_set(record, data_set())
        records.promote(record, promotion(2, 1))
    with database.reading() as record:
        (kept,), (promoted,) = records.data_sets(record), records.promotions(record)
    assert kept == data_set(id=kept.id)
    assert promoted == promotion(2, 1)


def test_a_transaction_that_fails_leaves_nothing(address: str) -> None:
    def half() -> None:
        with database.writing() as record:
            records.audit(record, actor="ada", action="delete", subject="x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with database.reading() as record:
        assert records.audit_events(record) == []


@pytest.mark.parametrize("change", ["UPDATE {} SET actor = 'eve'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["audit_events", "promotions"])
def test_history_can_be_added_to_and_never_changed(address: str, table: str, change: str) -> None:
    with database.writing() as record:
        records.audit(record, actor="ada", action="promote", subject="2", reason="better")
        records.promote(record, promotion(2, 1))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.writing() as record:
        record.execute(sa.text(change.format(table)))
    with database.reading() as record:
        (event,) = records.audit_events(record, subject="2")
        assert (event.actor, event.details) == ("ada", {"reason": "better"})
        assert records.promotions(record) == [promotion(2, 1)]


def test_the_newest_promotion_comes_first(address: str) -> None:
    with database.writing() as record:
        for version, previous in ((2, 1), (3, 2), (2, 3)):
            records.promote(record, promotion(version, previous))
    with database.reading() as record:
        assert [p.version for p in records.promotions(record)] == [2, 3, 2]
        assert [p.previous for p in records.promotions(record, limit=1)] == [3]


@pytest.mark.parametrize("address", ["PostgreSQL"], indirect=True)  # SQLite serves one machine, with one clock
def test_the_age_of_a_sign_of_life_hangs_on_one_clock_whatever_the_machines_say(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(hours=1)

    with monkeypatch.context() as elsewhere, database.writing() as record:
        elsewhere.setattr(records, "datetime", Behind)
        records.beat(record, "slow clock", 1)
    with database.writing() as record:
        records.beat(record, "ours", 2)
        ages = records.beats(record)
        assert ages.keys() == {"slow clock", "ours"}
        assert max(ages.values()) < 600
        records.beat(record, "ours", 2, gone=True)
        assert records.beats(record)["ours"] > 1e9
        records.forget_workers(record, ["ours"])
        assert records.beats(record).keys() == {"slow clock"}


def test_two_who_tell_of_a_job_for_the_first_time_at_once_both_can(address: str) -> None:
    """The second tells while the first has not yet finished."""
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with database.writing(address) as record:
            records.tell(record, "job", {"batch": 2})

    with ThreadPoolExecutor() as pool:
        with database.writing(address) as record:
            records.tell(record, "job", {"batch": 1})
            later = pool.submit(second)
            assert begun.wait(60)
            time.sleep(0.5)
        later.result(timeout=60)
    with database.reading(address) as record:
        assert records.told(record, ["job"])["job"]["batch"] == 2


def test_long_names_and_folders_are_kept_short_enough_for_every_database(address: str) -> None:
    long = "/data/" + "/".join(["x" * 190] * 4)
    with database.writing() as record:
        for folder in (long + "1", long + "2"):
            records.add_data_set(record, data_set(folder, name="y" * 250))
    with database.reading() as record:
        names = [known.name for known in records.data_sets(record)]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 200


def test_a_folder_registered_again_is_the_same_data_set_with_its_new_split(address: str) -> None:
    with database.writing() as record:
        first = records.add_data_set(record, data_set())
        again = records.add_data_set(record, data_set(fingerprint="ef" * 32))
        other = records.add_data_set(record, data_set("/data/isic"))
    assert first.id == again.id != other.id
    with database.reading() as record:
        assert [d.fingerprint[:2] for d in records.data_sets(record)] == ["ef", "ab"]


def test_two_who_register_one_folder_at_once_register_one_data_set(address: str) -> None:
    """The second asks for it while the first has not yet finished."""
    begun = threading.Event()

    def second() -> DataSet:
        begun.set()
        with database.writing(address) as record:
            return records.add_data_set(record, data_set(actor="ben"))

    with ThreadPoolExecutor() as pool:
        with database.writing(address) as record:
            first = records.add_data_set(record, data_set())
            later = pool.submit(second)
            assert begun.wait(60)
            time.sleep(0.5)
        assert later.result(timeout=60).id == first.id
    with database.reading(address) as record:
        (known,) = records.data_sets(record)
    assert known.actor == "ben"


def test_what_a_worker_tells_replaces_what_it_told_before(address: str) -> None:
    with database.writing() as record:
        records.tell(record, "a", {"epoch": 1})
        records.tell(record, "a", {"epoch": 2})
        records.tell(record, "b", {"epoch": 7})
        records.forget(record, "b")
    with database.reading() as record:
        told = records.told(record, ["a", "b"])
    assert told.keys() == {"a"}
    assert told["a"]["epoch"] == 2
    assert abs((datetime.now(UTC) - told["a"]["at"]).total_seconds()) < 60


def test_a_worker_that_left_counts_as_silent_for_long(address: str) -> None:
    with database.writing() as record:
        records.beat(record, "one", 1)
        records.beat(record, "two", 2)
        records.beat(record, "two", 2, gone=True)
    with database.reading() as record:
        beats = records.beats(record)
    assert beats["one"] < 60 < 10**6 < beats["two"]


def write(address: str, who: str) -> None:
    written = 0
    while written < 20:
        with suppress(StoreError), database.writing(address) as record:
            newest = records.promotions(record, limit=1)
            previous = newest[0].version if newest else 1
            records.promote(record, Promotion(AT, who, previous + 1, previous, "", "", ""))
            written += 1


def test_two_processes_that_begin_and_write_at_once_take_turns(address: str) -> None:
    """Each reads the newest version and adds the next: none is lost, none is given twice."""
    code = "import sys, test_contract\ntest_contract.write(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, address]
    writers = [subprocess.Popen([*command, who], env=environment) for who in ("ada", "ben")]
    assert [writer.wait(200) for writer in writers] == [0, 0]
    with database.reading(address) as record:
        assert [p.version for p in records.promotions(record)] == list(range(41, 1, -1))


def test_who_promotes_over_a_promotion_of_someone_else_is_told(address: str) -> None:
    with database.writing() as record:
        records.promote(record, promotion(2, 1))
    with pytest.raises(StoreError, match="ada put version 2 into use meanwhile"), database.writing() as record:
        records.promote(record, promotion(3, 1))


def test_the_migrations_make_the_tables_that_the_code_expects(address: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.reading() as record:
        context = MigrationContext.configure(record, opts={"version_table": tables.VERSION_TABLE})
        assert context.get_current_revision() == tables.SCHEMA
        assert compare_metadata(context, tables.metadata) == []


def test_a_record_that_is_damaged_is_said_to_be_and_is_read_again_once_restored(tmp_path: Path) -> None:
    sound = f"sqlite:///{tmp_path / 'sound.db'}"
    with database.writing(sound) as record:
        records.promote(record, promotion(2, 1))
    database._engine(sound).dispose()  # as when the app ends: all is in the one file
    kept, file = (tmp_path / "sound.db").read_bytes(), tmp_path / "record.db"
    address = f"sqlite:///{file}"
    for header in (b"", kept[:100]):  # another file, or SQLite's with other pages
        file.write_bytes(header + b"damaged" * 5000)
        with pytest.raises(StoreError, match=r"is damaged \(.*\)\. Restore it"), database.reading(address):
            pass
    file.write_bytes(kept)
    with database.reading(address) as record:
        assert records.promotions(record) == [promotion(2, 1)]


def test_a_record_that_cannot_be_reached_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:geheim@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(StoreError, match=r"(?s)cannot be reached .*DATABASE_URL") as caught, database.reading():
        pass
    assert "geheim" not in str(caught.value)
