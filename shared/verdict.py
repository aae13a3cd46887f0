"""
What an answer or a report of 8x8 means for one message: which event, which reason, when to look again.

Pure: the tables are in ``voice_api.codes`` and ``retry_policy``; SQL carries the result out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared import retry_policy, speech
from shared.lifecycle import Event, Move, Status
from shared.matching import Candidate, is_pretended
from shared.reasons import Reason
from shared.times import rfc3339
from shared.voice_api.codes import Disposition, ErrorRule, Scope, Verdict, error_rule
from shared.voice_api.codes import Reason as UpstreamReason
from shared.voice_api.events import CallAction, Leg, SessionSummary


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds: what the settings say."""

    ring_s: float  # the longest ringing
    answer_s: float  # what it usually takes to be answered
    grace_s: float  # after a call's latest possible end, until its summary is given up
    breaker_s: float  # an account-wide refusal's first pause


def verdict_due(valid_until: datetime, speaking_s: float, timing: Timing) -> datetime:
    """When a call's summary is overdue: it may start to dial until *valid_until*, then ring, then speak."""
    return valid_until + timedelta(seconds=timing.ring_s + speaking_s + timing.grace_s)


@dataclass(frozen=True, slots=True)
class Dialed:
    """The attempt that an answer of 8x8 belongs to."""

    message_id: str
    attempt_id: str
    number: int
    valid_until: datetime
    speaking_s: float
    deadline: datetime
    may_redial: bool  # its sender asked for a redial rather than a doubt, and attempts are left


_EVENT_OF: Final = {
    Disposition.CREATED: Event.CALL_PLACED,
    Disposition.REFUSED: Event.DIAL_REFUSED,
    Disposition.EXPIRED: Event.DIAL_EXPIRED,
    Disposition.SUPPRESSED: Event.SESSION_BLOCKED,  # as if 8x8 had: there is just no session to tell of
    Disposition.RETRY: Event.DIAL_POSTPONED,
    Disposition.NOT_SENT: Event.DIAL_POSTPONED,
    Disposition.BLOCKED_ACCOUNT: Event.DIAL_POSTPONED,
    Disposition.BLOCKED_SOURCE: Event.DIAL_POSTPONED,
    Disposition.UNKNOWN: Event.DIAL_DOUBTFUL,
}

_ACCOUNT_WIDE: Final = (Disposition.BLOCKED_ACCOUNT, Disposition.BLOCKED_SOURCE)


def after_breaker(attempts: int, timing: Timing, *, now: datetime) -> datetime:
    """
    When a message that met an account-wide refusal may be tried again: later than the breaker's own probe.

    Another message probes meanwhile, so that one whose number alone is refused cannot hold all others back.
    """
    return now + timedelta(seconds=timing.breaker_s * 2 ** min(attempts - 1, 5) + 1)


def after_dial(dialed: Dialed, answer: Verdict, timing: Timing, *, now: datetime, luck: float) -> Move:
    """What the answer to a callflow makes of its message."""
    event = _EVENT_OF[answer.disposition]
    due_at = None
    if event is Event.CALL_PLACED:
        due_at = verdict_due(dialed.valid_until, dialed.speaking_s, timing)
    elif event is Event.DIAL_DOUBTFUL:
        due_at = doubt_due(dialed, timing)
    elif answer.disposition in _ACCOUNT_WIDE:
        due_at = after_breaker(dialed.number, timing, now=now)
    elif event is Event.DIAL_POSTPONED:
        due_at = retry_policy.next_dial_at(dialed.number, now=now, luck=luck, retry_after_s=answer.retry_after_s)
    return Move(
        message_id=dialed.message_id,
        event=event,
        attempt_id=dialed.attempt_id,
        reason=answer.reason,
        session_id=answer.session_id,
        due_at=due_at,
    )


