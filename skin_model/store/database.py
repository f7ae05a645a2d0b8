"""One engine per process and address, and transactions on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from skin_model import settings
from skin_model.errors import StoreError
from skin_model.store.tables import SCHEMA, VERSION_TABLE

PATIENCE = 30  # seconds to wait for another process's transaction
FAR = {"connect_timeout": 5, "tcp_user_timeout": 5000}  # s, ms: pages ask a server that may be switched off


@contextmanager
def reading(address: str | None = None) -> Iterator[sa.Connection]:
    """A connection that sees one state of the record; `address` is that of the settings by default.

    Raises:
        StoreError: the record cannot be reached, or is damaged.
    """
    with _named(address) as engine, engine.begin() as connection:
        yield connection


@contextmanager
def writing(address: str | None = None) -> Iterator[sa.Connection]:
    """One transaction: all of it is kept, or nothing where the block fails.

    Raises:
        StoreError: the record cannot be reached, or is damaged.
    """
    with _named(address) as engine, engine.execution_options(immediate=True).begin() as connection:
        yield connection


@contextmanager
def alone() -> Iterator[None]:
    """Let one process at a time in, of all that share the record; for what must happen once, and takes seconds.

    Raises:
        StoreError: the record cannot be reached, or is damaged.
    """
    with writing() as record:  # on SQLite there is one writer at a time
        if record.dialect.name == "postgresql":
            record.execute(sa.text("SELECT pg_advisory_xact_lock(7172201813)"))
        yield


def exists(address: str | None = None) -> bool:
    """Whether anything was ever recorded; asks no server."""
    url = address or settings.load().database
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).is_file()


@contextmanager
def explained(what: str, address: str, *, check: str, anew: str) -> Iterator[None]:
    """Turn a database's word that it cannot be reached, or is damaged, into a sentence.

    Args:
        what: the database holds, with its article.
        address: of the database; a password in it is not shown.
        check: what to look at where it cannot be reached.
        anew: what is there, and what is not, once a damaged one was moved away.

    Raises:
        StoreError: as said; an error of what was asked of a sound database stays as it is.
    """
    place = sa.make_url(address).render_as_string(hide_password=True)
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError):
        raise
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, OSError) as error:
        said = getattr(error, "orig", None) or error
        raise StoreError(f"{what} at {place} cannot be reached ({said}). Check that {check}.") from error
    except sa.exc.DatabaseError as error:
        raise StoreError(
            f"{what} cannot be read: {place} is damaged ({error.orig}). Restore it from a backup, then start the app "
            f"anew. Without a backup, move it away (with SQLite, the files -wal and -shm too): {anew}."
        ) from error


@contextmanager
def _named(address: str | None) -> Iterator[sa.Engine]:
    url = address or settings.load().database
    with explained(
        "The record",
        url,
        check="its folder can be written, or that the server of DATABASE_URL runs",
        anew="a new record begins, with no data set registered and the bundled model in use",
    ):
        yield _engine(url)


@cache
def _engine(url: str) -> sa.Engine:
    """An engine whose tables are those of this version."""
    sqlite = url.startswith("sqlite")
    if sqlite:
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE} if sqlite else FAR, pool_pre_ping=not sqlite)
    if sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    try:
        _bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin_sqlite` does
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that first reads and then writes would be refused, not made to wait."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


def _bring_up_to_date(engine: sa.Engine) -> None:
    if _schema(engine) == SCHEMA:
        return
    from alembic import command
    from alembic.config import Config

    migrations = Config()
    migrations.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7172201811)"))  # two starting at once take turns
        migrations.attributes["connection"] = connection
        command.upgrade(migrations, "head")


def _schema(engine: sa.Engine) -> str | None:
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
