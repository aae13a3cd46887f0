"""The one table of statuses: every move it allows, and all it does not."""

import pytest

from shared.lifecycle import (
    CORRECTED,
    FINAL_EVENT_TYPES,
    FINALS,
    IN_FLIGHT,
    PROGRESS,
    REPORTED,
    TRANSITIONS,
    Event,
    Status,
    event_type,
    mermaid,
)

S = Status
SETTLED = {S.DIALING, S.DIAL_UNKNOWN, S.PLACED, S.ANSWERED, S.UNDETERMINED}
MOVES = [
    (Event.TIME_CAME, {S.SCHEDULED}, S.QUEUED),
    (Event.CLAIMED, {S.QUEUED}, S.DIALING),
    (Event.DIAL_POSTPONED, {S.DIALING, S.DIAL_UNKNOWN}, S.QUEUED),
    (Event.DIAL_REFUSED, {S.DIALING, S.DIAL_UNKNOWN}, S.FAILED),
    (Event.DIAL_EXPIRED, {S.DIALING, S.DIAL_UNKNOWN}, S.EXPIRED),
    (Event.DIAL_DOUBTFUL, {S.DIALING}, S.DIAL_UNKNOWN),
    (Event.LEASE_LAPSED, {S.DIALING}, S.DIAL_UNKNOWN),
    (Event.HISTORY_LOST, {S.SCHEDULED, S.QUEUED}, S.DIAL_UNKNOWN),
    (Event.DOUBT_REMAINED, {S.QUEUED}, S.UNDETERMINED),
    (Event.CALL_PLACED, {S.DIALING, S.DIAL_UNKNOWN}, S.PLACED),
    (Event.CALL_ANSWERED, {S.DIALING, S.DIAL_UNKNOWN, S.PLACED}, S.ANSWERED),
    (Event.SESSION_COMPLETED, SETTLED | {S.QUEUED}, S.DELIVERED),
    (Event.SESSION_NOT_ANSWERED, SETTLED, S.NO_ANSWER),
    (Event.SESSION_BUSY, SETTLED, S.BUSY),
    (Event.SESSION_CANCELED, SETTLED, S.CANCELED),
    (Event.SESSION_FAILED, SETTLED, S.FAILED),
    (Event.SESSION_EXPIRED, SETTLED, S.EXPIRED),
    (Event.SESSION_BLOCKED, SETTLED, S.BLOCKED),
    (Event.SESSION_TO_REDIAL, SETTLED - {S.UNDETERMINED}, S.QUEUED),
    (Event.DOUBT_TO_REDIAL, {S.DIAL_UNKNOWN}, S.QUEUED),
    (Event.DEADLINE_PASSED, {S.SCHEDULED, S.QUEUED}, S.EXPIRED),
    (Event.CAP_REACHED, {S.QUEUED}, S.BLOCKED),
    (Event.SUMMARY_MISSING, {S.DIAL_UNKNOWN, S.PLACED, S.ANSWERED}, S.UNDETERMINED),
    (Event.CANCEL_ASKED, {S.SCHEDULED, S.QUEUED}, S.CANCELED),
]


@pytest.mark.parametrize(("event", "sources", "target"), MOVES)
def test_an_event_moves_a_message_from_its_sources_only(event, sources, target):
    step = TRANSITIONS[event]

    assert (step.sources, step.target) == (sources, target)


def test_every_event_has_its_row():
    assert set(TRANSITIONS) == set(Event) == {event for event, _, _ in MOVES}


@pytest.mark.parametrize("status", sorted(FINALS - {S.UNDETERMINED}))
def test_a_final_status_is_never_left(status):
    assert not [event for event, step in TRANSITIONS.items() if status in step.sources]


def test_undetermined_is_corrected_by_a_summary_only_and_to_another_final_status():
    events = {event for event, step in TRANSITIONS.items() if S.UNDETERMINED in step.sources}

    assert all(event.value.startswith("session_") for event in events)
    assert {TRANSITIONS[event].target for event in events} == FINALS - {S.UNDETERMINED}


@pytest.mark.parametrize("status", sorted(set(Status) - FINALS))
def test_every_open_status_leads_to_a_final_one(status):
    reached, before = {status}, set()
    while reached != before:
        before = set(reached)
        reached |= {step.target for step in TRANSITIONS.values() if step.sources & before}

    assert reached & FINALS


@pytest.mark.parametrize("status", sorted(set(Status) - {S.SCHEDULED}))
def test_every_status_but_the_first_is_reached(status):
    assert [event for event, step in TRANSITIONS.items() if step.target is status]


def test_a_doubtful_call_is_dialled_again_only_by_the_events_that_say_so():
    back = {event for event, step in TRANSITIONS.items() if step.target is S.QUEUED and S.DIAL_UNKNOWN in step.sources}

    assert back == {Event.DIAL_POSTPONED, Event.SESSION_TO_REDIAL, Event.DOUBT_TO_REDIAL}


def test_finals_and_progress_are_reported_and_apart():
    assert FINALS | {Status.DIAL_UNKNOWN, Status.ANSWERED} == REPORTED
    assert not REPORTED & PROGRESS
    assert set(FINAL_EVENT_TYPES) == {event_type(status) for status in FINALS} | {CORRECTED}


def test_the_diagram_shows_every_move():
    lines = mermaid().splitlines()

    for event, sources, target in MOVES:
        drawn = (sources - IN_FLIGHT) | {"in_flight"} if sources >= IN_FLIGHT else sources
        for source in drawn:
            assert any(line.startswith(f"    {source} --> {target}: ") and event in line for line in lines)
    assert all(f"        {status}" in lines for status in IN_FLIGHT)
    assert sum(line.endswith("--> [*]") for line in lines) == len(FINALS)
