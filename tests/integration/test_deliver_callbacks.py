"""Step 5: each final status reaches its provider, signed, at least once, on the schedule, in a fair share."""

import itertools
import json
import threading

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from deploy.receiver import Mode, ModeKind
from shared.db.queries import callbacks
from tests.integration.callback_stage import SECRET, SHARES, stages


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        yield stage


def test_a_callback_is_what_the_contract_says_and_the_public_package_verifies_it(stage):
    endpoint_id = stage.endpoint()
    stage.callbacks(endpoint_id, first=42)

    stage.deliver()

    (received,) = stage.receiver.received
    Webhook(SECRET).verify(received.body, dict(received.headers))
    assert received.method == "POST"
    assert received.headers["webhook-id"] == f"evt_{endpoint_id}00000042"
    assert received.json() == {
        "type": "message.delivered",
        "timestamp": "2026-10-05T09:12:36.500Z",
        "sequence": 42,
        "data": {
            "id": f"msg_{endpoint_id}00000042",
            "messageId": "OTP00000042",
            "type": "otp",
            "status": "delivered",
            "reason": None,
            "retryable": False,
            "party": None,
            "to": "+65****4567",
            "attempts": 1,
            "sessionId": "sess-1",
            "answeredAt": "2026-10-05T09:12:10.000Z",
            "endedAt": "2026-10-05T09:12:36.000Z",
            "durationSeconds": 26,
            "heard": "full",
            "keyPressed": None,
            "quality": {"mos": 4.4},
            "metadata": {"order": "7"},
        },
    }


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_success(stage, status):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=status))

    stage.deliver()

    row = stage.row("callbacks", callback_id)
    assert (row.state, row.attempts, row.due_at) == ("done", 1, None)
    assert stage.attempts(callback_id)[0].http_status == status


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_any_other_status_is_tried_again_on_the_schedule_and_then_parked(stage, status):
    endpoint_id = stage.endpoint()
    (callback_id,) = stage.callbacks(endpoint_id)
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=status, body=b"not now"))

    stage.deliver_again(times=4)

    row = stage.row("callbacks", callback_id)
    assert (row.state, row.attempts, row.due_at) == ("parked", 3, None)
    attempts = stage.attempts(callback_id)
    assert [(one.number, one.http_status, one.error) for one in attempts] == [
        (number, status, f"http_{status}") for number in (1, 2, 3)
    ]
    assert attempts[0].reply == "not now"
    assert stage.rows("SELECT failing_since FROM endpoints")[0].failing_since is not None


def test_repeats_carry_the_same_id_a_fresh_time_and_a_fresh_signature(stage):
    stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500, times=1))

    stage.deliver()
    first_second = stage.receiver.received[0].headers["webhook-timestamp"]
    while stage.rows("SELECT floor(extract(epoch FROM clock_timestamp())) AS now")[0].now <= int(first_second):
        threading.Event().wait(0.05)
    stage.deliver_again()

    first, second = stage.receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) > int(first_second)
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert first.body == second.body
    assert second.is_verified


def test_the_waits_are_the_schedule_s_and_at_most_a_fifth_longer(stage):
    stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500))

    stage.deliver(callback_schedule=("100", "1000"))
    first = stage.rows("SELECT extract(epoch FROM due_at - now()) AS wait FROM callbacks")[0].wait
    stage.change("UPDATE callbacks SET due_at = now()")
    stage.deliver(callback_schedule=("100", "1000"))
    second = stage.rows("SELECT extract(epoch FROM due_at - now()) AS wait FROM callbacks")[0].wait

    assert 95 < first <= 120
    assert 950 < second <= 1200


@pytest.mark.parametrize(("status", "is_heeded"), [(429, True), (503, True), (500, False)])
def test_retry_after_is_heeded_with_429_and_503(stage, status, is_heeded):
    stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=status, retry_after_s=700))

    stage.deliver(callback_schedule=("5",))

    wait = stage.rows("SELECT extract(epoch FROM due_at - now()) AS wait FROM callbacks")[0].wait
    assert (690 < wait <= 840) if is_heeded else wait <= 6


