"""Drill: a standby that lacks the last commits is promoted. Nothing that it forgot is dialled again unasked."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from deploy.chaos import standby as streaming
from shared.db.queries import failover as queries
from shared.lifecycle import FINALS, Lane, Status
from tests.integration.promotion import Standby
from tests.integration.worker_stage import staged
from workers import failover

OWN_ENGINES = True


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.execute("TRUNCATE servers")
        stage.sweep()
        yield stage


@pytest.fixture
def promoted(own_engines, stage, tmp_path):
    """Does the given work on the old server, of which the promoted one then knows nothing."""

    def lose(work):
        standby = Standby(own_engines, tmp_path)
        work()
        standby.promote()
        stage.database.close()  # what the test itself reads by; the steps find out for themselves

    return lose


def calls_to(stage, id_):
    return len(stage.simulator.ledger.of(stage._destinations[id_]))


def test_what_was_dialled_in_the_lost_tail_is_held_and_what_came_after_flows_at_once(stage, promoted, ringpost):
    ids = [stage.keep() for _ in range(3)]
    due = stage.keep(lane=Lane.ALERT, scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    later = stage.keep(scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    stage.execute("UPDATE messages SET due_at = now() WHERE id = :id", id=due)
    promoted(stage.dial)
    new = stage.keep()

    with structlog.testing.capture_logs() as told:
        stage.dial()
    stage.sweep()
    stage.dial()

    assert [calls_to(stage, id_) for id_ in ids] == [1, 1, 1]
    assert {stage.state(id_) for id_ in (*ids, due)} == {("dial_unknown", "history_lost")}
    assert (stage.message(new).status, stage.message(later).status) == ("placed", "scheduled")
    assert [(one["messages_held"], one["log_level"]) for one in told if one["event"] == "database_history_lost"] == [
        (4, "critical")
    ]
    shown = json.loads(ringpost("failover", "show", "--json").stdout)
    assert {(row["lane"], row["messages"], row["inTime"]) for row in shown["held"]} == {("otp", 3, 3), ("alert", 1, 1)}
    assert shown["servers"][0]["held"] == 4


def test_a_standby_that_streams_takes_the_address_without_the_last_commits(own_engines, stage, tmp_path):
    known = stage.keep()
    with streaming.Standby.following(own_engines.postgres, own_engines._home, tmp_path / "standby") as standby:
        standby.await_all()
        standby.cut()
        forgotten = stage.keep()
        stage.dial()
        standby.promote()
        stage.database.close()
        stage.sweep()
        stage.dial()
    stage.database.close()
    stage.dial()

    assert stage.state(known) == ("dial_unknown", "history_lost")
    assert stage.execute("SELECT FROM messages WHERE id = :id", id=forgotten) == []
    assert [calls_to(stage, id_) for id_ in (known, forgotten)] == [1, 1]


def test_the_summary_of_a_lost_call_settles_what_is_held(stage, promoted):
    id_ = stage.keep()
    promoted(stage.dial)
    stage.sweep()
    held = stage.state(id_)

    stage.keep_received()
    stage.reconcile()

    assert held == ("dial_unknown", "history_lost")
    assert stage.message(id_).status in FINALS - {Status.UNDETERMINED}
    assert [row.settled_at is None for row in stage.attempts(id_)] == [False]
    assert calls_to(stage, id_) == 1


def test_a_worker_that_outlives_the_promotion_records_the_call_that_was_held(stage, promoted):
    id_ = stage.keep()
    stage.simulator.set_fault("slow_reply", seconds=4, count=1)
    step = stage.dialer(dial_timeout_seconds=8.0)

    promoted(lambda: step(Lane.OTP))
    stage.sweep()
    held = stage.state(id_)
    step.drain()

    assert held == ("dial_unknown", "history_lost")
    assert stage.message(id_).status == "placed"
    assert calls_to(stage, id_) == 1


def test_an_operator_releases_what_was_not_dialled(stage, promoted, ringpost):
    id_, other = stage.keep(), stage.keep()
    promoted(lambda: None)
    stage.sweep()

    released = ringpost("failover", "release", id_, "--yes")
    stage.dial()

    assert released.exit_code == 0
    assert (stage.message(id_).status, stage.state(other)) == ("placed", ("dial_unknown", "history_lost"))
    assert [(row.number, row.disposition) for row in stage.attempts(id_)] == [(1, "not_sent"), (2, "created")]
    assert calls_to(stage, id_) == 1
    assert stage.execute("SELECT action, target FROM audit_log") == [("failover.release", "1 messages")]


def test_whoever_counted_first_releases_or_discards_all(stage, promoted, ringpost):
    ids = [stage.keep(), stage.keep()]
    alert = stage.keep(lane=Lane.ALERT)
    promoted(lambda: None)
    stage.sweep()

    declined = ringpost("failover", "release", "--lane", "otp", answer="n\n")
    discarded = ringpost("failover", "discard", "--lane", "otp", answer="y\n")
    released = ringpost("failover", "release", answer="y\n")

    assert (declined.exit_code, discarded.exit_code, released.exit_code) == (1, 0, 0)
    assert "2 messages" in declined.output
    assert {stage.state(id_) for id_ in ids} == {("undetermined", "history_lost")}
    assert stage.message(alert).status == "queued"
    assert ringpost("failover", "release").output.startswith("nothing is held")


def test_what_nobody_released_ends_undetermined_with_its_own_reason(stage, promoted):
    id_ = stage.keep(ttl_s=3600)
    promoted(stage.dial)
    stage.sweep()
    row = stage.message(id_)
    waits_for_its_deadline = row.due_at == row.deadline
    stage.execute("UPDATE messages SET deadline = now(), due_at = now() WHERE id = :id", id=id_)

    late = stage.database.run(lambda connection: queries.release(connection, [id_]))
    stage.sweep()

    assert waits_for_its_deadline
    assert late == 0
    assert stage.state(id_) == ("undetermined", "history_lost")
    assert [event.status for event in stage.events(id_)] == ["dial_unknown", "undetermined"]
    assert calls_to(stage, id_) == 1


def test_a_sender_who_asked_for_a_redial_after_a_doubt_waits_for_8x8_s_log_until_the_deadline(stage, promoted):
    id_ = stage.keep(redial_unknown=True, max_attempts=2, ttl_s=3600)
    promoted(stage.dial)
    stage.sweep()
    row = stage.message(id_)

    stage.sweep()
    stage.dial()

    assert row.due_at == row.deadline
    assert (stage.state(id_), calls_to(stage, id_)) == (("dial_unknown", "history_lost"), 1)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_is_no_promotion(own_engines, stage, mode):
    id_ = stage.keep()
    own_engines.postgres.stop(mode)
    own_engines.postgres.start()

    stage.dial()
    stage.database.close()

    assert stage.message(id_).status == "placed"
    assert stage.execute("SELECT count(*), sum(held) FROM servers") == [(2, 0)]


def test_where_a_synchronous_standby_forgets_nothing_nothing_is_held(stage, promoted):
    services = stage.new_services(hold_after_failover=False)
    id_ = stage.keep()
    promoted(lambda: None)

    stage.dial(step=stage.dialer(services))

    assert stage.message(id_).status == "placed"
    assert stage.execute("SELECT held FROM servers ORDER BY found_at DESC LIMIT 1") == [(0,)]


@pytest.fixture
def as_plain_role(stage):
    """Runs a query as a role that may do nothing special."""
    stage.execute("CREATE ROLE plain")
    stage.execute("GRANT SELECT, INSERT ON servers TO plain")

    def run(query):
        with stage.database.statement() as connection:
            connection.exec_driver_sql("SET ROLE plain")
            try:
                return query(connection)
            finally:
                connection.exec_driver_sql("RESET ROLE")

    yield run
    stage.execute("DROP OWNED BY plain")
    stage.execute("DROP ROLE plain")


def test_a_role_without_privileges_sees_a_promotion_too(stage, as_plain_role):
    stage.execute("UPDATE servers SET started_at = '2000-01-01', timeline = 0")

    assert not as_plain_role(queries.greet)
    failover.check_in(stage.services)
    assert as_plain_role(queries.greet)


def test_a_server_that_hides_its_log_is_taken_as_it_is(stage, as_plain_role):
    stage.execute("DELETE FROM servers")
    stage.execute("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC")
    try:
        known = as_plain_role(queries.greet)
    finally:
        stage.execute("GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO PUBLIC")

    assert known
    assert stage.execute("SELECT system_identifier, timeline FROM servers") == [(None, None)]


def test_what_is_held_is_among_the_parked_and_sent_again_or_given_up_there(stage, promoted, ringpost):
    first, second = stage.keep(), stage.keep()
    promoted(lambda: None)
    stage.sweep()
    stage.settings.spool_dir.mkdir(parents=True, exist_ok=True)
    kept, dropped = (stage.settings.spool_dir / f"spool_{n}.5.parked" for n in range(2))
    for path in (kept, dropped):
        path.write_text("line")

    listed = json.loads(ringpost("parked", "list", "--json").stdout)
    resent = ringpost("parked", "resend", first, kept.name)
    given_up = ringpost("parked", "discard", second, dropped.name, "--yes")

    assert {row["id"] for row in listed["messages"]} == {first, second}
    assert listed["spooled"] == [kept.name, dropped.name]
    assert (resent.exit_code, given_up.exit_code) == (0, 0), resent.output + given_up.output
    assert (stage.message(first).status, stage.state(second)) == ("queued", ("undetermined", "history_lost"))
    assert [path.name for path in stage.settings.spool_dir.iterdir()] == ["spool_0.jsonl"]
