"""Migrations build what ``shared/db/tables.py`` says, and can be walked both ways."""

import itertools

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from shared.db import migrate as migrations
from shared.db.database import Database
from shared.db.tables import METADATA

_numbers = itertools.count(1)

#: What compare_metadata does not see: the text of CHECKs and of partial indexes, storage parameters.
UNSEEN = """
SELECT conrelid::regclass || ' ' || conname AS name, pg_get_constraintdef(oid) AS said FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT relname, array_to_string(reloptions, ',') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
ORDER BY 1, 2
"""


@pytest.fixture
def empty(engines):
    """A database without any table."""
    database = Database(engines.postgres.create_database(f"migrations_{next(_numbers)}"), application="tests")
    yield database
    database.close()


def test_the_migrations_build_the_tables_that_the_code_knows(empty):
    migrations.migrate(empty)

    with empty.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": METADATA}
        )
        assert compare_metadata(context, METADATA) == []


def test_checks_indexes_and_storage_are_those_of_the_tables(engines, empty):
    created = Database(engines.postgres.create_database("created_from_tables"), application="tests")
    with created.transaction() as connection:
        METADATA.create_all(connection)

    migrations.migrate(empty)

    assert [row for row in _unseen(empty) if not row[0].startswith("alembic_version")] == _unseen(created)
    created.close()


def test_every_migration_can_be_undone_and_done_again(empty):
    migrations.migrate(empty)
    before = _unseen(empty)

    _walk(empty, "downgrade", "base")
    with empty.engine.connect() as connection:
        left = set(inspect(connection).get_table_names())
    _walk(empty, "upgrade", "head")

    assert left <= {"alembic_version"}
    assert _unseen(empty) == before


def test_there_is_one_line_of_migrations_with_one_head():
    script = ScriptDirectory.from_config(_config())

    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


def test_a_migrated_database_lacks_nothing(empty):
    with empty.engine.connect() as connection:
        before = migrations.pending(connection)

    assert migrations.migrate(empty) == before != []
    with empty.engine.connect() as connection:
        assert migrations.pending(connection) == []


def test_a_database_that_a_later_release_migrated_lacks_nothing(empty):
    # While a release is rolled out, processes of the one before must stay ready.
    migrations.migrate(empty)
    with empty.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of_tomorrow'")

    assert empty.run(migrations.pending) == []
    assert migrations.migrate(empty) == []


def _unseen(database):
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(UNSEEN))]


def _walk(database, direction, target):
    with database.engine.connect() as connection:
        getattr(command, direction)(_config(connection), target)
        connection.commit()


def _config(connection=None):
    config = Config()
    config.set_main_option("script_location", migrations.__file__.replace("migrate.py", "migrations"))
    config.attributes["connection"] = connection
    return config