def test_410_disables_the_endpoint_and_parks_its_other_callbacks(stage):
    gone, other = stage.endpoint("/gone"), stage.endpoint("/other")
    stage.callbacks(gone, 5)
    later = stage.callbacks(gone, due_in_s=3600, first=6)
    stage.callbacks(other, due_in_s=3600)
    stage.receiver.set_mode("/gone", Mode(kind=ModeKind.STATUS, status=410))

    stage.deliver()

    states = stage.rows("SELECT endpoint_id, state, count(*) AS n FROM callbacks GROUP BY 1, 2 ORDER BY 3")
    assert [(row.endpoint_id, row.state, row.n) for row in states] == [(other, "due", 1), (gone, "parked", 6)]
    assert stage.row("callbacks", later[0]).attempts == 0
    disabled = stage.rows("SELECT disabled_reason FROM endpoints WHERE disabled_at IS NOT NULL")
    assert [row.disabled_reason for row in disabled] == ["answered 410 Gone"]


def test_a_failure_recorded_together_with_a_410_is_parked_too(stage):
    stage.callbacks(stage.endpoint(), 2)
    first, second = stage.claim()
    known = {"elapsed_ms": 1, "reply": None}
    deliveries = [
        callbacks.Delivery(
            first.callback_id, 1, first.endpoint_id, "due", due_in_s=5, http_status=500, error="http_500", **known
        ),
        callbacks.Delivery(
            second.callback_id,
            1,
            second.endpoint_id,
            "parked",
            due_in_s=None,
            http_status=410,
            error="http_410",
            disables=True,
            **known,
        ),
    ]

    with stage.database.statement() as connection:
        callbacks.record(connection, deliveries)

    assert {row.state for row in stage.rows("SELECT state FROM callbacks")} == {"parked"}


def test_the_attempt_is_on_record_before_the_request_leaves(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.3))

    sending = stage.in_background(stage.deliver)
    stage.receiver.wait_for(len)
    during = stage.attempts(callback_id)
    sending.join()

    assert [(one.number, one.elapsed_ms) for one in during] == [(1, None)]
    assert stage.attempts(callback_id)[0].elapsed_ms >= 300


def test_a_worker_killed_before_it_records_leaves_the_callback_to_the_end_of_its_lease(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.claim()
    stage.deliver()
    assert stage.receiver.received == []

    stage.change("UPDATE callbacks SET due_at = now() WHERE state = 'sending'")
    stage.deliver()

    (received,) = stage.receiver.received
    assert received.headers["webhook-id"] == stage.row("callbacks", callback_id).event_id
    assert [(one.number, one.http_status) for one in stage.attempts(callback_id)] == [(1, None), (2, 200)]


def test_a_worker_that_lost_its_lease_changes_only_its_own_attempt(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    (late,) = stage.claim(lease_s=0)
    stage.claim()

    with stage.database.statement() as connection:
        callbacks.record(
            connection,
            [callbacks.Delivery(callback_id, late.attempts, late.endpoint_id, "done", None, 5, 200, None, None)],
        )

    row = stage.row("callbacks", callback_id)
    assert (row.state, row.attempts) == ("sending", 2)
    assert [one.http_status for one in stage.attempts(callback_id)] == [200, None]


def test_two_workers_never_send_one_callback_both(stage):
    for _ in range(5):
        stage.callbacks(stage.endpoint(), 60)
    steps = [stage.step(callback_senders=16) for _ in range(2)]

    threads = [stage.in_background(step) for step in steps]
    received = stage.receiver.wait_for(lambda all_: len(all_) >= 300, timeout_s=20)
    for thread in threads:
        thread.join()
    for step in steps:
        step.drain()

    ids = [one.headers["webhook-id"] for one in stage.receiver.received]
    assert len(ids) == len(set(ids)) == len(received) == 300
    assert stage.rows("SELECT max(attempts) AS most, min(state) AS state FROM callbacks") == [(1, "done")]


def test_an_endpoint_gets_so_many_requests_at_once_and_no_more(stage):
    stage.callbacks(stage.endpoint(), 24)
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.2))

    stage.deliver(callback_endpoint_limit=4)

    moments = [(one.at.timestamp(), one.at.timestamp() + 0.2) for one in stage.receiver.received]
    at_once = [sum(begin <= moment < end for begin, end in moments) for moment, _ in moments]
    assert len(moments) == 24
    assert max(at_once) == 4