def doubt_due(dialed: Dialed, timing: Timing) -> datetime:
    """
    When a doubtful call is given up: its summary is overdue then.

    A redial that was asked for waits for 8x8's log to show that there was no call, as long as the deadline allows.
    """
    due_at = verdict_due(dialed.valid_until, dialed.speaking_s, timing)
    return max(due_at, dialed.deadline) if dialed.may_redial else due_at


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an event tells of one attempt; members that are None leave what is known as it is."""

    attempt_id: str
    session_id: str | None
    answered_at: datetime | None = None
    key_pressed: str | None = None
    session_status: str | None = None  # given by a summary only, and then the attempt is settled
    session_status_raw: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    last_action: str | None = None
    session_started_at: datetime | None = None
    session_ended_at: datetime | None = None
    duration_seconds: int | None = None
    heard: str | None = None
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one event changes: a message, an attempt, and perhaps a caller id to pause."""

    result: str
    move: Move | None = None
    settlement: Settlement | None = None
    pause_source: str | None = None
    proven_source: str | None = None  # its phone rang: whatever paused this caller id is over
    refused_attempt: str | None = None  # 8x8 had no line for it: too many calls at once


def after_action(action: CallAction, attempt: Candidate, timing: Timing) -> Finding:
    """A VCA event: the phone was answered, and perhaps a key was pressed."""
    answered_at = attempt.answered_at or action.at or attempt.now
    facts: dict[str, Any] = {"answeredAt": rfc3339(answered_at), "keyPressed": action.dtmf}
    move = Move(
        message_id=attempt.message_id,
        event=Event.CALL_ANSWERED,
        attempt_id=attempt.attempt_id,
        session_id=action.session_id,
        due_in_s=attempt.plays * attempt.seconds_per_play + timing.ring_s + timing.grace_s,
        facts=facts,
    )
    settlement = Settlement(attempt.attempt_id, action.session_id, answered_at=answered_at, key_pressed=action.dtmf)
    return Finding("applied", None if attempt.is_settled else move, settlement)


@dataclass(frozen=True, slots=True)
class _Ending:
    event: Event
    reason: str | None = None


_ENDINGS: Final = {
    "COMPLETED": _Ending(Event.SESSION_COMPLETED),
    "COMPLETED_UNSUBSCRIBED": _Ending(Event.SESSION_COMPLETED),
    "COMPLETED_UNSUB_ERROR": _Ending(Event.SESSION_COMPLETED),
    "NO_ANSWER": _Ending(Event.SESSION_NOT_ANSWERED, Reason.NO_ANSWER),
    "BUSY": _Ending(Event.SESSION_BUSY, Reason.BUSY),
    "CANCELED": _Ending(Event.SESSION_CANCELED, Reason.CALL_CANCELED),
    "FAILED": _Ending(Event.SESSION_FAILED, Reason.NOT_REACHED),
    "UNSUBSCRIBED_CONTACT": _Ending(Event.SESSION_BLOCKED, Reason.OPTED_OUT),
}

#: Endings after which the policy of the message's type may dial again.
_REDIALLED: Final = (Event.SESSION_NOT_ANSWERED, Event.SESSION_BUSY)


def after_summary(summary: SessionSummary, attempt: Candidate, timing: Timing, *, luck: float) -> Finding:
    """A VSS event: how the call ended, and so how the message does, unless it is dialled once more."""
    if attempt.is_settled:
        return Finding("duplicate")
    ending = _ending(summary, attempt)
    settlement = _settlement(summary, attempt)
    rule = error_rule(summary.error_code)
    dialled = summary.session_status != "ERROR" or summary.connected_at is not None or is_pretended(attempt)
    proven = attempt.source if dialled and not is_pretended(attempt) else None
    pause = attempt.source if not dialled and rule.scope is Scope.SOURCE else None
    refused = attempt.attempt_id if not dialled and rule.over_capacity else None
    if not attempt.is_current and ending.event is not Event.SESSION_COMPLETED:
        # An earlier, doubtful attempt: only having been heard after all changes the message.
        return Finding("applied", None, settlement, pause, proven, refused)
    redial_at = _redial_at(summary, attempt, ending, rule, timing, luck)
    move = Move(
        message_id=attempt.message_id,
        event=ending.event if redial_at is None else Event.SESSION_TO_REDIAL,
        attempt_id=None if ending.event is Event.SESSION_COMPLETED else attempt.attempt_id,
        reason=ending.reason,
        session_id=summary.session_id,
        due_at=redial_at,
        facts=_facts(summary, attempt, settlement),
    )
    return Finding("applied", move, settlement, pause, proven, refused)


