"""The verdict of a drill: a good history passes, and each planted fault is caught under the promise it breaks."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.chaos.checker import Bounds, check
from deploy.chaos.records import Attempt, Delivery, Event, Evidence, Kind, Outcome, Post, Row, Session
from deploy.chaos.verdict import Promise

MESSAGES = 40  # numbered; of these:
BUSY_ONCE, SILENT, NO_ANSWER = 1, 2, 3


def number(place):
    return f"+49151{place:08d}"


def submit(place, at, outcome=Outcome.OK, status=200):
    facts = {"message": f"m{place}", "to": number(place), "outcome": outcome, "status": status}
    if outcome is Outcome.OK:
        facts["id"] = f"msg_{place}"
    return Event(kind=Kind.SUBMIT, at_s=at, wall=at, facts=facts)


def session(place, dial=1, status="COMPLETED", vss=(200,)):
    at = place + 10.0 * dial
    return Session(
        destination=number(place),
        session_id=f"s{place}-{dial}",
        request_id=f"att_{place}_{dial}",
        accepted_at=at,
        status=status,
        vss=tuple(Post(at + 1 + n, answer) for n, answer in enumerate(vss)),
        vca=(Post(at + 0.5, 200),),
    )


def delivery(place, status, at=100.0):
    return Delivery(
        webhook_id=f"evt_{place}",
        message_id=f"m{place}",
        type=f"message.{status}",
        status=status,
        at=at,
        is_verified=True,
    )


def good():
    """Forty messages through kills and faults: one redialled after busy, one of which 8x8 never told the end."""
    statuses = dict.fromkeys(range(MESSAGES), "delivered") | {SILENT: "undetermined", NO_ANSWER: "no_answer"}
    sessions = {place: [session(place)] for place in range(MESSAGES)}
    sessions[BUSY_ONCE] = [session(BUSY_ONCE, status="BUSY", vss=(503, 200)), session(BUSY_ONCE, dial=2)]
    sessions[SILENT] = [session(SILENT, vss=())]
    sessions[NO_ANSWER] = [session(NO_ANSWER, status="NO_ANSWER")]
    rows = [
        Row(
            id=f"msg_{place}", message_id=f"m{place}", status=status, has_text=False, most_calls=2,
            reason=None if status == "delivered" else "no_summary", created_at=1.0, finished_at=20.0,
        )
        for place, status in statuses.items()
    ]  # fmt: skip
    calls = [call for all_ in sessions.values() for call in all_]
    history = [
        Event(kind=Kind.BEGAN, at_s=0, wall=0, facts={"seed": 1}),
        submit(0, 0.5, Outcome.FAIL, 429),
        submit(1, 0.5, Outcome.INFO, None),
        *(submit(place, 1.0) for place in range(MESSAGES)),
        Event(kind=Kind.KILL, at_s=5, wall=5, facts={"what": "web"}),
        Event(kind=Kind.RESTART, at_s=5.2, wall=5.2, facts={"what": "web"}),
        Event(kind=Kind.FAULT_ON, at_s=6, wall=6, facts={"what": "postgres"}),
        Event(kind=Kind.FAULT_OFF, at_s=8, wall=8, facts={"what": "postgres"}),
        Event(kind=Kind.DRAINED, at_s=40, wall=40),
    ]
    return Evidence(
        history=tuple(history),
        sessions=tuple(calls),
        deliveries=tuple(delivery(place, status) for place, status in statuses.items()),
        rows=tuple(rows),
        attempts=tuple(
            Attempt(attempt_id=call.request_id, id=f"msg_{call.destination[6:].lstrip('0') or '0'}", number=n)
            for all_ in sessions.values()
            for n, call in enumerate(all_, start=1)
        ),
    )


def changed(evidence, part, at, **changes):
    """The same with the record at this place of a part changed; without changes the record is gone."""
    known = list(getattr(evidence, part))
    known[at : at + 1] = [replace(known[at], **changes)] if changes else []
    return replace(evidence, **{part: tuple(known)})


def with_more(evidence, part, *more):
    return replace(evidence, **{part: (*getattr(evidence, part), *more)})


def without(evidence, part, predicate):
    return replace(evidence, **{part: tuple(one for one in getattr(evidence, part) if not predicate(one))})


def unplaced(evidence, place):
    """A message that nobody dialled."""
    bare = without(evidence, "sessions", lambda one: one.destination == number(place))
    return without(bare, "attempts", lambda one: one.id == f"msg_{place}")


def row_at(evidence, place, **changes):
    return changed(evidence, "rows", place, **changes)


def called_back_as(evidence, place, *deliveries):
    rest = without(evidence, "deliveries", lambda one: one.message_id == f"m{place}")
    return with_more(rest, "deliveries", *deliveries)


def doubted(evidence, places, reason="never_confirmed"):
    """Messages whose summaries were sent to us, in vain, for all that time."""
    for place in places:
        evidence = row_at(evidence, place, status="undetermined", reason=reason)
        evidence = called_back_as(evidence, place, delivery(place, "undetermined"))
    told = {number(place) for place in places}
    calls = [replace(one, vss=(Post(1, 503),)) if one.destination in told else one for one in evidence.sessions]
    return replace(evidence, sessions=tuple(calls))


PLANTED = {
    "a 2xx without a row": ("P1", lambda e: row_at(e, 7)),
    "a row that nobody sent": ("P1", lambda e: with_more(e, "rows", replace(e.rows[0], message_id="x", id="msg_x"))),
    "a row under another id": ("P1", lambda e: row_at(e, 7, id="msg_other")),
    "never final": ("P1", lambda e: row_at(e, 7, status="placed", finished_at=None)),
    "the audit found something": ("P1", lambda e: replace(e, audit={"feed_gap": ("prov_1",)})),
    "a repetition refused as another": ("P1", lambda e: with_more(e, "history", submit(7, 2, Outcome.FAIL, 409))),
    "one attempt rang twice": ("P2", lambda e: with_more(e, "sessions", replace(e.sessions[0], session_id="s"))),
    "a second attempt after a completed call": (
        "P2",
        lambda e: with_more(
            with_more(e, "sessions", session(7, dial=2)),
            "attempts",
            Attempt(attempt_id="att_7_2", id="msg_7", number=2),
        ),
    ),
    "a redial before 8x8 said busy": (
        "P2",
        lambda e: changed(e, "sessions", BUSY_ONCE, vss=(Post(BUSY_ONCE + 25.0, 200),)),
    ),
    "a redial beyond the policy": ("P2", lambda e: row_at(e, BUSY_ONCE, most_calls=1)),
    "a call without an attempt": ("P2", lambda e: without(e, "attempts", lambda one: one.attempt_id == "att_7_1")),
    "a call of a stranger": ("P2", lambda e: with_more(e, "sessions", replace(session(99), destination="+4915"))),
    "delivered, and nobody answered": ("P3", lambda e: changed(e, "sessions", 8, status="NO_ANSWER")),
    "delivered, and never dialled": ("P3", lambda e: unplaced(e, 7)),
    "final before its call ended": ("P3", lambda e: changed(e, "sessions", 8, status=None)),
    "undetermined without a reason": ("P3", lambda e: row_at(e, SILENT, reason=None)),
    "undetermined, though 8x8 told us": ("P3", lambda e: changed(e, "sessions", SILENT + 1, vss=(Post(15, 200),))),
    "too many undetermined": ("P3", lambda e: doubted(e, [10])),
    "no callback": ("P4", lambda e: called_back_as(e, 7)),
    "two ids for one event": (
        "P4",
        lambda e: with_more(e, "deliveries", replace(delivery(7, "delivered"), webhook_id="evt_other")),
    ),
    "a callback with another ending": ("P4", lambda e: called_back_as(e, 7, delivery(7, "busy"))),
    "a callback before the end": (
        "P4",
        lambda e: row_at(e, 7, status="placed", finished_at=None),
    ),
    "a forged callback": ("P4", lambda e: changed(e, "deliveries", 7, is_verified=False)),
    "a callback about a stranger": (
        "P4",
        lambda e: with_more(e, "deliveries", replace(delivery(9, "busy"), message_id="x")),
    ),
    "too many callbacks twice": ("P4", lambda e: with_more(e, "deliveries", *e.deliveries[:2])),
    "never at rest": ("P5", lambda e: without(e, "history", lambda one: one.kind is Kind.DRAINED)),
    "at rest too late": ("P5", lambda e: with_more(e, "history", Event(kind=Kind.DRAINED, at_s=129, wall=129))),
    "never accepted": (
        "P6",
        lambda e: with_more(e, "history", submit(77, 1, Outcome.INFO, None), submit(77, 2, Outcome.FAIL, 503)),
    ),
    "a call without a hang-up": ("P7", lambda e: changed(e, "sessions", 7, vca=(Post(1, 500),))),
    "a text that was kept": ("P8", lambda e: row_at(e, 7, has_text=True)),
}  # fmt: skip


def test_a_good_history_breaks_no_promise():
    verdict = check(good())

    assert verdict.violations == ()
    assert verdict.figures["messages"] == verdict.figures["accepted"] == MESSAGES
    assert verdict.figures["redials"] == 1
    assert verdict.figures["undetermined, 8x8 silent"] == 1
    assert verdict.figures["undetermined, other"] == 0
    assert verdict.figures["drained after, s"] == 32


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_caught(planted):
    promise, spoil = PLANTED[planted]

    assert Promise(promise) in check(spoil(good())).broken()


ALLOWED = {
    "a request without an answer, and nothing stored": lambda e: with_more(
        row_less(e, 7), "history", submit(7, 1, Outcome.INFO, None), submit(7, 2)
    ),
    "a doubt that was corrected": lambda e: with_more(
        called_back_as(e, 7, delivery(7, "undetermined")),
        "deliveries",
        replace(delivery(7, "delivered", at=101.0), type="message.corrected", webhook_id="evt_c"),
    ),
    "a message that expired before anybody dialled": lambda e: called_back_as(
        row_at(unplaced(e, 7), 7, status="expired", reason="deadline_passed"), 7, delivery(7, "expired")
    ),
    "a redial that came too late": lambda e: called_back_as(
        row_at(e, NO_ANSWER, status="expired", reason="deadline_passed"), NO_ANSWER, delivery(NO_ANSWER, "expired")
    ),
    "a callback that came twice": lambda e: with_more(e, "deliveries", delivery(7, "delivered")),
    "a callback set aside": lambda e: row_at(called_back_as(e, 7), 7, is_parked=True),
    "a hang-up that a dead process could not give": lambda e: changed(
        e, "sessions", 7, vca=(Post(1, "ClientConnectorError"),)
    ),
}


def row_less(evidence, place):
    """The same with the message's first answers forgotten."""
    return without(evidence, "history", lambda one: one.facts.get("message") == f"m{place}")


