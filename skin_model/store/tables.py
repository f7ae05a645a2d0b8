"""The tables as they are after the newest migration.  Times are UTC-aware."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

SCHEMA = "0001"  # the newest migration
VERSION_TABLE = "skin_model_schema"  # not Alembic's own name: MLflow keeps one in the same PostgreSQL database


class Moment(TypeDecorator[datetime]):
    """A UTC-aware time; SQLite would forget the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without its zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


metadata = sa.MetaData()

data_sets = sa.Table(
    "data_sets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("folder", sa.String(1000), nullable=False, unique=True),
    sa.Column("split", sa.Text, nullable=False),  # CSV
    sa.Column("fingerprint", sa.String(64), nullable=False),  # of the split
    sa.Column("summary", sa.JSON, nullable=False),
    sa.Column("drawn", sa.Boolean, nullable=False),
    sa.Column("registered", Moment, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False, index=True),
    sa.Column("details", sa.JSON, nullable=False),
)

promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous", sa.Integer, nullable=False),
    sa.Column("bundle", sa.String(1000), nullable=False),  # where the registry keeps it
    sa.Column("manifest", sa.String(64), nullable=False),  # SHA-256 of its manifest
    sa.Column("reason", sa.Text, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("executor", sa.String(200), primary_key=True),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("beat", Moment, nullable=False, index=True),
)

progress = sa.Table(
    "job_progress",
    metadata,
    sa.Column("job", sa.String(100), primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("state", sa.JSON, nullable=False),
)
