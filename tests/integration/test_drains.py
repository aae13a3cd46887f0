"""SIGTERM in the middle of a burst: each kind of worker ends soon, and leaves nothing in doubt and nothing leased."""

import time

import pytest

from shared import jobs
from shared.lifecycle import Lane
from tests.integration.test_worker_process import arguments, running
from tests.integration.worker_stage import staged

BURST = 150
MOST_S = 25
USUAL_S = 12


@pytest.fixture
def stage(settings):
    with staged(settings, dials_per_second=2000.0, max_calls_in_flight=1000, dial_timeout_seconds=4.0) as stage:
        stage.services.broker.client.flushall()
        yield stage


def ends_within(process):
    process.terminate()
    told_at = time.monotonic()
    assert process.wait(MOST_S) == 0
    return time.monotonic() - told_at


def statuses(stage):
    return dict(stage.execute("SELECT status, count(*) FROM messages GROUP BY status"))


@pytest.mark.parametrize(("name", "lane"), [("calls-otp", Lane.OTP), ("calls-bulk", Lane.ALERT)])
def test_a_call_worker_ends_with_every_dial_recorded(stage, name, lane):
    stage.simulator.set_fault("slow_reply", seconds=0.5)
    stage.keep_all([stage.new_message(lane=lane) for _ in range(BURST)])

    with running(stage, arguments(name)) as process:
        stage.services.broker.ring(jobs.message_of(jobs.PLACE_CALLS[lane]))
        stage.simulator.wait_for(lambda ledger: len(ledger.entries) > 10, timeout_s=30)
        took_s = ends_within(process)

    left = statuses(stage)
    dialled = len(stage.simulator.ledger.entries)
    assert took_s < USUAL_S
    assert set(left) <= {"queued", "placed"}
    assert left["placed"] == dialled == stage.execute("SELECT count(*) FROM dial_attempts")[0][0]


def test_a_worker_that_reconciles_ends_with_nothing_half_done(stage):
    ids = stage.keep_all([stage.new_message() for _ in range(BURST)])
    stage.dial()
    stage.keep_webhook(*(stage.summary(id_) for id_ in ids if stage.attempts(id_)))

    with running(stage, arguments("events")) as process:
        stage.services.broker.ring(jobs.message_of(jobs.RECONCILE_EVENTS))
        while not stage.execute("SELECT FROM webhook_inbox WHERE processed_at IS NOT NULL LIMIT 1"):
            assert process.poll() is None
        took_s = ends_within(process)

    stage.reconcile()
    assert took_s < USUAL_S
    assert statuses(stage) == {"delivered": BURST}
    assert stage.execute("SELECT count(*), count(DISTINCT message_id) FROM feed_events") == [(BURST, BURST)]
