"""Drill: 8x8 answers badly, reports oddly, or we die in the middle of asking. No phone rings twice unasked."""

import pytest

from tests.e2e.stage import wait_until

# fault of the simulator, its options, status, callflows that 8x8 accepted
FAULTS = [
    ("reply_lost", {}, "delivered", 1),
    ("reply_never", {}, "delivered", 1),
    ("garbage_body", {}, "delivered", 1),
    ("cut_body", {}, "delivered", 1),
    ("error_empty", {"created": True}, "delivered", 1),
    ("bad_gateway_html", {"created": True}, "delivered", 1),
    ("error_not_created", {"count": 1}, "delivered", 1),
    ("rate_limited", {"count": 1, "retry_after_s": 1}, "delivered", 1),
    ("refused", {"code": -1016}, "failed", 0),
    ("vss_before_reply", {}, "delivered", 1),
    ("vss_duplicated", {"copies": 5}, "delivered", 1),
    ("vss_old_casing", {}, "delivered", 1),
    ("vss_without_echo", {}, "delivered", 1),
    ("vss_delayed", {"seconds": 3.0}, "delivered", 1),
]
SPEAKING_S = 12  # more than the two plays take

pytestmark = pytest.mark.xdist_group("deaths")


@pytest.fixture(scope="module")
def numbers(running_stage):
    """All these calls at once, as each takes its time."""
    running_stage.await_ready()
    numbers = {knob: running_stage.new_number() for knob, *_ in FAULTS}
    for knob, options, _, _ in FAULTS:
        running_stage.simulator.set_fault(knob, destination=numbers[knob], **options)
        running_stage.submit(f"fault-{knob}", numbers[knob])
    yield numbers
    running_stage.simulator.clear_faults()


@pytest.mark.parametrize(("knob", "status", "calls"), [(knob, *rest) for knob, _, *rest in FAULTS])
def test_whatever_8x8_answers_a_phone_rings_at_most_once_and_the_provider_is_told(
    running_stage, numbers, knob, status, calls
):
    told = running_stage.callback(f"fault-{knob}")

    assert told["status"] == status, told
    assert len(running_stage.simulator.ledger.of(numbers[knob])) == calls


def test_a_worker_killed_while_8x8_takes_its_call_rings_nobody_twice(stage):
    number = stage.new_number()
    stage.simulator.set_fault("slow_reply", destination=number, seconds=3.0)
    stage.submit("killed-in-post", number)
    stage.simulator.wait_for(lambda ledger: len(ledger.of(number)) == 1)

    stage.kill("calls-otp")
    told = stage.callback("killed-in-post")

    assert (told["status"], told["attempts"]) == ("delivered", 1)
    assert len(stage.simulator.ledger.of(number)) == 1


def test_a_call_without_summary_is_undetermined_at_a_known_time_and_corrected_when_it_comes(stage):
    number = stage.new_number()
    stage.simulator.set_fault("vss_delayed", destination=number, seconds=4.0)
    accepted = stage.submit("summary-late", number, headers={"Prefer": "wait=10"}, ttlSeconds=15)
    longest_s = 15 + stage.settings.ring_seconds + SPEAKING_S + stage.settings.vss_grace_seconds

    wait_until(lambda: stage.story("summary-late")["status"] == "placed", what="the call is placed")
    (in_time,) = stage.rows(
        "SELECT due_at <= created_at + :longest_s * interval '1 second' FROM messages WHERE id = :id",
        id=accepted["id"],
        longest_s=longest_s,
    )
    stage.rows("UPDATE messages SET due_at = now() WHERE id = :id RETURNING id", id=accepted["id"])
    first, second = [one.json() for one in stage.callbacks("summary-late", 2)]

    assert in_time == (True,)
    assert (first["type"], first["data"]["reason"]) == ("message.undetermined", "no_summary")
    assert (second["type"], second["data"]["status"]) == ("message.corrected", "delivered")
    assert len(stage.simulator.ledger.of(number)) == 1