def test_a_hanging_endpoint_does_not_delay_a_healthy_one(stage):
    stage.callbacks(stage.endpoint("/hangs"), 40)
    healthy = stage.endpoint("/healthy")
    stage.receiver.set_mode("/hangs", Mode(kind=ModeKind.HANG))
    step = stage.step(callback_timeout_seconds=30.0)
    stage.in_background(step)
    stage.receiver.wait_for(lambda all_: len(all_) == 8)

    stage.callbacks(healthy, 20)
    step()  # as the doorbell has it

    received = stage.receiver.wait_for(lambda all_: sum(one.path == "/healthy" for one in all_) == 20, timeout_s=10)
    assert sum(one.path == "/hangs" for one in received) == 8
    stage.hang_up()


def test_after_a_failure_the_rest_of_the_line_is_given_back_untouched(stage):
    ids = stage.callbacks(stage.endpoint(), 50)
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500))

    stage.deliver(callback_schedule=("3600",) * 3, callback_endpoint_limit=1)

    rows = stage.rows("SELECT state, attempts, count(*) AS n FROM callbacks GROUP BY 1, 2")
    assert sum(row.n for row in rows) == len(ids)
    assert {(row.state, row.attempts) for row in rows} <= {("due", 0), ("due", 1)}
    sent = len(stage.receiver.received)
    assert stage.rows("SELECT count(*) AS n FROM delivery_attempts WHERE http_status = 500") == [(sent,)]
    assert stage.rows("SELECT count(*) AS n FROM delivery_attempts WHERE http_status IS NULL") == [(0,)]


def test_a_failing_endpoint_is_tried_by_few_and_all_failing_ones_leave_half_of_the_senders(stage):
    for number in range(6):
        stage.callbacks(stage.endpoint(f"/dead{number}"), 10)
        stage.receiver.set_mode(f"/dead{number}", Mode(kind=ModeKind.HANG))
    stage.change("UPDATE endpoints SET failing_since = now()")
    healthy = stage.endpoint("/healthy")
    step = stage.step(callback_timeout_seconds=30.0, callback_senders=8)
    stage.in_background(step)
    stage.receiver.wait_for(lambda all_: len(all_) == 4)

    stage.callbacks(healthy, 20)
    step()

    received = stage.receiver.wait_for(lambda all_: sum(one.path == "/healthy" for one in all_) == 20)
    dead = [one.path for one in received if one.path != "/healthy"]
    assert len(dead) == 4
    assert all(len(list(same)) <= 2 for _, same in itertools.groupby(sorted(dead)))
    stage.hang_up()


def test_an_endpoint_that_answers_again_is_healthy_again(stage):
    stage.callbacks(stage.endpoint(), 30)
    stage.change("UPDATE endpoints SET failing_since = now()")

    stage.deliver()
    stage.deliver()

    assert stage.rows("SELECT failing_since FROM endpoints") == [(None,)]
    assert len(stage.receiver.received) == 30


def test_draining_finishes_what_is_on_its_way_and_gives_the_rest_back(stage):
    stage.callbacks(stage.endpoint(), 30)
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.4))
    step = stage.step(callback_endpoint_limit=2)
    running = stage.in_background(step)
    stage.receiver.wait_for(lambda all_: len(all_) == 2)

    step.stop()
    running.join()
    step.drain()

    sent = {one.headers["webhook-id"] for one in stage.receiver.received}
    rows = stage.rows("SELECT event_id, state, attempts FROM callbacks")
    assert {row.event_id for row in rows if row.state == "done"} == sent
    assert {(row.state, row.attempts) for row in rows if row.event_id not in sent} == {("due", 0)}
    assert stage.rows("SELECT count(*) AS n FROM delivery_attempts") == [(len(sent),)]


def test_within_an_endpoint_events_go_out_in_their_order(stage):
    stage.callbacks(stage.endpoint(), 40)

    stage.deliver(callback_endpoint_limit=1)

    assert [one.json()["sequence"] for one in stage.receiver.received] == list(range(1, 41))