def _ending(summary: SessionSummary, attempt: Candidate) -> _Ending:
    known = _ENDINGS.get(summary.session_status)
    if known is not None:
        return known
    if summary.connected_at is not None:
        told = (summary.duration_s or 0) >= attempt.seconds_per_play
        return _Ending(Event.SESSION_COMPLETED) if told else _Ending(Event.SESSION_FAILED, Reason.NOT_HEARD)
    if summary.session_status != "ERROR":
        return _Ending(Event.SESSION_FAILED, Reason.STATUS_UNKNOWN)
    reason = error_rule(summary.error_code).reason
    expired = reason is UpstreamReason.EXPIRED_UPSTREAM
    return _Ending(Event.SESSION_EXPIRED if expired else Event.SESSION_FAILED, reason)


def _redial_at(
    summary: SessionSummary, attempt: Candidate, ending: _Ending, rule: ErrorRule, timing: Timing, luck: float
) -> datetime | None:
    """When to dial again; None for never. A phone that was connected is never dialled again."""
    if attempt.status is Status.UNDETERMINED or summary.connected_at is not None:
        return None
    if ending.event in _REDIALLED:
        return retry_policy.next_redial_at(
            replace(retry_policy.REDIAL[attempt.lane], max_attempts=attempt.max_attempts),
            attempt.accepted_attempts,
            now=attempt.now,
            deadline=attempt.deadline,
            call_s=timing.answer_s + attempt.seconds_per_play,
            luck=luck,
        )
    return _error_redial_at(attempt, rule, timing, luck) if summary.session_status == "ERROR" else None


def _error_redial_at(attempt: Candidate, rule: ErrorRule, timing: Timing, luck: float) -> datetime | None:
    """After a fault of 8x8's own, or of our account: no phone rang, so dialling again disturbs nobody."""
    if rule.scope is Scope.SOURCE:
        return after_breaker(attempt.accepted_attempts, timing, now=attempt.now)
    allowed = attempt.max_attempts + attempt.spare_attempts
    if not rule.redial or attempt.accepted_attempts >= (min(allowed, 2) if rule.redial_once else allowed):
        return None
    retry_at = retry_policy.next_capacity_retry_at(attempt.accepted_attempts, now=attempt.now, luck=luck)
    return retry_at if retry_at < attempt.deadline else None


def _settlement(summary: SessionSummary, attempt: Candidate) -> Settlement:
    answered = summary.connected_at is not None
    heard = speech.heard(summary.duration_s, attempt.seconds_per_play, attempt.plays, answered=answered)
    if not answered and summary.session_status.startswith("COMPLETED"):
        heard = speech.heard(summary.duration_s or None, attempt.seconds_per_play, attempt.plays, answered=True)
    return Settlement(
        attempt_id=attempt.attempt_id,
        session_id=summary.session_id,
        answered_at=summary.connected_at,
        session_status=summary.session_status,
        session_status_raw=summary.raw_status,
        error_code=summary.error_code,
        error_message=summary.error_message,
        last_action=summary.last_action,
        session_started_at=summary.started_at,
        session_ended_at=summary.ended_at,
        duration_seconds=summary.duration_s,
        heard=heard,
        legs=summary.legs,
    )


def _facts(summary: SessionSummary, attempt: Candidate, settlement: Settlement) -> dict[str, Any]:
    answered_at = summary.connected_at or attempt.answered_at
    mos = next((leg.mos for leg in summary.legs if leg.mos is not None), None)
    return {
        "answeredAt": answered_at and rfc3339(answered_at),
        "endedAt": summary.ended_at and rfc3339(summary.ended_at),
        "durationSeconds": summary.duration_s,
        "heard": settlement.heard,
        "keyPressed": attempt.key_pressed,
        "quality": None if mos is None else {"mos": mos},
    }
