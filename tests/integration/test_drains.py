"""SIGTERM in the middle of a burst: each kind of worker ends soon, and leaves nothing in doubt and nothing leased."""

import time
from contextlib import ExitStack, contextmanager

import pytest

from shared import jobs
from shared.broker import CONSUMER_NAME
from shared.lifecycle import Lane
from tests.integration.worker_processes import arguments, running, until
from tests.integration.worker_stage import staged

BURST = 150
MOST_S = 25
USUAL_S = 12
STARTING_S = 60
SENDERS = 8
REPLY_S = 3


@pytest.fixture
def stage(settings):
    with staged(settings, dials_per_second=2000.0, max_calls_in_flight=1000, dial_timeout_seconds=8.0) as stage:
        stage.services.broker.client.flushall()
        yield stage


def ends_within(*processes):
    """Seconds until the last of them has ended, all told at once."""
    for process in processes:
        process.terminate()
    told_at = time.monotonic()
    assert [process.wait(MOST_S) for process in processes] == [0] * len(processes)
    return time.monotonic() - told_at


def statuses(stage):
    return dict(stage.execute("SELECT status, count(*) FROM messages GROUP BY status"))


@contextmanager
def at_work(stage, name, count, lane):
    """So many processes of a role, each of which hears its queue and was rung for."""
    with ExitStack() as stack:
        command = arguments(name)
        processes = [
            stack.enter_context(running(stage.settings, command, DIAL_SENDERS=str(SENDERS))) for _ in range(count)
        ]
        consumer = CONSUMER_NAME.format(jobs.PLACE_CALLS[lane].queue)
        broker = stage.services.broker
        until(lambda: [one["name"] for one in broker.client.client_list()].count(consumer) == count, STARTING_S)
        stage.keep_all([stage.new_message(lane=lane) for _ in range(BURST)])
        for _ in processes:
            until(lambda: broker.ring(jobs.message_of(jobs.PLACE_CALLS[lane])))
        yield processes


@pytest.mark.parametrize(("name", "lane", "count"), [("calls-otp", Lane.OTP, 2), ("calls-bulk", Lane.ALERT, 1)])
def test_call_workers_end_with_every_dial_recorded_and_none_made_twice(stage, name, lane, count):
    stage.simulator.set_fault("slow_reply", seconds=REPLY_S)
    ledger = stage.simulator.ledger
    enough = (count - 1) * SENDERS + 4

    with at_work(stage, name, count, lane) as processes:
        stage.simulator.wait_for(lambda ledger: len(ledger.entries) > enough, timeout_s=STARTING_S)
        took_s = ends_within(*processes)

    left = statuses(stage)
    called = [entry.client_request_id for entry in ledger.entries]
    attempts = stage.execute("SELECT attempt_id, message_id FROM dial_attempts")
    assert took_s < USUAL_S
    assert set(left) <= {"queued", "placed"}
    assert left["placed"] == len(attempts)
    assert sorted(called) == sorted(row.attempt_id for row in attempts)
    assert len({row.message_id for row in attempts}) == len(attempts)
    # Before the first reply: as many calls as one process cannot have under way.
    assert (ledger.entries[enough].accepted_at - ledger.entries[0].accepted_at).total_seconds() < REPLY_S


def test_a_worker_that_reconciles_ends_with_nothing_half_done(stage):
    ids = stage.keep_all([stage.new_message() for _ in range(BURST)])
    stage.dial()
    stage.keep_webhook(*(stage.summary(id_) for id_ in ids if stage.attempts(id_)))

    with running(stage.settings, arguments("events")) as process:
        stage.services.broker.ring(jobs.message_of(jobs.RECONCILE_EVENTS))
        while not stage.execute("SELECT FROM webhook_inbox WHERE processed_at IS NOT NULL LIMIT 1"):
            assert process.poll() is None
        took_s = ends_within(process)

    stage.reconcile()
    assert took_s < USUAL_S
    assert statuses(stage) == {"delivered": BURST}
    assert stage.execute("SELECT count(*), count(DISTINCT message_id) FROM feed_events") == [(BURST, BURST)]