def test_an_endpoint_with_a_long_backlog_hides_nobody(stage):
    stage.callbacks(stage.endpoint(), 2000, due_in_s=-3600)
    small = {stage.endpoint() for _ in range(30)}
    for endpoint_id in small:
        stage.callbacks(endpoint_id, 2)

    claimed = stage.claim()

    assert len([one for one in claimed if one.endpoint_id in small]) == 60
    assert len(claimed) <= 60 + SHARES.endpoint


def test_a_claim_leaves_busy_endpoints_and_what_is_not_due_alone(stage):
    busy, free = stage.endpoint(), stage.endpoint()
    stage.callbacks(busy, 3)
    (due,) = stage.callbacks(free)
    stage.callbacks(free, first=2, due_in_s=60)

    claimed = stage.claim(busy=[busy])

    assert [one.callback_id for one in claimed] == [due]


def test_a_claim_of_nothing_is_empty(stage):
    assert stage.claim() == []


def test_a_resent_callback_goes_through_the_whole_schedule_again(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500))
    stage.deliver_again(times=3)

    with stage.database.statement() as connection:
        assert callbacks.resend(connection, callback_id)
        assert not callbacks.resend(connection, callback_id)  # it is due already
        assert not callbacks.resend(connection, "cb_unknown")
    stage.deliver_again(times=2)
    reopened = stage.row("callbacks", callback_id)
    stage.deliver_again()

    assert (reopened.state, reopened.attempts, reopened.failures_forgiven) == ("due", 5, 3)
    assert stage.row("callbacks", callback_id).state == "parked"
    assert [one.number for one in stage.attempts(callback_id)] == [1, 2, 3, 4, 5, 6]


def test_a_delivered_callback_can_be_resent(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.deliver()

    with stage.database.statement() as connection:
        callbacks.resend(connection, callback_id)
    stage.deliver()

    assert len({one.headers["webhook-id"] for one in stage.receiver.received}) == 1
    assert (len(stage.receiver.received), stage.row("callbacks", callback_id).state) == (2, "done")


def test_recover_reopens_a_provider_s_parked_callbacks_of_a_time_range(stage):
    ours, theirs = stage.endpoint(), stage.endpoint()
    stage.callbacks(ours, 3)
    stage.callbacks(theirs)
    stage.change("UPDATE callbacks SET state = 'parked', due_at = NULL, finished_at = now()")
    stage.change("UPDATE feed_events SET occurred_at = now() - interval '2 days' WHERE sequence = 3")
    stage.change("UPDATE feed_events SET occurred_at = now() WHERE sequence < 3")
    since, until = stage.rows("SELECT now() - interval '1 day', now() + interval '1 minute'")[0]

    with stage.database.statement() as connection:
        recovered = callbacks.recover(connection, ours.replace("ep_", "prov_"), since, until)

    assert recovered == 2
    assert stage.rows("SELECT count(*) AS n FROM callbacks WHERE state = 'due'") == [(2,)]


def test_one_that_cannot_be_built_fails_by_itself(stage):
    endpoint_id = stage.endpoint()
    (broken,) = stage.callbacks(endpoint_id, facts=json.dumps({"sessionId": "no attempts"}))
    stage.deliver()
    (sound,) = stage.callbacks(endpoint_id, first=2)

    stage.deliver()

    assert stage.attempts(broken)[0].error == "not_sendable"
    assert stage.row("callbacks", sound).state == "done"


def test_the_claim_walks_the_index_of_open_callbacks_and_takes_milliseconds(stage):
    for number in range(200):
        endpoint_id = stage.endpoint()
        stage.callbacks(endpoint_id, 250, due_in_s=-1 if number % 2 else 60)
    stage.change("VACUUM ANALYZE")
    binds = {
        "wanted": 256,
        "share": 64,
        "failing": 32,
        "failing_share": 2,
        "lease_s": 30,
        "busy_endpoints": [],
    }
    with stage.database.engine.connect() as connection:
        explained = connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {callbacks._CLAIM.sql[0]}"), binds)
        (plan,) = explained.scalar_one()

    scans = [node for node in nodes(plan["Plan"]) if node["Node Type"].endswith("Scan")]
    assert "Seq Scan" not in {node["Node Type"] for node in scans if node.get("Relation Name") == "callbacks"}
    assert "callbacks_due_idx" in {node.get("Index Name") for node in scans}
    assert plan["Execution Time"] < 100


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
