"""
The life of one message: every status, and every event that may change it, in one table.

Pure. SQL builds its WHERE from :data:`TRANSITIONS`, so nothing else compares statuses: an event that finds the
message elsewhere (a duplicate webhook, a second worker, a late summary) changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class Lane(StrEnum):
    """
    Which queue a message waits in; but for the last one also its type: how long it lives, how often it is redialled.

    Test messages of every type wait in a lane of their own: their calls are pretended, so they wait for no pace.
    """

    OTP = "otp"
    ALERT = "alert"
    NOTIFICATION = "notification"
    TEST = "test"


#: The lanes whose messages ring phones, which are the types that a message may have.
TYPES: Final[tuple[Lane, ...]] = tuple(lane for lane in Lane if lane is not Lane.TEST)


class Mode(StrEnum):
    """What a key may do, and with it each message that it sends: ring phones, or pretend to."""

    LIVE = "live"
    TEST = "test"


def mode_of(lane: str) -> Mode:
    """The mode of a message in *lane*."""
    return Mode.TEST if lane == Lane.TEST else Mode.LIVE


class Status(StrEnum):
    """Where a message stands; the words are the outside contract's."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    DIALING = "dialing"
    DIAL_UNKNOWN = "dial_unknown"
    PLACED = "placed"
    ANSWERED = "answered"
    DELIVERED = "delivered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    UNDETERMINED = "undetermined"


