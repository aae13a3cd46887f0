"""The figures that alarms go by: true, bounded, for monitoring systems only."""

import re
import time

import pytest
from sqlalchemy import text

from shared import vitals
from shared.db import vitals as figures_of
from tests.integration.ingress_stage import is_problem
from tests.integration.ingress_stage import staged as ingress
from tests.integration.worker_stage import staged

MANY = 30_000
TOKEN = "a token for monitoring"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def gathered(stage):
    return vitals.gather(stage.database, stage.services.broker.client, stage.settings.spool_dir)


def samples(text_):
    return dict(re.findall(r"^(ringpost_\S+) (\S+)$", text_, re.MULTILINE))


def test_what_is_late_doubtful_or_set_aside_is_counted(stage):
    late, doubtful = stage.keep(), stage.keep()
    stage.execute("UPDATE messages SET due_at = now() - interval '40 s' WHERE id = :id", id=late)
    stage.execute(
        "UPDATE messages SET status = 'dial_unknown', reason = 'history_lost', due_at = deadline WHERE id = :id",
        id=doubtful,
    )
    stage.execute(
        "INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result, session_id, received_at) VALUES"
        " ('parked', '', now(), 'parked', NULL, now()), ('strange', '', NULL, NULL, 's', now() - interval '9 s')"
    )
    stage.settings.spool_dir.mkdir(parents=True)
    (stage.settings.spool_dir / "spool_1.jsonl").write_text("12345")
    stage.services.broker.client.zadd("dramatiq:reconcile_events.XQ", {"job": 1})
    stage.sweep()

    found = gathered(stage)
    stage.services.broker.client.delete("dramatiq:reconcile_events.XQ")

    assert found["overdue_s"]["queued"] == pytest.approx(40, abs=5)
    assert (found["dial_unknown_messages"], found["held_messages"]) == (1, 1)
    assert (found["unmatched_events"], found["parked_events"], found["parked_callbacks"]) == (1, 1, 0)
    assert found["unmatched_oldest_s"] == pytest.approx(9, abs=5)
    assert found["sweeper_silent_s"] is None  # the test's sweeper bears another name
    assert (found["spool_files"], found["spool_bytes"]) == (1, 5)
    assert found["dead_letters"]["reconcile_events"] == 1
    assert abs(found["clock_ahead_s"]) < 0.5
    told = "\n".join(vitals.alarms(found))
    assert "held since PostgreSQL" in told
    assert "dead letter" in told
    assert "1 events are set aside" in told


def test_a_clock_that_is_off_is_an_alarm(stage, monkeypatch):
    right = time.time
    monkeypatch.setattr("workers.sweep.time.time", lambda: right() - 3)

    stage.sweep()
    monkeypatch.undo()

    found = gathered(stage)
    assert found["sweeper_clock_off_s"] == pytest.approx(3, abs=0.5)
    assert "a clock is 3.0 s" in "\n".join(vitals.alarms(found))


def test_the_figures_of_many_messages_read_few_rows(stage):
    (id_,) = stage.keep_all([stage.new_message()])
    columns = ", ".join(
        row.name
        for row in stage.execute(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'messages'"
            " AND column_name NOT IN ('id', 'message_id', 'status', 'finished_at', 'due_at', 'content')"
        )
    )
    stage.execute(
        f"INSERT INTO messages (id, message_id, status, finished_at, {columns})"
        f" SELECT id || n, n::text, 'delivered', now(), {columns} FROM messages, generate_series(1, {MANY}) n"
    )
    stage.execute(
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)"
        f" SELECT 'evt_' || lpad(n::text, 9, '0'), 'prov_test', n, 'm', 'message.delivered',"
        f" CASE WHEN n % 4 = 0 THEN 'no_answer' ELSE 'delivered' END, '{{}}' FROM generate_series(1, {MANY}) n"
    )

    with stage.database.transaction() as connection:
        read = "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        before = connection.execute(text(read)).scalar()
        found = figures_of.read(connection)
        rows = connection.execute(text(read)).scalar() - before

    assert found["answer_share"] == pytest.approx(0.75, abs=0.01)
    assert found["undetermined_share"] == 0
    assert rows < 3000
    assert id_


def test_metrics_are_for_whoever_bears_the_token(settings):
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir, metrics_token=TOKEN) as stage:
        nobody, stranger = (stage.http.get("/metrics", headers=one) for one in ({}, {"Authorization": "Bearer no"}))
        known = stage.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir) as stage:
        closed = stage.http.get("/metrics")

    assert is_problem(nobody, 401, "unauthorized")
    assert is_problem(stranger, 401, "unauthorized")
    assert is_problem(closed, 404, "not_found")
    assert known.content_type.startswith("text/plain; version=0.0.4")
    found = samples(known.text)
    assert found["ringpost_database_up"] == found["ringpost_redis_up"] == "1"
    assert 'ringpost_overdue_seconds{status="queued"}' in found