@pytest.mark.parametrize("case", ALLOWED)
def test_what_may_happen_is_no_violation(case):
    assert check(ALLOWED[case](good())).violations == ()


def test_a_message_of_unknown_fate_that_exists_counts_as_accepted():
    unanswered = with_more(row_less(good(), 7), "history", submit(7, 1, Outcome.INFO, None))

    assert check(unanswered).violations == ()
    assert Promise.P4 in check(called_back_as(unanswered, 7)).broken()


def test_a_life_longer_than_its_bound_breaks_the_promise_of_a_known_time():
    assert check(good(), Bounds(life_s=19.5)).violations == ()
    assert check(good(), Bounds(life_s=18.5)).broken() == {Promise.P3}


def test_a_violation_names_the_messages_it_happened_to():
    (violation,) = check(called_back_as(called_back_as(good(), 7), 9)).violations

    assert (violation.promise, violation.ids) == (Promise.P4, ("m7", "m9"))


@given(seed=st.integers(0, 2**32), planted=st.sampled_from([None, *PLANTED]))
def test_the_verdict_does_not_depend_on_the_order_of_what_is_read(seed, planted):
    evidence = good() if planted is None else PLANTED[planted][1](good())
    luck = random.Random(seed)
    parts = ("history", "sessions", "deliveries", "rows", "attempts")
    shuffled = {part: luck.sample(known, len(known)) for part in parts if (known := getattr(evidence, part))}

    assert check(replace(evidence, **{part: tuple(known) for part, known in shuffled.items()})) == check(evidence)
