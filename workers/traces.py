"""
The spans of steps 2, 4 and 5: ``dial``, ``report``, ``callback``. What is not traced is passed on as it is.

Each is a child of the request that its message came with, as the row tells, so one trace holds a message's whole life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from shared.db.queries.callbacks import ClaimedCallback, Delivery
from shared.db.queries.claimed import ClaimedCall
from shared.lifecycle import TRANSITIONS
from shared.voice_api.codes import Disposition, Verdict
from shared.voice_api.events import SessionSummary
from workers.kept_events import Found

if TYPE_CHECKING:
    from shared.spans import Tracer, Value

Known = ParamSpec("Known")
Answer = TypeVar("Answer")
Deliver = Callable[[ClaimedCallback, str | None], Delivery]

#: Not failures: 8x8 took the call, or nobody was to be called.
_AS_WANTED: Final = frozenset({Disposition.CREATED, Disposition.SUPPRESSED})
#: From here on a code may be a phone number that was put in its place.
_LONGEST_CODE: Final = 10**6


def dialing(
    tracer: Tracer | None,
    dial: Callable[Concatenate[ClaimedCall, Known], Answer],
    verdict_of: Callable[[Answer], Verdict | None],
) -> Callable[Concatenate[ClaimedCall, Known], Answer]:
    """
    *dial*, each attempt with a span.

    Args:
        tracer: None: the same *dial*.
        dial: Makes the call of the attempt.
        verdict_of: What 8x8 answered; None where it was not asked.
    """
    if tracer is None:
        return dial

    def traced(call: ClaimedCall, /, *args: Known.args, **more: Known.kwargs) -> Answer:
        if call.traceparent is None:
            return dial(call, *args, **more)
        span = tracer.begin("dial", "client", call.traceparent)
        answer = dial(call, *args, **more)
        if (verdict := verdict_of(answer)) is not None:
            failed = None if verdict.disposition in _AS_WANTED else str(verdict.reason or verdict.disposition)
            span.end(_of_dial(call, verdict), failed)
        return answer

    return traced


def calling_back(tracer: Tracer | None, deliver: Deliver) -> Deliver:
    """*deliver*, each POST with a span that its receiver is told of."""
    if tracer is None:
        return deliver

    def traced(claimed: ClaimedCallback, traceparent: str | None) -> Delivery:
        if claimed.traceparent is None:
            return deliver(claimed, traceparent)
        span = tracer.begin("callback", "client", claimed.traceparent)
        delivery = deliver(claimed, span.traceparent)
        span.end(_of_callback(claimed, delivery), delivery.error)
        return delivery

    return traced


def reported(tracer: Tracer, found: Sequence[Found], lost: frozenset[str], *, ago_s: float) -> None:
    """
    A span for each webhook that was applied, from its arrival until now.

    Args:
        tracer: Of the process.
        found: What the webhooks came to.
        lost: Attempts whose webhooks are still to be applied.
        ago_s: When the webhooks were claimed, in seconds.
    """
    for one in found:
        attempt = one.attempt
        if attempt is not None and attempt.traceparent is not None and attempt.attempt_id not in lost:
            span = tracer.begin("report", "consumer", attempt.traceparent, ago_s=one.kept.row.age_s + ago_s)
            span.end(_of_report(one))


def _of_dial(call: ClaimedCall, answer: Verdict) -> dict[str, Value | None]:
    return {
        "ringpost.message_id": call.message_id,
        "ringpost.attempt_id": call.attempt_id,
        "ringpost.attempt": call.number,
        "ringpost.provider_id": call.provider_id,
        "ringpost.session_id": answer.session_id,
        "ringpost.lane": call.lane,
        "ringpost.country": call.country,
        "ringpost.disposition": answer.disposition,
        "ringpost.reason": answer.reason,
        "ringpost.voice_api.code": _code(answer.status_code),
    }


def _of_report(one: Found) -> dict[str, Value | None]:
    attempt, event, move = one.attempt, one.kept.event, one.finding.move
    assert attempt is not None
    return {
        "ringpost.message_id": attempt.message_id,
        "ringpost.attempt_id": attempt.attempt_id,
        "ringpost.session_id": attempt.session_id or one.kept.session_id,
        "ringpost.inbox_id": one.kept.row.inbox_id,
        "ringpost.lane": attempt.lane,
        "ringpost.webhook": "VSS" if isinstance(event, SessionSummary) else "VCA",
        "ringpost.result": one.finding.result,
        "ringpost.status": attempt.status if move is None else TRANSITIONS[move.event].target,
        "ringpost.reason": None if move is None else move.reason,
        "ringpost.voice_api.code": _code(event.error_code) if isinstance(event, SessionSummary) else None,
    }


def _of_callback(claimed: ClaimedCallback, delivery: Delivery) -> dict[str, Value | None]:
    return {
        "ringpost.message_id": claimed.id,
        "ringpost.callback_id": claimed.callback_id,
        "ringpost.event_id": claimed.event_id,
        "ringpost.endpoint_id": claimed.endpoint_id,
        "ringpost.attempt": claimed.attempts,
        "ringpost.session_id": claimed.facts.get("sessionId"),
        "ringpost.lane": claimed.lane,
        "ringpost.to": claimed.destination_masked,
        "ringpost.status": claimed.status,
        "ringpost.reason": claimed.reason,
        "ringpost.callback_state": delivery.state,
        "http.request.method": "POST",
        "http.response.status_code": delivery.http_status,
    }


def _code(told: int | None) -> int | None:
    """A code of 8x8's, if it can be one."""
    return told if told is not None and abs(told) < _LONGEST_CODE else None
