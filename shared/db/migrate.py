"""Bring a database to the schema that this code knows, by Alembic, one process at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from shared.db.database import Database

#: Any number that nobody else locks: two migrations must not run side by side.
_LOCK: Final = 7_464_767_806_784


def migrate(database: Database) -> list[str]:
    """
    Run the migrations that the database lacks.

    A migration that cannot have its locks within 5 s gives up rather than hold traffic back; run it again.

    Returns:
        The revisions applied, oldest first; empty when there was nothing to do.
    """
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        missing = pending(connection)
        connection.commit()  # a migration that builds an index beside the traffic must begin outside of a transaction
        if missing:
            command.upgrade(_config(connection), "head")
            connection.commit()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        connection.commit()
        connection.invalidate()  # the next user of this connection wants its own timeouts
    return missing


def pending(connection: Connection) -> list[str]:
    """The revisions that the database lacks, oldest first; none where a later release has migrated it already."""
    script = ScriptDirectory.from_config(_config(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {step.revision for step in script.walk_revisions()}:
        return []  # its schema serves this release, too: both run side by side until the last process is replaced
    steps = script.iterate_revisions("head", current or "base")
    return [step.revision for step in steps][::-1]


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
