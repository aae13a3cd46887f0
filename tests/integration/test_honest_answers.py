"""What the ingress tells of the dial, against a dialling that really happens: fair, by deadline, at a known rate."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median

import pytest
from sqlalchemy import text

from shared.times import parse_time
from tests.integration.ingress_stage import Customer, call, staged

PER_S = 25  # slow enough that what a busy machine delays is little beside the waits
GOAL = 0.2

_DIAL = text("""
WITH next AS (
  SELECT id FROM (
    SELECT id, deadline, row_number() OVER (PARTITION BY provider_id ORDER BY deadline)
      + (SELECT count(*) FROM messages f WHERE f.provider_id = m.provider_id AND f.busy_until > now()) AS turn
    FROM messages m WHERE status = 'queued' AND due_at <= now()) q
  ORDER BY turn, deadline LIMIT :calls
), dialed AS (
  UPDATE messages SET status = 'dialing', due_at = now() + interval '1 hour', busy_until = now() + interval '1 hour'
  WHERE id IN (SELECT id FROM next) RETURNING message_id
), counted AS (
  INSERT INTO subaccounts (subaccount_id, tokens, dialed) SELECT 'test_voice', 0, count(*) FROM dialed
  ON CONFLICT (subaccount_id) DO UPDATE SET dialed = subaccounts.dialed + excluded.dialed
)
SELECT message_id FROM dialed
""")


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    limits = {"dials_per_second": PER_S, "max_calls_in_flight": 100_000, "web_concurrency": 1}
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), **limits) as stage:
        yield stage


@contextmanager
def dialling(stage):
    """Dial at the known rate; yields when each message was dialled."""
    dialed, over = {}, threading.Event()

    def dial():
        began, count = time.monotonic(), 0
        while not over.wait(0.02):
            calls = int((time.monotonic() - began) * PER_S) - count
            if calls <= 0:
                continue
            rows = stage.services.database.run(lambda c, calls=calls: c.execute(_DIAL, {"calls": calls}).all())
            count += calls  # what was not used is not saved up
            dialed.update((row.message_id, datetime.now(UTC)) for row in rows)

    thread = threading.Thread(target=dial)
    thread.start()
    try:
        yield dialed
    finally:
        over.set()
        thread.join()


def submit(stage, customer, told):
    """One message more, and what was told of it."""
    sent = datetime.now(UTC)
    data = stage.http.post("/api/make-call", json=call(), headers=customer.headers).get_json()["data"]
    assert data["willMeetDeadline"]
    told[data["messageId"]] = sent, parse_time(data["estimatedDialAt"])


def submit_all(stage, customer, calls, told):
    """
    Several messages at once, and what was told of each.

    One by one a busy machine takes them hardly faster than they are dialled, and no wait is there to be told.
    """
    sent = datetime.now(UTC)
    body = {"calls": [call() for _ in range(calls)]}
    reply = stage.http.post("/api/make-calls", json=body, headers=customer.headers).get_json()
    for data in reply["data"]:
        assert data["willMeetDeadline"]
        told[data["messageId"]] = sent, parse_time(data["estimatedDialAt"])


@pytest.mark.parametrize("batches", [(8,), (8, 8), (8, 1)], ids=["one provider", "two alike", "one larger"])
def test_the_told_dial_comes_true_within_a_fifth_of_the_wait(stage, batches):
    customers = [Customer(stage.services.database) for _ in batches]
    told = {}

    with dialling(stage) as dialed:
        while len(told) < 320:
            for customer, calls in zip(customers, batches, strict=True):
                submit_all(stage, customer, calls, told)
                time.sleep(0.008 * calls)
        ends = time.monotonic() + 30
        while dialed.keys() < told.keys():
            assert time.monotonic() < ends
            time.sleep(0.05)

    errors = [
        abs((dialed[name] - expected).total_seconds()) / max(0.25, (dialed[name] - sent).total_seconds())
        for name, (sent, expected) in told.items()
    ]
    assert median(errors) < GOAL


def test_while_nobody_dials_messages_are_taken(stage):
    told = {}

    for _ in range(60):
        submit(stage, stage.customer, told)
    time.sleep(1.5)
    submit(stage, stage.customer, told)

    assert len(told) == 61


def test_of_a_paused_lane_nothing_is_told(stage):
    stage.services.database.run(
        lambda c: c.execute(text("INSERT INTO lanes (lane, paused_at) VALUES ('notification', now())"))
    )
    ends = time.monotonic() + 10
    while "notification" not in stage.site.forecast.view.backlog.paused:
        assert time.monotonic() < ends
        time.sleep(0.02)

    data = stage.make_call(call(type="notification")).get_json()["data"]

    assert (data["status"], data["estimatedDialAt"], data["willMeetDeadline"]) == ("queued", None, None)


def test_a_call_is_not_taken_that_a_refused_account_cannot_place_in_time(stage):
    stage.services.database.run(
        lambda c: c.execute(
            text(
                "INSERT INTO breakers (scope, name, reason, failures, probe_at)"
                " VALUES ('subaccount', 'test_voice', 'account_refused', 9, now() + interval '10 minutes')"
            )
        )
    )
    ends = time.monotonic() + 10
    while stage.site.forecast.view.backlog.probe_at is None:
        assert time.monotonic() < ends
        time.sleep(0.02)

    otp, alert = stage.make_call(call()), stage.make_call(call(type="alert"))

    assert (otp.status_code, otp.get_json()["code"]) == (503, "deadline_unreachable")
    assert 470 <= int(otp.headers["Retry-After"]) <= 480
    assert alert.get_json()["data"]["willMeetDeadline"] is None
