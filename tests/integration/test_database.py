"""The way to PostgreSQL: repeats where repeating is safe, says when it is away, and quotes nothing."""

import threading
import traceback

import psycopg2
import pytest
from sqlalchemy import exc, text
from sqlalchemy.engine import make_url

from deploy.engines import Engines
from shared.db.database import Database, DatabaseAway, is_away

_KILL = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'")
_SECRET = "481516"


@pytest.fixture
def victim(database_url):
    """A way to the database whose connections a test may cut."""
    database = Database(database_url, application="victim", pool_size=2)
    yield database
    database.close()


@pytest.fixture
def table(database):
    """A table of two rows."""
    with database.statement() as connection:
        connection.execute(text("DROP TABLE IF EXISTS pairs"))
        connection.execute(text("CREATE TABLE pairs (id int PRIMARY KEY CHECK (id < 100), value text)"))
        connection.execute(text("INSERT INTO pairs VALUES (1, 'a'), (2, 'b')"))
    return "pairs"


@pytest.mark.parametrize("alone", [False, True])
def test_work_whose_connection_is_lost_is_done_again(victim, database, table, alone):
    tries = []

    def work(connection):
        tries.append(connection.execute(text("SELECT pg_backend_pid()")).scalar())
        if len(tries) == 1:
            with database.statement() as other:
                other.execute(_KILL)
        return connection.execute(text("SELECT count(*) FROM pairs")).scalar()

    assert victim.run(work, alone=alone) == 2
    assert len(set(tries)) == len(tries) == 2


def test_a_pool_of_dead_connections_costs_one_retry_and_no_error(victim, database):
    victim.run(lambda connection: connection.execute(text("SELECT 1")))
    with database.statement() as other:
        other.execute(_KILL)

    assert victim.run(lambda connection: connection.execute(text("SELECT 7")).scalar()) == 7


def test_of_two_transactions_that_block_each_other_both_come_through(database, table):
    both_hold_one, one_is_done = threading.Barrier(2), threading.Event()
    tries = []

    def swap(first, second):
        def work(connection):
            tries.append(first)
            if tries.count(first) > 1:  # the victim: at once it could meet the other one, not yet awake, again
                one_is_done.wait(5)
            connection.execute(text("UPDATE pairs SET value = value || 'x' WHERE id = :id"), {"id": first})
            if tries.count(first) == 1 and not both_hold_one.broken:
                both_hold_one.wait(5)
            connection.execute(text("UPDATE pairs SET value = value || 'y' WHERE id = :id"), {"id": second})

        database.run(work, patience_s=10)
        one_is_done.set()

    threads = [threading.Thread(target=swap, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.statement() as connection:
        values = connection.execute(text("SELECT value FROM pairs ORDER BY id")).scalars().all()
    assert [sorted(value[1:]) for value in values] == [["x", "y"], ["x", "y"]]
    assert len(tries) == 3


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO pairs VALUES (1, 'again')", exc.IntegrityError),
        ("SELECT 1 / 0", exc.DataError),
        ("SELECT nothing FROM pairs", exc.ProgrammingError),
    ],
)
def test_a_statement_that_is_wrong_is_not_repeated(database, table, statement, kind):
    tries = []

    def work(connection):
        tries.append(1)
        connection.execute(text(statement))

    with pytest.raises(kind) as caught:
        database.run(work)

    assert len(tries) == 1
    assert not is_away(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pairs VALUES (1, :secret)",  # the detail would quote the key
        "INSERT INTO pairs VALUES (200, :secret)",  # the detail would quote the row
        "SELECT CAST(:secret || 'x' AS int)",  # the message itself would quote the value
        "SELECT CAST(:secret AS text) FROM nowhere",  # the excerpt would quote the statement
        "SELECT jsonb(:secret || '{')",
        "SELECT CAST(:secret AS text), no_such_function(1)",
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_no_error_quotes_a_value(database, table, statement, alone):
    with pytest.raises(exc.DBAPIError) as caught:
        database.run(lambda connection: connection.execute(text(statement), {"secret": _SECRET}), alone=alone)

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.orig)
    assert _SECRET not in told
    assert len(str(caught.value.orig)) > 5  # what went wrong is still said


def postgres_error(state):
    error = exc.DBAPIError.instance(
        "SELECT 1", None, psycopg2.errors.lookup(state)(), psycopg2.Error, hide_parameters=True
    )
    error.orig = type("Answered", (psycopg2.Error,), {"pgcode": state})()
    return error


@pytest.mark.parametrize(
    ("state", "is_so"),
    [
        ("08006", True),  # connection_failure
        ("53300", True),  # too_many_connections
        ("53100", True),  # disk_full
        ("57P01", True),  # admin_shutdown
        ("57P03", True),  # cannot_connect_now
        ("57014", True),  # query_canceled: statement_timeout
        ("25006", True),  # read_only_sql_transaction
        ("23505", False),  # unique_violation
        ("40001", False),  # serialization_failure: the database is there
        ("40P01", False),  # deadlock_detected
        ("42P01", False),  # undefined_table
        ("22P02", False),  # invalid_text_representation
    ],
)
def test_postgresql_s_own_codes_tell_whether_it_is_away(state, is_so):
    assert is_away(postgres_error(state)) is is_so


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (DatabaseAway("why"), True),
        (exc.TimeoutError("the pool is empty"), True),
        (exc.InterfaceError("s", None, psycopg2.InterfaceError("connection already closed")), True),
        (exc.OperationalError("s", None, psycopg2.OperationalError("could not connect")), True),
        (exc.ProgrammingError("s", None, psycopg2.ProgrammingError("no results to fetch")), False),
        (exc.DatabaseError("s", None, psycopg2.DatabaseError("gone"), connection_invalidated=True), True),
        (ValueError("ours"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_without_a_code_the_kind_of_error_tells(error, is_so):
    assert is_away(error) is is_so


def test_a_stopped_postgresql_is_away_and_back_when_it_runs_again(tmp_path):
    with Engines(tmp_path, redis_url="redis://unused", fast=True) as engines:
        database = Database(engines.database_url, application="tests")
        database.run(lambda connection: connection.execute(text("SELECT 1")))

        engines.postgres.kill()
        with pytest.raises(DatabaseAway) as caught:
            database.run(lambda connection: connection.execute(text("SELECT :s"), {"s": _SECRET}), patience_s=1)
        engines.postgres.start()

        assert database.run(lambda connection: connection.execute(text("SELECT 5")).scalar(), patience_s=10) == 5
        assert caught.value.__cause__ is None
        database.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_the_url_connects_also_over_a_unix_socket(database_url, scheme):
    url = f"{scheme}://{database_url.partition('://')[2]}"
    database = Database(url, application="tests")

    with database.statement() as connection:
        assert connection.execute(text("SELECT current_setting('TimeZone')")).scalar() == "UTC"

    assert make_url(database_url).query["host"].startswith("/")
    database.close()


def test_a_statement_that_takes_too_long_is_given_up(database_url):
    database = Database(database_url, application="tests", statement_timeout_s=0.2)

    with pytest.raises(DatabaseAway):
        database.run(lambda connection: connection.execute(text("SELECT pg_sleep(5)")), patience_s=0.5)

    database.close()


def test_the_application_names_itself(victim):
    with victim.statement() as connection:
        name = connection.execute(text("SELECT current_setting('application_name')")).scalar()

    assert name == "victim"
