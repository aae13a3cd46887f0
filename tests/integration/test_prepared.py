"""Statements that a connection plans once, also behind a pool that shares connections out."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError

from shared.db.database import Database, sql_state
from shared.db.prepared import Prepared

_ADD = Prepared("SELECT CAST(:a AS int) + :b AS sum", a="int", b="int")
_BOTH = Prepared("SELECT :first AS first", "SELECT :second || ',' || :first AS second", first="text", second="text")


@pytest.fixture
def database(database_url):
    database = Database(database_url, application="prepared", pool_size=1)
    yield database
    database.close()


def prepared(connection):
    return connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()


def total(connection, a, b):
    (row,) = _ADD(connection, a=a, b=b)
    return row.sum


def test_a_statement_is_prepared_at_its_first_use_and_used_again(database):
    def twice(connection):
        return total(connection, 1, 2), total(connection, 3, 4), prepared(connection)

    assert database.run(twice, alone=True) == (3, 7, 1)
    assert database.run(twice, alone=True) == (3, 7, 1)


def test_of_several_that_travel_together_the_last_one_s_rows_come_back(database):
    (row,) = database.run(lambda connection: _BOTH(connection, first="a", second="b"), alone=True)

    assert row.second == "b,a"


def test_a_statement_is_planned_again_as_its_tables_may_have_grown(database):
    def uses_of_the_plan(connection):
        _ADD(connection, a=1, b=2)
        return connection.execute(text("SELECT generic_plans FROM pg_prepared_statements")).scalar_one()

    uses = [database.run(uses_of_the_plan, alone=True) for _ in range(18)]

    assert uses == [1, 2, 3, 4, *range(1, 13), 1, 2]


def test_a_plan_that_could_not_be_renewed_is_made_at_the_next_use(database, monkeypatch):
    def use(connection):
        return total(connection, 1, 2)

    for _ in range(4):
        database.run(use, alone=True)
    renew = next(iter(_ADD._prepare))
    with monkeypatch.context() as broken:
        broken.setitem(_ADD._prepare, renew, "SELECT 1 / 0")
        with pytest.raises(DBAPIError):
            database.run(use, alone=True)

    assert database.run(use, alone=True) == 3
    assert database.run(prepared, alone=True) == 1


@pytest.mark.parametrize("alone", [True, False])
def test_behind_a_pool_that_shares_connections_statements_are_planned_each_time(database, alone):
    database.run(lambda connection: _ADD(connection, a=1, b=1), alone=alone)
    # What a pooler does between two transactions: another server connection, which knows nothing of ours.
    database.run(lambda connection: connection.execute(text("DEALLOCATE ALL")), alone=alone)

    def add(connection):
        return total(connection, 2, 3), prepared(connection)

    assert database.run(add, alone=alone) == (5, 0)
    assert database.run(add, alone=alone) == (5, 0)


def test_no_statement_reads_a_table_whole_or_compiles_its_plan(database):
    names = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit")
    for alone in (True, False):
        for name in names:
            assert database.run(lambda c, name=name: c.execute(text(f"SHOW {name}")).scalar_one(), alone=alone) == "off"


def test_reports_may_read_tables_whole(database_url):
    reports = Database(database_url, application="reports", pool_size=1, by_index=False)

    assert reports.run(lambda connection: connection.execute(text("SHOW enable_seqscan")).scalar_one()) == "on"

    reports.close()


def test_a_statement_without_rows_gives_none(database):
    nothing = Prepared("UPDATE lanes SET paused_at = NULL WHERE lane = :lane", lane="text")

    assert database.run(lambda connection: nothing(connection, lane="none"), alone=True) == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_statement_that_fails_leaves_its_connection_usable_and_tells_no_value(database, alone):
    with pytest.raises(DataError) as failed:
        database.run(lambda connection: _ADD(connection, a="a secret", b=1), alone=alone)

    assert "secret" not in str(failed.value) + str(failed.value.orig)
    assert sql_state(failed.value) == "22P02"
    assert database.run(lambda connection: total(connection, 1, 2), alone=alone) == 3


@pytest.mark.parametrize("alone", [True, False])
def test_after_a_crash_of_postgresql_every_connection_is_made_anew(database, alone):
    def backend(connection):
        total(connection, 1, 2)
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    def end(connection):
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": before})

    before = database.run(backend, alone=alone)
    database.run(end, alone=not alone)
    tries = []

    def again(connection):
        tries.append(connection)
        return backend(connection)

    assert database.run(again, alone=alone) != before
    assert len(tries) == 2


def test_what_breaks_off_halfway_leaves_no_answer_to_whoever_is_next(database):
    class Broken(BaseException):
        pass

    class Value:
        def __conform__(self, _):
            raise Broken

    with pytest.raises(Broken), database.statement() as connection:
        _ADD(connection, a=Value(), b=1)

    assert database.run(lambda connection: total(connection, 1, 2), alone=True) == 3
