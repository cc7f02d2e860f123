"""Runs inside `shared.store.migrate`, on the connection, transaction and lock it holds."""

from alembic import context

from shared.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
