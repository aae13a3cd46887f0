"""Alembic's entry: runs the steps over the connection that `shared.db.migrate` hands in."""

from alembic import context

from shared.db.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=True,
)
context.run_migrations()
