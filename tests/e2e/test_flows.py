"""Whole calls: from the provider's request over 8x8's reports to the signed callback."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
import requests

from deploy.receiver import Mode, ModeKind
from shared.db.queries import stops
from shared.lifecycle import Lane
from shared.stops import Scope, Stop
from tests.e2e.stage import TOKEN, wait_until

pytestmark = pytest.mark.xdist_group("deaths")


def test_a_message_is_spoken_and_its_callback_tells_so(stage):
    number = stage.new_number()

    accepted = stage.submit("flow-delivered", number, code="4829", message="Your code is {code}.", metadata={"n": "7"})
    told = stage.callback("flow-delivered")
    story = stage.story("flow-delivered")

    (call,) = stage.simulator.ledger.of(number)
    assert told["id"] == accepted["id"]
    assert (told["status"], told["reason"], told["heard"], told["attempts"]) == ("delivered", None, "full", 1)
    assert told["sessionId"] == call.session_id
    assert 2 <= told["durationSeconds"] <= 20
    assert told["to"] == f"{number[:3]}****{number[-4:]}"
    assert told["metadata"] == {"n": "7"}
    assert [event["type"] for event in story["events"]] == ["message.accepted", "message.placed", "message.delivered"]
    (attempt,) = story["attempts"]
    assert (attempt["sessionId"], attempt["outcome"]) == (call.session_id, "created")
    assert [leg["callStatus"] for leg in attempt["legs"]] != []


def test_a_final_message_holds_no_text_any_more(stage):
    stage.submit("flow-forgotten", stage.new_number())

    told = stage.callback("flow-forgotten")

    assert stage.rows("SELECT content FROM messages WHERE id = :id", id=told["id"]) == [(None,)]


def test_the_public_demos_own_request_works_unchanged(stage):
    number = stage.new_number()
    body = f'{{"messageId": "OTP789", "customerPhone": "{number}", "message": "Your code is 1 2 3 4", "repetition": 2}}'
    content_type = "Content-Type: application/json"
    curl = shutil.which("curl")
    assert curl, "the demo's line needs curl"

    done = subprocess.run(
        [curl, "-sS", f"{stage.url}/api/make-call", "-u", f"admin:{TOKEN}", "-H", content_type, "-d", body],
        capture_output=True,
        text=True,
        check=True,
    )

    assert '"success":true' in done.stdout
    stage.simulator.wait_for(lambda ledger: any(call.session_status == "COMPLETED" for call in ledger.of(number)))


def test_a_request_that_waits_learns_the_call_session(stage):
    number = stage.new_number()

    data = stage.submit("flow-wait", number, headers={"Prefer": "wait=10"})

    (call,) = stage.simulator.ledger.of(number)
    assert (data["sessionId"], data["sessionStatus"]) == (call.session_id, "CREATED")


def test_a_pressed_key_ends_an_interruptible_call_through_vca(stage):
    number = stage.new_number("presses_5")

    stage.submit("flow-key", number, interruptible=True, repetition=3)
    told = stage.callback("flow-key")

    (call,) = stage.simulator.ledger.of(number)
    assert (told["status"], told["keyPressed"]) == ("delivered", "5")
    assert call.came_back("VCA") == [200]
    assert stage.story("flow-key")["events"][-2]["type"] == "message.answered"


# behaviour of the phone, status, reason, members of the request
UNHEARD = [
    ("busy", "busy", "busy", {"redial": {"maxAttempts": 1}}),
    ("no_answer", "no_answer", "no_answer", {"redial": {"maxAttempts": 1}}),
    ("failed", "failed", "not_reached", {}),
    ("canceled", "canceled", "call_canceled", {}),
    ("no_coverage", "failed", "no_coverage", {}),
    ("internal_error", "failed", "upstream_error", {"redial": {"maxAttempts": 1}}),
    ("validity_over", "expired", "expired_upstream", {}),
    ("unsubscribed", "blocked", "opted_out", {}),
]


@pytest.fixture(scope="module")
def unheard_numbers(running_stage):
    """All these calls at once, as each takes its time."""
    running_stage.await_ready()
    numbers = {behaviour: running_stage.new_number(behaviour) for behaviour, *_ in UNHEARD}
    for behaviour, _, _, members in UNHEARD:
        running_stage.submit(f"flow-{behaviour}", numbers[behaviour], **members)
    return numbers


@pytest.mark.parametrize(("behaviour", "status", "reason"), [row[:3] for row in UNHEARD])
def test_a_call_that_nobody_heard_is_told_with_its_reason(stage, unheard_numbers, behaviour, status, reason):
    told = stage.callback(f"flow-{behaviour}")

    assert (told["status"], told["reason"], told["heard"]) == (status, reason, "none")
    assert told["party"] is not None
    assert stage.story(f"flow-{behaviour}")["status"] == status
    assert len(stage.simulator.ledger.of(unheard_numbers[behaviour])) == 1


def test_a_phone_that_nobody_answered_is_dialled_once_more(stage):
    number = stage.new_number("no_answer", "completed")

    stage.submit("flow-redial", number)
    told = stage.callback("flow-redial")

    first, second = stage.simulator.ledger.of(number)
    assert (told["status"], told["attempts"], told["sessionId"]) == ("delivered", 2, second.session_id)
    assert (first.session_status, second.session_status) == ("NO_ANSWER", "COMPLETED")
    assert (second.accepted_at - first.accepted_at).total_seconds() >= 5


def test_a_message_that_nobody_dialled_in_time_expires_unspoken(stage):
    number = stage.new_number()
    stop = Stop(Scope.LANE, Lane.ALERT)
    stage.database.run(lambda connection: stops.stop(connection, stop, reason="a test", by="a test"))

    accepted = stage.submit("flow-expired", number, type="alert", ttlSeconds=15)
    stage.rows(
        "UPDATE messages SET deadline = now() + interval '1 second' WHERE id = :id RETURNING id", id=accepted["id"]
    )
    told = stage.callback("flow-expired")

    stage.database.run(lambda connection: stops.go(connection, Scope.LANE, Lane.ALERT))
    assert (told["status"], told["reason"], told["attempts"]) == ("expired", "deadline_passed", 0)
    assert stage.simulator.ledger.of(number) == []


def test_bulk_messages_have_workers_too(stage):
    stage.submit("flow-alert", stage.new_number(), type="alert")
    stage.submit("flow-notification", stage.new_number(), type="notification")

    told = [stage.callback(name) for name in ("flow-alert", "flow-notification")]

    assert [(one["type"], one["status"]) for one in told] == [("alert", "delivered"), ("notification", "delivered")]


def test_a_refused_callback_comes_again_under_the_same_id(stage):
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=503, times=2))

    stage.submit("flow-refused", stage.new_number())
    received = stage.callbacks("flow-refused", 3)
    wait_until(lambda: stage.story("flow-refused")["callbacks"][0]["state"] == "done", what="the callback is done")

    assert len({one.headers["webhook-id"] for one in received}) == 1
    assert [one.is_verified for one in received] == [True] * 3
    (callback,) = stage.story("flow-refused")["callbacks"]
    assert [one["httpStatus"] for one in callback["deliveries"]] == [503, 503, 200]


def test_a_batch_is_accepted_at_once_and_each_of_it_called_back(stage):
    numbers = {f"flow-batch-{place}": stage.new_number() for place in range(50)}
    calls = [{"messageId": name, "customerPhone": number, "message": "Hello."} for name, number in numbers.items()]

    reply = requests.post(f"{stage.url}/api/make-calls", json={"calls": calls}, auth=stage.key, timeout=10).json()

    assert (reply["accepted"], reply["rejected"]) == (50, 0)
    assert {stage.callback(name)["status"] for name in numbers} == {"delivered"}
    assert {len(stage.simulator.ledger.of(number)) for number in numbers.values()} == {1}


def test_a_scheduled_message_is_not_dialled_before_its_time(stage):
    number = stage.new_number()
    time = datetime.now(UTC) + timedelta(seconds=2)

    accepted = stage.submit("flow-scheduled", number, scheduledAt=time.isoformat())
    told = stage.callback("flow-scheduled")

    (call,) = stage.simulator.ledger.of(number)
    assert accepted["status"] == "scheduled"
    assert told["status"] == "delivered"
    assert call.accepted_at >= time


def test_every_flow_is_accounted_for(stage):
    wait_until(lambda: not stage.rows("SELECT 1 FROM messages WHERE finished_at IS NULL"), what="all are final")

    audited = stage.ringpost("audit", "--grace", "5")

    assert audited.returncode == 0, audited.stdout + audited.stderr
