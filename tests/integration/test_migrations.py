"""Migrations build what ``shared/db/tables.py`` says, and can be walked both ways."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text

from shared.db import migrate as migrations
from shared.db.database import Database
from shared.db.prepared import Prepared
from shared.db.tables import METADATA
from shared.ids import new_id

_numbers = itertools.count(1)

#: What compare_metadata does not see: the text of CHECKs and of partial indexes, storage parameters.
UNSEEN = """
SELECT conrelid::regclass || ' ' || conname AS name, pg_get_constraintdef(oid) AS said FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid NOT IN (SELECT inhrelid FROM pg_inherits)
UNION ALL
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
AND tablename NOT IN (SELECT inhrelid::regclass::text FROM pg_inherits)
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
        parts = set(connection.execute(text("SELECT inhrelid::regclass::text FROM pg_inherits")).scalars())
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "target_metadata": METADATA,
                "include_name": lambda name, kind, _parents: kind != "table" or name not in parts,
            },
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


def test_tables_become_partitions_beside_the_traffic_and_keep_their_rows(empty):
    # What a worker of the release before does, on the connections that it has.
    opened = Prepared("INSERT INTO delivery_attempts (callback_id, number) VALUES (:id, 1)", id="text")
    recorded = Prepared("UPDATE delivery_attempts SET http_status = 200 WHERE callback_id = :id", id="text")
    leg = Prepared(
        "INSERT INTO call_legs (session_id, leg, attempt_id) VALUES (:id, 'callA', :id) ON CONFLICT DO NOTHING",
        id="text",
    )
    _walk(empty, "upgrade", "0020")
    role = f"worker_{next(_numbers)}"
    with empty.transaction() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT, INSERT ON call_legs TO {role}"))
    begun, over, ids = threading.Event(), threading.Event(), []

    def write():
        while not over.is_set() or len(ids) < 50:
            ids.append(new_id("")[1:])
            for statement, prefix in ((opened, "cb"), (recorded, "cb"), (leg, "att"), (leg, "att"), (leg, "test")):
                empty.run(partial(statement, id=f"{prefix}_{ids[-1]}"), alone=True)
            if len(ids) == 20:
                begun.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert begun.wait(10)
        broken_off = list(itertools.takewhile(lambda place: not _broken_off_at(empty, place), itertools.count()))
        over.set()
        writing.result()

    assert len(broken_off) > 10
    with empty.engine.connect() as connection:
        tries = connection.execute(
            text("SELECT count(*), count(http_status), count(DISTINCT tableoid) FROM delivery_attempts")
        )
        assert tries.one() == (len(ids), len(ids), 1)
        # Those of test messages are set aside.
        legs = connection.execute(
            text("SELECT substr(attempt_id, 1, 3), count(*) FROM call_legs GROUP BY 1 ORDER BY 1")
        )
        aside = connection.execute(text("SELECT substr(attempt_id, 1, 3), count(*) FROM call_legs_rest GROUP BY 1"))
        assert legs.all() == [("att", len(ids)), ("tes", len(ids))]
        assert aside.all() == [("tes", len(ids))]
        for left in ("pg_proc WHERE proname LIKE '%_aside'", "pg_constraint WHERE conname LIKE '%_until'"):
            assert connection.execute(text(f"SELECT FROM {left}")).all() == []
        assert connection.execute(text(f"SELECT has_table_privilege('{role}', 'call_legs', 'INSERT')")).scalar()
        kinds = connection.execute(
            text("SELECT relkind FROM pg_class WHERE relname IN ('call_legs', 'delivery_attempts')")
        )
        assert kinds.scalars().all() == ["p", "p"]


def _broken_off_at(database, place):
    """Kill a migration before its statement of that *place*; whether it came to its end without it."""
    left = iter(range(place))

    def stop(*_):
        if next(left, None) is None:
            raise InterruptedError

    event.listen(database.engine, "before_cursor_execute", stop)
    try:
        migrations.migrate(database)
    except InterruptedError:
        return False
    finally:
        event.remove(database.engine, "before_cursor_execute", stop)
        database.engine.dispose()  # what a killed process held
    return True


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
