"""Drills: PostgreSQL or Redis away, the disk full, and everything back."""

import base64
import fcntl
import json
import os
import time

import psutil
import pytest
from sqlalchemy import text

from shared.voice_api.events import glance
from tests.integration.ingress_stage import call, is_problem, staged, submit
from tests.integration.own_engines import migrated_engines
from tests.integration.test_vitals import samples

PATIENCE = 15  # s
METRICS_TOKEN = "a token for monitoring"
ACTION = b'{"eventType": "CALL_ACTION", "payload": {"sessionId": "%s", "eventId": "1", "clientActionId": "ask"}}'
SUMMARY = b'{"eventType": "SESSION_SUMMARY", "payload": {"sessionId": "%s", "sessionStatus": "COMPLETED"}}'
HANG_UP = {"clientActionId": "ask", "callflow": [{"action": "hangup"}]}


@pytest.fixture(scope="module")
def own_engines(tmp_path_factory):
    """Engines that these tests may stop, and that keep what was committed."""
    with migrated_engines(tmp_path_factory.mktemp("drilled")) as engines:
        yield engines


@pytest.fixture
def stage(own_engines, tmp_path):
    with staged(own_engines.database_url, own_engines.redis_url, tmp_path, metrics_token=METRICS_TOKEN) as stage:
        yield stage


@pytest.fixture
def without_postgres(own_engines, stage):
    """PostgreSQL is away; calling the fixture brings it back."""
    assert stage.make_call(call()).status_code == 200
    own_engines.postgres.stop("immediate")
    yield own_engines.postgres.start
    own_engines.postgres.start()


def kept(stage):
    return [row.dedupe_key for row in stage.rows("SELECT dedupe_key FROM webhook_inbox")]


def key_of(raw):
    return glance(raw).dedupe_key


def spooled(stage):
    return sorted(stage.site.settings.spool_dir.glob("*.jsonl"))


def wait_until(holds):
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_without_postgres_a_call_is_refused_in_less_than_a_second(stage, without_postgres):
    for _ in range(3):
        started = time.monotonic()
        reply = stage.make_call(call())

        assert is_problem(reply, 503, "unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
        assert time.monotonic() - started < 1


def test_when_postgres_is_back_calls_are_taken_again(stage, without_postgres):
    body = call()
    assert stage.make_call(body).status_code == 503

    without_postgres()

    wait_until(lambda: stage.make_call(body).status_code == 200)
    assert len(stage.rows("SELECT 1 FROM messages WHERE message_id = :id", id=body["messageId"])) == 1


def test_without_postgres_events_are_spooled_and_later_stored_exactly_once(stage, without_postgres):
    events = [("vss", SUMMARY % b"p-1"), ("vss", SUMMARY % b"p-2"), ("vca", ACTION % b"p-3"), ("vss", SUMMARY % b"p-1")]

    replies = [stage.webhook(kind, raw) for kind, raw in events]
    lines = [line for path in spooled(stage) for line in path.read_text().splitlines()]
    without_postgres()
    wait_until(lambda: not spooled(stage))

    assert [reply.status_code for reply in replies] == [200] * 4
    assert replies[2].get_json() == HANG_UP
    assert len(lines) == 4
    assert not any(b"p-1" in base64.b64decode(json.loads(line)[1]) for line in lines)
    assert [kept(stage).count(key) for key in {key_of(raw) for _, raw in events}] == [1, 1, 1]


def test_events_are_spooled_whatever_keeps_postgres_from_storing_them(stage):
    rename = "ALTER TABLE {} RENAME TO {}"
    with stage.services.database.transaction() as connection:
        connection.execute(text(rename.format("webhook_inbox", "hidden_inbox")))
    try:
        replies = [stage.webhook(kind, raw) for kind, raw in (("vss", SUMMARY % b"r-1"), ("vss", ACTION % b"r-2"))]
        lines = [line for path in spooled(stage) for line in path.read_text().splitlines()]
    finally:
        with stage.services.database.transaction() as connection:
            connection.execute(text(rename.format("hidden_inbox", "webhook_inbox")))
    wait_until(lambda: not spooled(stage))

    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[1].get_json() == HANG_UP
    assert len(lines) == 2
    assert [kept(stage).count(key_of(raw)) for raw in (SUMMARY % b"r-1", ACTION % b"r-2")] == [1, 1]


def test_a_spool_that_another_process_left_is_replayed_but_not_one_that_it_writes(stage, without_postgres):
    stage.webhook("vss", SUMMARY % b"l-1")
    left, written = (stage.site.settings.spool_dir / name for name in ("spool_0.jsonl", "spool_1.jsonl"))
    line = json.dumps(["vss:left", base64.b64encode(b"body").decode()])
    left.write_text(f"{line}\ngarbage \N{PARTY POPPER}\n[1]\n" + line[:20])
    left.chmod(0o600)
    written.write_text(line)

    with written.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        without_postgres()
        wait_until(lambda: spooled(stage) == [written])
    wait_until(lambda: not spooled(stage))

    assert "vss:left" in kept(stage)


def test_with_the_disk_refusing_too_a_summary_is_a_503_and_an_action_is_hung_up(stage, without_postgres):
    stage.site.settings.spool_dir.write_text("a file where the folder should be")

    report, action = stage.webhook("vss", SUMMARY % b"d-1"), stage.webhook("vca", ACTION % b"d-2")
    misled = stage.webhook("vss", ACTION % b"d-3")

    assert is_problem(report, 503, "unavailable")
    assert report.headers["Retry-After"]
    assert (action.status_code, action.get_json()) == (200, HANG_UP)
    assert (misled.status_code, misled.get_json()) == (200, HANG_UP)


def test_half_a_line_on_a_full_disk_spoils_no_later_one(stage, without_postgres, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, data[:10]))
    refused = stage.webhook("vss", SUMMARY % b"h-1")
    monkeypatch.undo()

    taken = stage.webhook("vss", SUMMARY % b"h-2")
    without_postgres()
    wait_until(lambda: not spooled(stage))

    assert (refused.status_code, taken.status_code) == (503, 200)
    assert kept(stage).count(key_of(SUMMARY % b"h-2")) == 1


