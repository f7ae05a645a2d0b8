"""What is read from and written to the record; each function takes the transaction it is part of."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from skin_model.entities import AuditEvent, DataSet, Promotion
from skin_model.errors import StoreError
from skin_model.store import tables


def audit(connection: sa.Connection, *, actor: str, action: str, subject: str, **details: Any) -> None:
    """Note who did what to what, now."""
    row = {"at": datetime.now(UTC), "actor": actor, "action": action, "subject": subject, "details": details}
    connection.execute(sa.insert(tables.audit_events).values(row))


def audit_events(connection: sa.Connection, *, subject: str | None = None, limit: int = 200) -> list[AuditEvent]:
    """The newest events, the newest first; those of one subject where it is given."""
    table = tables.audit_events
    query = sa.select(*(table.c[f.name] for f in dataclasses.fields(AuditEvent)))
    if subject is not None:
        query = query.where(table.c.subject == subject)
    rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()
    return [AuditEvent(**row) for row in rows]


def add_data_set(connection: sa.Connection, data_set: DataSet) -> DataSet:
    """Register a data set, or replace what is known of its folder; returns it with its id and name.

    Two are never called alike: people choose them by name, so a name that another has is followed by the folder.
    """
    table = tables.data_sets
    row = {f.name: getattr(data_set, f.name) for f in dataclasses.fields(DataSet) if f.name != "id"}
    row["folder"] = str(data_set.folder)
    if connection.dialect.name == "postgresql":  # two who register one folder at once take turns
        connection.execute(sa.text("LOCK TABLE data_sets IN SHARE ROW EXCLUSIVE MODE"))
    others = connection.execute(sa.select(table.c.name).where(table.c.folder != row["folder"])).scalars()
    row["name"] = _shortened(data_set.name, 60)
    if row["name"] in set(others):
        row["name"] += f" ({_shortened(row['folder'], 130)})"
    known = connection.execute(sa.select(table.c.id).where(table.c.folder == row["folder"])).scalar()
    if known is None:
        known = connection.execute(sa.insert(table).values(row).returning(table.c.id)).scalar_one()
    else:
        connection.execute(sa.update(table).where(table.c.id == known).values(row))
    return dataclasses.replace(data_set, id=known, name=row["name"])


def data_sets(connection: sa.Connection) -> list[DataSet]:
    """All registered data sets, the first one first."""
    rows = connection.execute(sa.select(tables.data_sets).order_by(tables.data_sets.c.id)).mappings()
    return [DataSet(**{**row, "folder": Path(row["folder"])}) for row in rows]


def promote(connection: sa.Connection, promotion: Promotion) -> None:
    """Append to the history; from now on the version is the one in use.

    Raises:
        StoreError: `previous` is no longer in use, because someone else promoted a version meanwhile.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE promotions IN SHARE ROW EXCLUSIVE MODE"))
    newest = promotions(connection, limit=1)
    if newest and newest[0].version != promotion.previous:
        raise StoreError(
            f"{newest[0].actor} put version {newest[0].version} into use meanwhile. Look at the page again."
        )
    connection.execute(sa.insert(tables.promotions).values(dataclasses.asdict(promotion)))


def promotions(connection: sa.Connection, *, limit: int | None = None) -> list[Promotion]:
    """The history, the newest first."""
    table = tables.promotions
    query = sa.select(*(table.c[f.name] for f in dataclasses.fields(Promotion))).order_by(table.c.id.desc())
    return [Promotion(**row) for row in connection.execute(query.limit(limit)).mappings()]


def beat(connection: sa.Connection, executor: str, pid: int, *, gone: bool = False) -> None:
    """Note that a worker lives; `gone`: it left, so others may take over at once."""
    now = _now(connection)
    row = {"pid": pid, "beat": datetime.fromtimestamp(0, UTC) if gone else now}
    _put(connection, tables.workers, {"executor": executor}, row, at_first={"started": now})


def beats(connection: sa.Connection) -> dict[str, float]:
    """Worker -> seconds since it last gave a sign of life."""
    table, now = tables.workers, _now(connection)
    rows = connection.execute(sa.select(table.c.executor, table.c.beat))
    return {executor: (now - at).total_seconds() for executor, at in rows}


def forget_workers(connection: sa.Connection, executors: Iterable[str]) -> None:
    """Drop workers that are not expected back; one that comes back is noted anew."""
    connection.execute(sa.delete(tables.workers).where(tables.workers.c.executor.in_(list(executors))))


def tell(connection: sa.Connection, job: str, state: Mapping[str, Any]) -> None:
    """Keep what a worker last told of a job."""
    _put(connection, tables.progress, {"job": job}, {"at": datetime.now(UTC), "state": dict(state)})


def told(connection: sa.Connection, jobs: list[str]) -> dict[str, dict[str, Any]]:
    """Job -> what was last told of it, with the time under `at`."""
    table = tables.progress
    rows = connection.execute(sa.select(table).where(table.c.job.in_(jobs))).mappings()
    return {row["job"]: row["state"] | {"at": row["at"]} for row in rows}


def forget(connection: sa.Connection, job: str) -> None:
    """Drop what was told of a job."""
    connection.execute(sa.delete(tables.progress).where(tables.progress.c.job == job))


def _now(connection: sa.Connection) -> datetime:
    """By the clock of the database server, where there is one: those of the machines around it may differ."""
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def _put(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    row: Mapping[str, Any],
    *,
    at_first: Mapping[str, Any] | None = None,
) -> None:
    """Insert a row or update the one of that key, in one statement: two may come at once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(table).values({**key, **row, **(at_first or {})})
    connection.execute(new.on_conflict_do_update(index_elements=list(key), set_=dict(row)))


def _shortened(text: str, most: int) -> str:
    """The end of a text that is too long for its column: of a folder it tells more than the beginning."""
    return text if len(text) <= most else "..." + text[3 - most :]
