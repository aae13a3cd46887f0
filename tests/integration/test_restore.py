"""Drill: PostgreSQL is put back to a backup. Nothing that was dialled since is dialled again, and the check says so."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import make_url

from shared.db.queries import feed, restored
from tests.integration.promotion import copied
from tests.integration.worker_stage import PROVIDER, staged

OWN_ENGINES = True


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.execute("TRUNCATE servers, audit_log, processes")
        stage.sweep()
        yield stage


@pytest.fixture
def backup(own_engines, stage, tmp_path):
    """Copies PostgreSQL's folder now; what it returns puts the copy into the folder's place."""

    def take():
        postgres = own_engines.postgres
        data = postgres._home.postgres
        postgres.stop()
        copy = copied(postgres, tmp_path / "backup")
        postgres.start()
        stage.database.close()

        def restore():
            postgres.stop()
            shutil.rmtree(data)
            copy.rename(data)
            postgres.start()
            stage.database.close()

        return restore

    return take


def calls_to(stage, id_):
    return len(stage.simulator.ledger.of(stage._destinations[id_]))


def checked(result):
    assert result.stdout, result.output
    return {one["name"]: one["grade"] for one in json.loads(result.stdout)["checks"]}


def test_what_was_dialled_since_the_backup_is_held_and_what_comes_later_is_dialled(stage, backup, ringpost):
    dialed, waits = stage.keep(), stage.keep(ttl_s=3600)
    later = stage.keep(scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    stage.execute("UPDATE messages SET due_at = now() + interval '1 hour' WHERE id = :id", id=waits)
    restore = backup()
    stage.dial()
    assert calls_to(stage, dialed) == 1
    restore()
    stage.execute("UPDATE messages SET due_at = now() WHERE id = :id", id=waits)

    before = ringpost("restore-check", "--json")
    held = ringpost("restore-check", "--hold", "--json")
    new = stage.keep()
    stage.dial()
    stage.sweep()

    assert (before.exit_code, checked(before)["waiting messages"]) == (1, "failure")
    assert held.exit_code == 0, held.stdout
    assert (held.exit_code, checked(held)["waiting messages"], checked(held)["held messages"]) == (0, "ok", "warning")
    assert {stage.state(id_) for id_ in (dialed, waits)} == {("dial_unknown", "history_lost")}
    assert (stage.message(later).status, stage.message(new).status) == ("scheduled", "placed")
    assert [calls_to(stage, id_) for id_ in (dialed, waits, new)] == [1, 0, 1]
    assert stage.execute("SELECT action FROM audit_log") == [("failover.restored",)]

    assert ringpost("failover", "release", waits, "--yes").exit_code == 0
    stage.dial()
    assert calls_to(stage, waits) == 1


def test_events_go_on_behind_those_that_the_backup_lacks(stage, backup, ringpost):
    stage.keep()
    stage.dial()
    stage.keep_received()
    stage.reconcile()
    told = last_sequence(stage)
    restore = backup()
    stage.execute("UPDATE providers SET last_sequence = 900")  # told since, and remembered by whoever was told
    restore()

    held = ringpost("restore-check", "--hold", "--json")

    assert checked(held)["conservation"] == "ok"
    assert last_sequence(stage) == told + restored.LEAP > 900 > told > 0
    for after in (told - 1, told, 900):
        page = stage.database.run(lambda c, after=after: feed.page(c, PROVIDER, after, 100))
        assert [event["sequence"] for event in page.events] == ([told] if after < told else [])
        assert not page.has_more  # or whoever reads would ask again and again


def last_sequence(stage):
    ((last,),) = stage.execute("SELECT last_sequence FROM providers WHERE provider_id = :id", id=PROVIDER)
    return last


def test_nobody_is_called_again_for_a_call_that_was_up_when_the_backup_was_made(stage, backup, ringpost):
    id_, doubtful = stage.keep(max_attempts=3), stage.keep(max_attempts=3, redial_unknown=True)
    stage.dial()
    restore = backup()
    restore()
    ringpost("restore-check", "--hold")

    stage.report(id_, "NO_ANSWER")
    stage.reconcile()
    stage.sweep()
    stage.execute("UPDATE messages SET due_at = now() WHERE finished_at IS NULL")
    stage.dial()

    assert [calls_to(stage, one) for one in (id_, doubtful)] == [1, 1]
    assert stage.message(id_).finished_at
    assert not stage.message(doubtful).redial_unknown


def test_what_a_stop_or_a_cap_kept_back_in_the_backup_may_have_been_let_go_since(stage, ringpost):
    ids = [stage.keep() for _ in range(3)]
    for id_, reason in zip(ids, ("daily_cap", "dialing_stopped", "upstream_unavailable"), strict=True):
        stage.execute(
            "UPDATE messages SET due_at = now() + interval '1 minute', reason = :reason WHERE id = :id",
            id=id_,
            reason=reason,
        )

    held = ringpost("restore-check", "--hold", "--json")

    assert checked(held)["waiting messages"] == "ok"
    assert {stage.state(id_) for id_ in ids} == {("dial_unknown", "history_lost")}


def test_a_doubt_of_a_lost_span_is_not_redialled_because_the_log_of_today_lacks_it(stage, ringpost):
    id_ = stage.keep(redial_unknown=True, max_attempts=2, ttl_s=3600)

    ringpost("restore-check", "--hold")

    assert not stage.message(id_).redial_unknown


def test_a_dump_in_a_server_that_runs_for_long_is_held_by_the_first_worker(stage):
    # All was accepted after this server started, which so far held nothing of ours.
    id_ = stage.keep()
    stage.execute("UPDATE servers SET system_identifier = 1, started_at = '2026-01-01'")

    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "history_lost")
    assert calls_to(stage, id_) == 0


def test_a_synchronous_standby_is_no_reason_to_dial_what_a_backup_shows(stage):
    id_ = stage.keep()
    stage.database.run(restored.declare_restored)

    stage.dial(step=stage.dialer(hold_after_failover=False))

    assert stage.state(id_) == ("dial_unknown", "history_lost")


def test_a_server_that_hides_its_log_can_be_declared_too(stage, ringpost):
    id_ = stage.keep()
    stage.execute("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC")
    stage.execute("CREATE ROLE modest LOGIN")
    stage.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    stage.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO modest")
    url = make_url(stage.settings.database_url).set(username="modest").render_as_string(hide_password=False)
    try:
        held = ringpost("restore-check", "--hold", "--json", DATABASE_URL=url)
    finally:
        stage.execute("GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO PUBLIC")
        stage.execute("DROP OWNED BY modest")
        stage.execute("DROP ROLE modest")

    assert held.exit_code == 0, held.output
    assert stage.state(id_) == ("dial_unknown", "history_lost")


def test_what_comes_while_a_copy_is_being_held_is_new_to_every_worker(stage):
    old = stage.keep()
    stage.database.run(restored.declare_restored)
    before = stage.database.run(restored.since_when)
    new = stage.keep()

    # A worker that looked before another one was done asks when the copy was found, and not when it looked itself.
    assert stage.database.run(restored.since_when) == before
    stage.dial()

    assert stage.state(old) == ("dial_unknown", "history_lost")
    assert stage.message(new).status == "placed"
    assert stage.database.run(restored.since_when) is None
    assert stage.execute("SELECT count(*) FROM feed_leaps") == [(1,)]


def test_a_declaration_is_the_last_word_whatever_the_clock_of_the_old_host_was(stage):
    id_ = stage.keep()
    stage.execute("UPDATE servers SET found_at = now() + interval '1 day'")
    stage.database.run(restored.declare_restored)

    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "history_lost")


def test_while_processes_are_at_work_nothing_is_held(stage, ringpost):
    id_ = stage.keep()
    at_work(stage)

    refused = ringpost("restore-check", "--hold")
    looked = ringpost("restore-check", "--json")

    assert (refused.exit_code, refused.stderr) == (
        1,
        "at work: place_calls.otp on a-host; stop them first, or what they take now is held, too\n",
    )
    assert (checked(looked)["processes"], checked(looked)["waiting messages"]) == ("warning", "ok")
    assert stage.message(id_).status == "queued"


def at_work(stage):
    stage.execute(
        "INSERT INTO processes (process_id, work, host, pid, version, rss_bytes, started_at, beat_at)"
        " VALUES ('proc_1', 'place_calls.otp', 'a-host', 1, '1', 1, now(), now())"
    )


def test_a_kill_between_the_declaration_and_the_holding_leaves_it_to_the_worker(stage, ringpost):
    id_ = stage.keep()
    stage.database.run(restored.declare_restored)
    stage.database.run(restored.declare_restored)

    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "history_lost")
    assert [row["held"] for row in json.loads(ringpost("failover", "show", "--json").stdout)["servers"]] == [1]


def test_what_else_may_be_wrong_is_told(stage, ringpost):
    id_ = stage.keep()
    stage.execute(
        "UPDATE messages SET status = 'failed', finished_at = now(), content = NULL, due_at = NULL WHERE id = :id",
        id=id_,
    )
    stage.keep()

    grades = checked(ringpost("restore-check", "--json"))
    other = base64.b64encode(bytes(range(1, 33))).decode()
    without_key = checked(ringpost("restore-check", "--json", RINGPOST_DATA_KEY=other))

    assert (grades["processes"], grades["conservation"], grades["data key"]) == ("ok", "failure", "ok")
    assert without_key["data key"] == "failure"