def test_the_spool_is_for_its_owner_only(stage, without_postgres):
    stage.webhook("vss", SUMMARY % b"o-1")

    assert stage.site.settings.spool_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spooled(stage)} == {0o600}


def seconds_of(stage, requests):
    started = time.monotonic()
    for _ in range(requests):
        assert stage.make_call(call()).status_code == 200
        assert stage.webhook("vca", ACTION % os.urandom(8).hex().encode()).get_json() == HANG_UP
    return time.monotonic() - started


def test_without_redis_everything_is_taken_as_fast_as_ever(own_engines, stage):
    seconds_of(stage, 5)
    with_redis = seconds_of(stage, 50)
    own_engines.valkey.kill()
    try:
        without_redis = seconds_of(stage, 50)
    finally:
        own_engines.valkey.start()

    assert without_redis < with_redis * 3 + 1


def test_readiness_tells_of_postgres_and_does_not_hinge_on_redis(own_engines, stage):
    well = stage.http.get("/readyz")
    own_engines.valkey.kill()
    without_redis = stage.http.get("/readyz")
    own_engines.postgres.stop("immediate")
    without_both, alive = stage.http.get("/readyz"), stage.http.get("/healthz")
    own_engines.postgres.start()
    own_engines.valkey.start()

    assert (well.status_code, well.get_json()) == (200, {"status": "ok", "database": "ok", "redis": "ok"})
    assert (without_redis.status_code, without_redis.get_json()["redis"]) == (200, "away")
    assert (without_both.status_code, without_both.get_json()["database"]) == (503, "away")
    assert alive.status_code == 200


def test_a_process_that_is_to_end_takes_messages_but_tells_balancers_to_go_elsewhere(stage):
    stage.site.leaving.set()

    ready, alive = stage.http.get("/readyz"), stage.http.get("/healthz")

    assert (ready.status_code, ready.get_json()["status"], alive.status_code) == (503, "unavailable", 200)
    assert submit(stage, stage.customer)


@pytest.fixture
def known(stage, monkeypatch):
    """Asks for the metrics as they are now: what of them is known, and what is up."""
    monkeypatch.setattr("ingress.metrics._KEEP_S", 0)
    monkeypatch.setattr("shared.vitals.PATIENCE_S", PATIENCE)

    def ask():
        reply = stage.http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        assert reply.status_code == 200
        found = samples(reply.text)
        assert ("ringpost_undetermined_share",) not in found or found["ringpost_known", "database"]
        assert ("ringpost_dead_letters", "reconcile_events") in found or not found["ringpost_known", "redis"]
        assert found["ringpost_known", "disk"] == 1
        names = ("ringpost_known", "database"), ("ringpost_known", "redis")
        return tuple(int(found[name]) for name in (*names, ("ringpost_database_up",), ("ringpost_redis_up",)))

    return ask


def test_the_metrics_tell_what_is_known_whatever_is_away(own_engines, stage, known):
    seen = [known()]
    own_engines.valkey.kill()
    seen.append(known())
    own_engines.postgres.stop("immediate")
    seen.append(known())
    own_engines.valkey.start()
    seen.append(known())
    own_engines.postgres.start()

    assert seen == [(1, 1, 1, 1), (1, 0, 1, 0), (0, 0, 0, 0), (0, 1, 0, 1)]
    wait_until(lambda: known() == (1, 1, 1, 1))


@pytest.mark.parametrize(("engine", "expected"), [("postgres", (0, 1, 0, 1)), ("valkey", (1, 0, 1, 0))])
def test_an_engine_that_hangs_holds_no_metrics_up(own_engines, stage, known, monkeypatch, engine, expected):
    """Stopped in the middle of everything, it neither answers nor closes its connections."""
    well, group = known(), getattr(own_engines, engine).pid
    everybody = [psutil.Process(group), *psutil.Process(group).children(recursive=True)]
    for process in everybody:
        process.suspend()
    monkeypatch.setattr("shared.vitals.PATIENCE_S", 2)
    try:
        seen = known()
    finally:
        for process in everybody:
            process.resume()

    assert (well, seen) == ((1, 1, 1, 1), expected)
    wait_until(lambda: known() == (1, 1, 1, 1))


def test_metrics_that_postgresql_cannot_tell_are_said_to_be_unknown(stage, known):
    rename = "ALTER TABLE {} RENAME TO {}"
    with stage.services.database.transaction() as connection:
        connection.execute(text(rename.format("heartbeats", "hidden")))
    seen = known()
    with stage.services.database.transaction() as connection:
        connection.execute(text(rename.format("hidden", "heartbeats")))

    assert (seen, known()) == ((0, 1, 1, 1), (1, 1, 1, 1))


def test_the_spool_is_its_owner_s_alone_and_empty_after_the_replay(stage, without_postgres):
    folder = stage.site.settings.spool_dir
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
    assert stage.webhook("vss", SUMMARY % b"s-modes").status_code == 200
    modes = {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    of_folder = oct(folder.stat().st_mode & 0o777)
    raw = b"".join(path.read_bytes() for path in folder.iterdir())

    without_postgres()
    wait_until(lambda: not any(folder.iterdir()))

    assert (of_folder, modes) == ("0o700", {"0o600"})
    assert b"s-modes" not in raw
    assert any(key == key_of(SUMMARY % b"s-modes") for key in kept(stage))
