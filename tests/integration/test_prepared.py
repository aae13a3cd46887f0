"""Statements that a connection plans once, also behind a pool that shares connections out."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.database import Database
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


def test_a_statement_is_prepared_at_its_first_use_and_used_again(database):
    def twice(connection):
        return _ADD(connection, a=1, b=2).scalar_one(), _ADD(connection, a=3, b=4).scalar_one(), prepared(connection)

    assert database.run(twice, alone=True) == (3, 7, 1)
    assert database.run(twice, alone=True) == (3, 7, 1)


def test_of_several_that_travel_together_the_last_one_s_rows_come_back(database):
    row = database.run(lambda connection: _BOTH(connection, first="a", second="b").one(), alone=True)

    assert row.second == "b,a"


def test_a_statement_is_planned_again_as_its_tables_may_have_grown(database):
    def uses_of_the_plan(connection):
        _ADD(connection, a=1, b=2)
        return connection.execute(text("SELECT generic_plans FROM pg_prepared_statements")).scalar_one()

    uses = [database.run(uses_of_the_plan, alone=True) for _ in range(18)]

    assert uses == [1, 2, 3, 4, *range(1, 13), 1, 2]


def test_a_plan_that_could_not_be_renewed_is_made_at_the_next_use(database, monkeypatch):
    def use(connection):
        return _ADD(connection, a=1, b=2).scalar_one()

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
        return _ADD(connection, a=2, b=3).scalar_one(), prepared(connection)

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
