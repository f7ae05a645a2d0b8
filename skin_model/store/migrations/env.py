"""Run by Alembic on the connection that `store.database` hands over."""

from alembic import context

from skin_model.store.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
