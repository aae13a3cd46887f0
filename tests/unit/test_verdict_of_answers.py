"""What an answer of 8x8 makes of a message, and when it is looked at again."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.lifecycle import Event
from shared.verdict import Dialed, Timing, after_dial
from shared.voice_api.codes import Disposition, Reason, Verdict

NOW = datetime(2026, 10, 5, 9, 12, tzinfo=UTC)
TIMING = Timing(ring_s=60, answer_s=25, grace_s=120, breaker_s=15)
VERDICT_S = 90 + 60 + 8 + 120  # validity, ringing, speaking, grace


def dialed(**changes):
    values = {
        "message_id": "msg_1",
        "attempt_id": "att_1_1",
        "number": 1,
        "valid_until": NOW + timedelta(seconds=90),
        "speaking_s": 8,
        "deadline": NOW + timedelta(seconds=120),
        "may_redial": False,
    }
    return Dialed(**(values | changes))


@pytest.mark.parametrize(
    ("disposition", "event", "due_s"),
    [
        (Disposition.CREATED, Event.CALL_PLACED, VERDICT_S),
        (Disposition.REFUSED, Event.DIAL_REFUSED, None),
        (Disposition.EXPIRED, Event.DIAL_EXPIRED, None),
        (Disposition.RETRY, Event.DIAL_POSTPONED, 0.25),
        (Disposition.NOT_SENT, Event.DIAL_POSTPONED, 0.25),
        (Disposition.BLOCKED_ACCOUNT, Event.DIAL_POSTPONED, 16),
        (Disposition.BLOCKED_SOURCE, Event.DIAL_POSTPONED, 16),
        (Disposition.UNKNOWN, Event.DIAL_DOUBTFUL, VERDICT_S),
    ],
)
def test_every_disposition_has_its_event_and_its_next_look(disposition, event, due_s):
    move = after_dial(dialed(), Verdict(disposition, Reason.THROTTLED), TIMING, now=NOW, luck=0.5)

    assert (move.event, move.attempt_id, move.reason) == (event, "att_1_1", Reason.THROTTLED)
    assert move.due_at == (None if due_s is None else NOW + timedelta(seconds=due_s))


def test_a_message_that_is_refused_again_lets_others_probe_first():
    refused = Verdict(Disposition.BLOCKED_SOURCE, Reason.SOURCE_NOT_ALLOWED)

    waits = [after_dial(dialed(number=n), refused, TIMING, now=NOW, luck=0).due_at - NOW for n in (1, 2, 3, 9)]

    assert [wait.total_seconds() for wait in waits] == [16, 31, 61, 481]


def test_a_retry_after_comes_before_the_jitter():
    answer = Verdict(Disposition.RETRY, Reason.THROTTLED, retry_after_s=7)

    assert after_dial(dialed(), answer, TIMING, now=NOW, luck=0).due_at == NOW + timedelta(seconds=7)


@pytest.mark.parametrize(
    ("changes", "due_s"),
    [
        ({"may_redial": True, "deadline": NOW + timedelta(seconds=1800)}, 1800),
        ({"may_redial": True, "deadline": NOW + timedelta(seconds=20)}, VERDICT_S),
        ({"may_redial": False}, VERDICT_S),
    ],
)
def test_a_doubt_that_may_be_redialled_waits_for_proof_until_its_deadline(changes, due_s):
    move = after_dial(dialed(**changes), Verdict(Disposition.UNKNOWN), TIMING, now=NOW, luck=0)

    assert move.due_at == NOW + timedelta(seconds=due_s)