class Event(StrEnum):
    """What may happen to a message, in the past tense of the field."""

    TIME_CAME = "time_came"
    CLAIMED = "claimed"
    DIAL_POSTPONED = "dial_postponed"
    DIAL_REFUSED = "dial_refused"
    DIAL_EXPIRED = "dial_expired"
    DIAL_DOUBTFUL = "dial_doubtful"
    LEASE_LAPSED = "lease_lapsed"
    HISTORY_LOST = "history_lost"
    CALL_PLACED = "call_placed"
    CALL_ANSWERED = "call_answered"
    SESSION_COMPLETED = "session_completed"
    SESSION_NOT_ANSWERED = "session_not_answered"
    SESSION_BUSY = "session_busy"
    SESSION_CANCELED = "session_canceled"
    SESSION_FAILED = "session_failed"
    SESSION_EXPIRED = "session_expired"
    SESSION_BLOCKED = "session_blocked"
    SESSION_TO_REDIAL = "session_to_redial"
    DOUBT_TO_REDIAL = "doubt_to_redial"
    DEADLINE_PASSED = "deadline_passed"
    CAP_REACHED = "cap_reached"
    DOUBT_REMAINED = "doubt_remained"
    SUMMARY_MISSING = "summary_missing"
    CANCEL_ASKED = "cancel_asked"


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal move: from any of *sources* to *target*."""

    sources: frozenset[Status]
    target: Status


def _from(*sources: Status, to: Status) -> Transition:
    return Transition(frozenset(sources), to)


#: A phone may be ringing or speaking.
IN_FLIGHT: Final = frozenset({Status.DIALING, Status.DIAL_UNKNOWN, Status.PLACED, Status.ANSWERED})

#: A summary settles every call in flight, and alone may correct "undetermined".
_SETTLES: Final = (*IN_FLIGHT, Status.UNDETERMINED)

TRANSITIONS: Final[Mapping[Event, Transition]] = {
    Event.TIME_CAME: _from(Status.SCHEDULED, to=Status.QUEUED),
    Event.CLAIMED: _from(Status.QUEUED, to=Status.DIALING),
    # Surely no call was made. The attempt's owner may say so even after its lease lapsed.
    Event.DIAL_POSTPONED: _from(Status.DIALING, Status.DIAL_UNKNOWN, to=Status.QUEUED),
    Event.DIAL_REFUSED: _from(Status.DIALING, Status.DIAL_UNKNOWN, to=Status.FAILED),
    Event.DIAL_EXPIRED: _from(Status.DIALING, Status.DIAL_UNKNOWN, to=Status.EXPIRED),
    Event.DIAL_DOUBTFUL: _from(Status.DIALING, to=Status.DIAL_UNKNOWN),
    # Nobody can know whether the POST left: never back to the queue.
    Event.LEASE_LAPSED: _from(Status.DIALING, to=Status.DIAL_UNKNOWN),
    # PostgreSQL lost its last commits, a claim perhaps among them.
    Event.HISTORY_LOST: _from(Status.SCHEDULED, Status.QUEUED, to=Status.DIAL_UNKNOWN),
    Event.CALL_PLACED: _from(Status.DIALING, Status.DIAL_UNKNOWN, to=Status.PLACED),
    Event.CALL_ANSWERED: _from(Status.DIALING, Status.DIAL_UNKNOWN, Status.PLACED, to=Status.ANSWERED),
    # Also while a redial waits: the doubtful call before it was heard after all.
    Event.SESSION_COMPLETED: _from(Status.QUEUED, *_SETTLES, to=Status.DELIVERED),
    Event.SESSION_NOT_ANSWERED: _from(*_SETTLES, to=Status.NO_ANSWER),
    Event.SESSION_BUSY: _from(*_SETTLES, to=Status.BUSY),
    Event.SESSION_CANCELED: _from(*_SETTLES, to=Status.CANCELED),
    Event.SESSION_FAILED: _from(*_SETTLES, to=Status.FAILED),
    Event.SESSION_EXPIRED: _from(*_SETTLES, to=Status.EXPIRED),
    Event.SESSION_BLOCKED: _from(*_SETTLES, to=Status.BLOCKED),
    Event.SESSION_TO_REDIAL: _from(*IN_FLIGHT, to=Status.QUEUED),
    Event.DOUBT_TO_REDIAL: _from(Status.DIAL_UNKNOWN, to=Status.QUEUED),
    Event.DEADLINE_PASSED: _from(Status.SCHEDULED, Status.QUEUED, to=Status.EXPIRED),
    # Too many calls were made today, and the deadline comes before the next day.
    Event.CAP_REACHED: _from(Status.QUEUED, to=Status.BLOCKED),
    # The deadline passed while a redial waited, but the doubtful call before it may have been heard.
    Event.DOUBT_REMAINED: _from(Status.QUEUED, to=Status.UNDETERMINED),
    Event.SUMMARY_MISSING: _from(Status.DIAL_UNKNOWN, Status.PLACED, Status.ANSWERED, to=Status.UNDETERMINED),
    Event.CANCEL_ASKED: _from(Status.SCHEDULED, Status.QUEUED, to=Status.CANCELED),
}

#: Absorbing, but for the correction of "undetermined".
FINALS: Final = frozenset(
    {
        Status.DELIVERED,
        Status.NO_ANSWER,
        Status.BUSY,
        Status.CANCELED,
        Status.FAILED,
        Status.EXPIRED,
        Status.BLOCKED,
        Status.UNDETERMINED,
    }
)

#: Nobody has begun to dial.
WAITING: Final = frozenset({Status.SCHEDULED, Status.QUEUED})

#: Somebody should dial now.
TO_DIAL: Final = frozenset({Status.QUEUED})

#: Nobody knows whether a phone rang.
DOUBTFUL: Final = frozenset({Status.DIAL_UNKNOWN, Status.UNDETERMINED})

#: The text was spoken at least once.
SPOKEN: Final = frozenset({Status.DELIVERED})

#: Statuses that every feed reports; "queued" and "dialing" are told by the row itself.
REPORTED: Final = FINALS | {Status.DIAL_UNKNOWN, Status.ANSWERED}

#: Somebody may have heard the code: whether it was used can be told.
ANSWERABLE: Final = FINALS | {Status.ANSWERED}

#: Statuses that a feed reports when an endpoint of the provider subscribes to them, as hardly any does: it would be
#: every second event, and each is numbered under the provider's one counter.
PROGRESS: Final = frozenset({Status.PLACED})

#: The type of the event that corrects an earlier "undetermined".
CORRECTED: Final = "message.corrected"


def event_type(status: Status) -> str:
    """The feed event's and callback's type for a status, ``message.<status>``."""
    return f"message.{status}"


#: What an endpoint hears unless it subscribes to more.
FINAL_EVENT_TYPES: Final = (*sorted(event_type(status) for status in FINALS), CORRECTED)

#: All that an endpoint may subscribe to.
EVENT_TYPES: Final = (*sorted(event_type(status) for status in REPORTED | PROGRESS), CORRECTED)


@dataclass(frozen=True, slots=True)
class Move:
    """One event for one message, and what to remember with it."""

    message_id: str
    event: Event
    #: Only while this attempt is the message's current one: a worker that lost its lease changes nothing.
    attempt_id: str | None = None
    reason: str | None = None
    session_id: str | None = None
    #: When something must happen next, for statuses that are not final: a moment, or seconds from now.
    due_at: datetime | None = None
    due_in_s: float | None = None
    #: What the feed event and the callbacks tell beside the status; camelCase, JSON values.
    facts: dict[str, Any] = field(default_factory=dict)


class CallbackState(StrEnum):
    """Where one callback stands: ``due -> sending -> done``, back to ``due`` on failure, ``parked`` at the end."""

    DUE = "due"
    SENDING = "sending"
    DONE = "done"
    PARKED = "parked"


#: Callbacks that may be sent again.
RESENDABLE: Final = frozenset({CallbackState.DONE, CallbackState.PARKED})


def mermaid() -> str:
    """The state diagram of :data:`TRANSITIONS` in Mermaid's language, as ARCHITECTURE.md shows it."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for event, step in TRANSITIONS.items():
        sources: set[str] = set(step.sources)
        if step.sources >= IN_FLIGHT:
            sources = (sources - IN_FLIGHT) | {_IN_FLIGHT_BOX}
        for source in (*Status, _IN_FLIGHT_BOX):
            if source in sources:
                arrows.setdefault((source, step.target), []).append(event.value)
    lines = ["stateDiagram-v2", f"    state {_IN_FLIGHT_BOX} {{"]
    lines += [f"        {status}" for status in Status if status in IN_FLIGHT]
    lines += ["    }", "    [*] --> queued", "    [*] --> scheduled"]
    lines += [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()]
    lines += [f"    {status} --> [*]" for status in Status if status in FINALS]
    return "\n".join(lines)


#: What leads on from every status in flight is drawn once.
_IN_FLIGHT_BOX: Final = "in_flight"
