"""What a summary or an action request of 8x8 means for its message."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.lifecycle import Event, Lane, Status
from shared.matching import Candidate, choose
from shared.verdict import Timing, after_action, after_summary
from shared.voice_api.codes import ERROR_RULES, Scope
from shared.voice_api.events import CallAction, SessionSummary, parse
from tests.integration.worker_stage import vca, vss

NOW = datetime(2026, 10, 5, 9, 13, tzinfo=UTC)
TIMING = Timing(ring_s=60, answer_s=25, grace_s=120, breaker_s=15)
SOURCE, NUMBER = "+6531580001", "+6581234567"


def candidate(**changes):
    values = {
        "rank": 0,
        "attempt_id": "att_1_1",
        "session_id": "s",
        "subaccount_id": "test_voice",
        "source": SOURCE,
        "destination_key": b"key",
        "is_settled": False,
        "key_pressed": None,
        "answered_at": None,
        "message_id": "msg_1",
        "is_current": True,
        "status": Status.PLACED,
        "lane": Lane.OTP,
        "plays": 2,
        "seconds_per_play": 4.0,
        "deadline": NOW + timedelta(seconds=300),
        "max_attempts": 1,
        "spare_attempts": 0,
        "accepted_attempts": 1,
        "now": NOW,
    }
    return Candidate(**(values | changes))


def summary(status="COMPLETED", **members):
    event = parse(json.dumps(vss(status, session_id="s", destination=NUMBER, **members)).encode())
    assert isinstance(event, SessionSummary)
    return event


def after(event, **changes):
    return after_summary(event, candidate(**changes), TIMING, luck=0)


@pytest.mark.parametrize(
    ("status", "event", "reason"),
    [
        ("COMPLETED", Event.SESSION_COMPLETED, None),
        ("COMPLETED_UNSUBSCRIBED", Event.SESSION_COMPLETED, None),
        ("COMPLETED_UNSUB_ERROR", Event.SESSION_COMPLETED, None),
        ("NO_ANSWER", Event.SESSION_NOT_ANSWERED, "no_answer"),
        ("BUSY", Event.SESSION_BUSY, "busy"),
        ("CANCELED", Event.SESSION_CANCELED, "call_canceled"),
        ("FAILED", Event.SESSION_FAILED, "not_reached"),
        ("UNSUBSCRIBED_CONTACT", Event.SESSION_BLOCKED, "opted_out"),
        ("DIVERTED", Event.SESSION_FAILED, "status_unknown"),
    ],
)
def test_every_session_status_has_its_event(status, event, reason):
    move = after(summary(status)).move

    assert (move.event, move.reason) == (event, reason)


@pytest.mark.parametrize("code", [*ERROR_RULES, -4711])
@pytest.mark.parametrize("spare", [0, 3])
def test_every_error_code_ends_or_redials_as_its_row_says(code, spare):
    rule = ERROR_RULES.get(code)

    finding = after(summary("ERROR", error_code=code), spare_attempts=spare)

    is_source = rule is not None and rule.scope is Scope.SOURCE
    redials = is_source or (rule is not None and rule.redial and spare > 0)
    ends = Event.SESSION_EXPIRED if code == -2007 else Event.SESSION_FAILED
    assert finding.move.event == (Event.SESSION_TO_REDIAL if redials else ends)
    assert finding.move.reason == (rule.reason if rule else "upstream_error")
    assert finding.pause_source == (SOURCE if is_source else None)


@pytest.mark.parametrize(("status", "proven"), [("COMPLETED", SOURCE), ("BUSY", SOURCE), ("ERROR", None)])
def test_a_phone_that_rang_proves_its_caller_id(status, proven):
    assert after(summary(status)).proven_source == proven


def test_a_settled_attempts_summary_is_a_duplicate():
    finding = after(summary(), is_settled=True)

    assert (finding.result, finding.move, finding.settlement) == ("duplicate", None, None)


@pytest.mark.parametrize(("status", "moves"), [("COMPLETED", True), ("NO_ANSWER", False), ("FAILED", False)])
def test_an_earlier_attempt_changes_the_message_only_by_having_been_heard(status, moves):
    finding = after(summary(status), is_current=False)

    assert (finding.move is not None, finding.settlement is not None) == (moves, True)


def test_an_undetermined_message_is_corrected_and_not_dialled_again():
    move = after(summary("BUSY"), status=Status.UNDETERMINED, max_attempts=4).move

    assert move.event is Event.SESSION_BUSY


@pytest.mark.parametrize(("is_settled", "moves"), [(False, True), (True, False)])
def test_a_key_pressed_is_remembered_also_after_the_summary(is_settled, moves):
    event = parse(json.dumps(vca(session_id="s", destination=NUMBER, event_data={"dtmf": "5"})).encode())
    assert isinstance(event, CallAction)

    finding = after_action(event, candidate(is_settled=is_settled), TIMING)

    assert finding.settlement.key_pressed == "5"
    assert (finding.move is not None) == moves


@pytest.mark.parametrize(
    ("ranks", "chosen"),
    [([], None), ([0], 0), ([1], 1), ([2], 2), ([0, 2], 0), ([1, 2], 1), ([2, 2], None), ([1, 1, 2], None)],
)
def test_an_event_belongs_to_its_one_best_candidate(ranks, chosen):
    candidates = [candidate(rank=rank) for rank in ranks]

    found = choose(candidates, subaccount_id="test_voice", destination_key=b"key", source=SOURCE)

    assert (found.rank if found else None) == chosen


@pytest.mark.parametrize("wrong", [{"subaccount_id": "x"}, {"destination_key": b"x"}, {"source": "+1"}])
def test_an_event_that_contradicts_its_session_is_given_to_nobody(wrong):
    event = {"subaccount_id": "test_voice", "destination_key": b"key", "source": SOURCE}
    others = [candidate(rank=0, **wrong), candidate(rank=2, attempt_id="att_2_1")]

    assert choose(others, **event) is None
