"""The figures that alarms go by: true, bounded, for monitoring systems only."""

import json
import time
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from shared import jobs, vitals
from shared.alarms import ringing
from shared.broker import CONSUMER_NAME, connect
from shared.db import vitals as figures_of
from shared.lifecycle import Lane
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
    """What a Prometheus would read."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text_)
        for sample in family.samples
    }


@pytest.fixture
def metrics(settings, monkeypatch):
    """Asks an ingress for its metrics, as they are now."""
    monkeypatch.setattr("ingress.metrics._KEEP_S", 0)
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir, metrics_token=TOKEN) as front:

        def ask():
            reply = front.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert reply.status_code == 200
            return samples(reply.text)

        yield ask


@pytest.fixture
def rings(metrics, ringpost):
    """Whether an alarm rings in the metrics, and the sentence of ``ringpost status`` about it, if any."""

    def ask(name, words):
        told = [line for line in json.loads(ringpost("status", "--json").stdout)["badNews"] if words in line]
        return metrics()["ringpost_alarm", name], told

    return ask


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
    told = "\n".join(sentence for _, sentence in ringing(found))
    assert "held since PostgreSQL" in told
    assert "dead letter" in told
    assert "1 events are set aside" in told


def test_what_waits_in_a_lane_is_counted_and_its_age_and_slack_told(stage, metrics):
    old, _, later = stage.keep(ttl_s=300), stage.keep(ttl_s=100), stage.keep(ttl_s=20)
    stage.keep(lane=Lane.TEST, test_type="otp")
    stage.execute("UPDATE messages SET due_at = now() - interval '40 s' WHERE id = :id", id=old)
    stage.execute("UPDATE messages SET due_at = now() + interval '10 s' WHERE id = :id", id=later)

    found = metrics()

    assert {lane: found["ringpost_waiting_messages", lane] for lane in Lane} == {
        "otp": 2, "alert": 0, "notification": 0, "test": 1
    }  # fmt: skip
    assert found["ringpost_oldest_waiting_seconds", "otp"] == pytest.approx(40, abs=5)
    assert found["ringpost_oldest_waiting_seconds", "alert"] == 0
    assert found["ringpost_deadline_slack_seconds", "otp"] == pytest.approx(100, abs=5)
    assert ("ringpost_deadline_slack_seconds", "alert") not in found


def test_how_soon_phones_rang_and_the_share_in_time_are_told_by_lane(stage, metrics):
    for waited_s, status in ((1, "delivered"), (2, "no_answer"), (700, "expired")):
        id_ = stage.keep(lane=Lane.ALERT)
        stage.place(id_)
        at = "now() - :s * interval '1 second'"
        stage.execute(f"UPDATE messages SET created_at = {at}, status = :status, finished_at = now(), due_at = NULL,"
                      " content = NULL WHERE id = :id", s=300, status=status, id=id_)  # fmt: skip
        stage.execute(
            f"UPDATE dial_attempts SET started_at = {at}, answered_at = {at} WHERE message_id = :id",
            s=300 - waited_s,
            id=id_,
        )

    found = metrics()

    assert found["ringpost_recent_messages", "alert"] == 3
    assert found["ringpost_deadline_hit_share", "alert"] == pytest.approx(2 / 3)
    assert found["ringpost_request_to_dial_seconds", "alert", "0.5"] == pytest.approx(2, abs=0.1)
    assert found["ringpost_request_to_answer_seconds", "alert", "0.95"] == pytest.approx(700, abs=0.1)
    assert ("ringpost_deadline_hit_share", "otp") not in found


def test_callbacks_are_told_by_the_health_of_their_endpoints(stage, metrics):
    healthy, failing, _ = stage.endpoint(), stage.endpoint(), stage.endpoint(disabled=True)
    stage.execute("UPDATE endpoints SET failing_since = now() WHERE endpoint_id = :id", id=failing)
    for place, (endpoint, state) in enumerate([(healthy, "due"), (failing, "due"), (failing, "sending")]):
        stage.execute(
            "INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, state, due_at)"
            " VALUES (:id, :id, :endpoint, 'msg', :state, now())",
            id=f"cb_{place}",
            endpoint=endpoint,
            state=state,
        )

    found = metrics()

    told = {
        health: (found["ringpost_endpoints", health], found["ringpost_open_callbacks", health])
        for health in ("healthy", "failing", "disabled")
    }
    # The provider of the ingress that is asked has one, too.
    assert told == {"healthy": (2, 1), "failing": (1, 2), "disabled": (1, 0)}


def test_what_summaries_say_went_wrong_is_told_by_8x8_s_codes_and_few_words_for_others(stage, metrics):
    for code in (-2010, -2010, -4711, None):
        id_ = stage.keep()
        stage.place(id_)
        stage.execute("UPDATE dial_attempts SET error_code = :code WHERE message_id = :id", code=code, id=id_)

    found = metrics()

    assert {key[1]: value for key, value in found.items() if key[0] == "ringpost_call_errors"} == {
        "-2010": 2, "other": 1
    }  # fmt: skip


def test_a_clock_that_is_off_is_an_alarm_until_it_is_right(stage, rings, monkeypatch):
    right = time.time
    seen = []
    for off_s in (0, -3, 0, 3, 0):
        monkeypatch.setattr("workers.sweep.time.time", lambda off_s=off_s: right() + off_s)
        stage.sweep()
        monkeypatch.undo()
        monkeypatch.setattr("ingress.metrics._KEEP_S", 0)
        seen.append(rings("clock_off", "a clock is"))

    assert [on for on, _ in seen] == [0, 1, 0, 1, 0]
    assert [len(told) for _, told in seen] == [0, 1, 0, 1, 0]
    assert "a clock is 3.0 s from PostgreSQL's" in seen[1][1][0]


def test_the_clock_of_whoever_answers_is_held_against_postgresql_s_too(metrics, monkeypatch):
    right = time.time
    monkeypatch.setattr("shared.vitals.time.time", lambda: right() - 4)

    found = metrics()

    assert found["ringpost_clock_ahead_seconds",] == pytest.approx(4, abs=0.5)
    assert found["ringpost_alarm", "clock_off"] == 1


def test_a_disk_that_fills_up_is_an_alarm_until_there_is_room(rings, monkeypatch):
    seen = []
    for used in (79, 81, 100, 79):
        usage = SimpleNamespace(total=100, used=used, free=100 - used)
        monkeypatch.setattr("shared.vitals.shutil.disk_usage", lambda _, usage=usage: usage)
        seen.append(rings("disk_full", "the disk of the webhook spool"))

    assert [on for on, _ in seen] == [0, 1, 1, 0]
    assert [told for _, told in seen][1] == ["the disk of the webhook spool is 81% full"]
    assert [len(told) for _, told in seen] == [0, 1, 1, 0]


def test_workers_are_counted_by_the_queue_that_they_listen_to(stage, metrics):
    queue = jobs.RECONCILE_EVENTS.queue
    before = metrics()["ringpost_consumers", queue]
    with connect(stage.settings.redis_url, timeout_s=1, name=CONSUMER_NAME.format(queue)) as consumer:
        consumer.ping()
        beside = metrics()["ringpost_consumers", queue]

    assert (before, beside) == (0, 1)


def test_calls_that_nobody_hears_are_told_by_provider_and_country(stage, metrics):
    ids = stage.keep_all([stage.new_message() for _ in range(25)])
    stage.execute(
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)"
        " SELECT 'evt_' || m.id, m.provider_id, row_number() OVER (), m.id, 'message.no_answer', 'no_answer', '{}'"
        " FROM messages m"
    )
    stage.execute(
        "UPDATE messages SET status = 'no_answer', attempt = 1, finished_at = now(), due_at = NULL, content = NULL"
    )
    stage.keep_all([stage.new_message() for _ in range(75)])
    stage.execute(
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)"
        " SELECT 'evu_' || m.id, m.provider_id, 25 + row_number() OVER (), m.id, 'message.canceled', 'canceled', '{}'"
        " FROM messages m WHERE status = 'queued'"
    )
    stage.execute(  # before anybody rang
        "UPDATE messages SET status = 'canceled', finished_at = now(), due_at = NULL, content = NULL"
        " WHERE status = 'queued'"
    )

    found = metrics()

    assert len(ids) == 25
    assert found["ringpost_answer_share_of", "SG", "prov_test"] == 0
    assert found["ringpost_alarm", "unheard"] == 1


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
        " SELECT id || n, n::text, CASE WHEN n % 4 = 0 THEN 'no_answer' ELSE 'delivered' END, now(), "
        f"{columns} FROM messages, generate_series(1, {MANY}) n"
    )
    stage.execute(
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)"
        " SELECT 'evt_' || lpad(message_id, 9, '0'), 'prov_test', message_id::bigint, id, 'message.' || status, status,"
        " '{}' FROM messages WHERE finished_at IS NOT NULL"
    )
    stage.execute("UPDATE messages SET attempt = 1")

    with stage.database.transaction() as connection:
        read = "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        before = connection.execute(text(read)).scalar()
        found = figures_of.read(connection)
        rows = connection.execute(text(read)).scalar() - before

    assert found["answer_share"] == pytest.approx(0.75, abs=0.01)
    assert found["undetermined_share"] == 0
    # Of 30,000: the last 2,000 events, and their messages for the country; the newest 2,000 messages.
    assert rows < 8000
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
    assert found["ringpost_database_up",] == found["ringpost_redis_up",] == 1
    assert found["ringpost_overdue_seconds", "queued"] >= 0
    assert {found["ringpost_known", part] for part in ("database", "redis", "disk")} == {1}
