"""PostgreSQL's clock alone decides what is due, whatever this machine's clock says."""

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from shared.db.database import Database
from shared.db.queries.claim import claim
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.worker_stage import staged

#: Names are looked up in the schema that comes first, also those of PostgreSQL itself.
_AHEAD = """
CREATE SCHEMA IF NOT EXISTS ahead;
CREATE OR REPLACE FUNCTION ahead.now() RETURNS timestamptz LANGUAGE sql STABLE
  AS $$ SELECT pg_catalog.now() + interval '1 hour' $$;
CREATE OR REPLACE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$;
ALTER DATABASE {name} SET search_path = ahead, public, pg_catalog
"""


@pytest.fixture
def stage(settings):
    """Workers whose PostgreSQL is an hour ahead of them."""
    database = Database(settings.database_url, application="tests")
    with database.transaction() as connection:
        connection.execute(text(_AHEAD.format(name=make_url(settings.database_url).database)))
    database.close()
    with staged(settings) as stage:
        yield stage


def due_in_s(stage, id_):
    return stage.execute("SELECT EXTRACT(EPOCH FROM due_at - now()) AS s FROM messages WHERE id = :id", id=id_)[0].s


def test_a_dial_that_is_put_off_is_due_by_the_clock_of_postgresql(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("rate_limited", retry_after_s=100)

    stage.dial()

    assert stage.message(id_).status == "queued"
    assert 95 < due_in_s(stage, id_) < 101


def test_a_lease_ends_by_the_clock_of_postgresql(stage):
    id_ = stage.keep()
    pace = Pace("test_voice", 1e6, 100, lease_s=30, ring_s=60)
    stage.database.run(lambda connection: claim(connection, pace, Lane.OTP, wanted=9, claim_id="claim_dead"))
    stage.sweep()
    before, lease_s = stage.message(id_).status, due_in_s(stage, id_)

    stage.execute("UPDATE messages SET due_at = due_at - interval '30 seconds'")
    stage.sweep()

    assert (before, stage.message(id_).status) == ("dialing", "dial_unknown")
    assert 25 < lease_s <= 30
