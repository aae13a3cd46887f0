"""Drill: PostgreSQL is put back to a backup. Nothing that was dialled since is dialled again, and the check says so."""

import base64
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from shared.db.queries import failover
from tests.integration.own_engines import migrated_engines
from tests.integration.worker_stage import PROVIDER, staged

# One group: two workers that share these tests would each start engines.
pytestmark = pytest.mark.xdist_group("fleets")


@pytest.fixture(scope="module")
def own_engines(tmp_path_factory):
    """Engines that these tests may stop and replace."""
    with migrated_engines(tmp_path_factory.mktemp("restored")) as engines:
        yield engines


@pytest.fixture(scope="module")
def database_url(own_engines):
    return own_engines.database_url


@pytest.fixture(scope="module")
def redis_url(own_engines):
    return own_engines.redis_url


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
        postgres, copy = own_engines.postgres, tmp_path / "backup"
        data = postgres._home.postgres
        postgres.stop()
        shutil.copytree(data, copy, symlinks=True)
        owner = data.stat()
        for path in (copy, *copy.rglob("*")):
            shutil.chown(path, owner.st_uid, owner.st_gid)
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
    ((told,),) = stage.execute("SELECT last_sequence FROM providers WHERE provider_id = :id", id=PROVIDER)
    restore = backup()
    stage.execute("UPDATE providers SET last_sequence = 900")  # told since, and remembered by whoever was told
    restore()

    held = ringpost("restore-check", "--hold", "--json")

    assert checked(held)["conservation"] == "ok"
    ((last,),) = stage.execute("SELECT last_sequence FROM providers WHERE provider_id = :id", id=PROVIDER)
    assert last == told + failover.LEAP > 900 > told > 0


def test_a_dump_in_a_server_that_runs_for_long_is_held_by_the_first_worker(stage):
    # All was accepted after this server started, which so far held nothing of ours.
    id_ = stage.keep()
    stage.execute("UPDATE servers SET system_identifier = 1, started_at = '2026-01-01'")

    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "history_lost")
    assert calls_to(stage, id_) == 0


def test_a_synchronous_standby_is_no_reason_to_dial_what_a_backup_shows(stage):
    id_ = stage.keep()
    stage.database.run(failover.declare_restored)

    stage.dial(step=stage.dialer(hold_after_failover=False))

    assert stage.state(id_) == ("dial_unknown", "history_lost")


def test_a_kill_between_the_declaration_and_the_holding_leaves_it_to_the_worker(stage, ringpost):
    id_ = stage.keep()
    stage.database.run(failover.declare_restored)
    stage.database.run(failover.declare_restored)

    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "history_lost")
    assert [row["held"] for row in json.loads(ringpost("failover", "show", "--json").stdout)["servers"]] == [1]


def test_what_else_may_be_wrong_is_told(stage, ringpost):
    id_ = stage.keep()
    stage.execute(
        "UPDATE messages SET status = 'failed', finished_at = now(), content = NULL, due_at = NULL WHERE id = :id",
        id=id_,
    )
    stage.execute(
        "INSERT INTO processes (process_id, work, host, pid, version, rss_bytes, started_at, beat_at)"
        " VALUES ('proc_1', 'place_calls.otp', 'a-host', 1, '1', 1, now(), now())"
    )
    stage.keep()

    grades = checked(ringpost("restore-check", "--json"))
    without_key = checked(
        ringpost("restore-check", "--json", RINGPOST_DATA_KEY=base64.b64encode(bytes(range(1, 33))).decode())
    )

    assert (grades["processes"], grades["conservation"], grades["data key"]) == ("warning", "failure", "ok")
    assert without_key["data key"] == "failure"
