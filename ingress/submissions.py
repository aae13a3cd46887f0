"""Step 1 of 5: what becomes of submitted calls. Parse, store, and what is told of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pydantic_core import to_json

from ingress import admission, bodies, placements
from ingress.problems import MOST_ERRORS, MemberError, Problem, invalid, unknown_member
from ingress.site import Site
from ingress.traces import acceptance, marked
from shared import phone
from shared.db.database import DatabaseAway
from shared.db.group_commit import Overloaded
from shared.db.queries import accept, providers
from shared.db.queries.accept import Accepted, NewMessage
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import DOUBTFUL, IN_FLIGHT, WAITING, Lane, Mode, Status
from shared.reasons import Reason
from shared.strand import aside
from shared.times import rfc3339

MAX_BATCH: Final = 1000
#: Stands in a batch for a call that is larger than it could be alone.
_TOO_LARGE: Final = object()
#: Longest wait for the commit, in seconds; then the answer is 503 and the sender asks again.
_COMMIT_S: Final = 5
#: However long the backlog: when to ask again at the latest, in seconds.
_LATEST_RETRY_S: Final = 3600
_PENDING: Final = WAITING | IN_FLIGHT | DOUBTFUL


def calls_of(body: Any) -> list[Any]:
    """
    The calls of a batch.

    Raises:
        Problem: 422 where it is no batch.
    """
    unknown = [name for name in body if name != "calls"] if isinstance(body, dict) else []
    if unknown:
        shown = unknown[:MOST_ERRORS]
        raise invalid([MemberError(name, unknown_member(name, ["calls"], of="request")) for name in shown])
    calls = body.get("calls") if isinstance(body, dict) else None
    if not isinstance(calls, list) or not 1 <= len(calls) <= MAX_BATCH:
        raise invalid([MemberError("calls", f"must be an array of 1 to {MAX_BATCH} make-call bodies")])
    return calls


def bounded(calls: Sequence[Any]) -> list[Any]:
    """The same calls, but for those that are larger than one could be alone: they will be refused."""
    return [_TOO_LARGE if len(to_json(call)) > bodies.CALL_LIMIT else call for call in calls]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A sound request that may not be granted now; if it was granted before, that answer stands."""

    message_id: str
    fingerprint: bytes
    problem: Problem


def take(site: Site, owner: KeyOwner, calls: Sequence[Any]) -> list[Accepted | Problem]:
    """
    Store what may be stored. One outcome a call, in order: a bad one never spoils the others.

    Raises:
        Problem: 503, where PostgreSQL is away: nothing was stored that is not stored by asking again.
    """
    wanted = [_row(site, owner, call) for call in calls]
    accepting = None if site.services.tracer is None else acceptance()
    if accepting is not None:
        wanted = marked(wanted, accepting.begin(owner))
    stored = iter(_stored(site, [one for one in wanted if isinstance(one, NewMessage)]))
    earlier = _earlier(site, owner, [one.message_id for one in wanted if isinstance(one, _Refusal)])
    outcomes: list[Accepted | Problem] = []
    for one in wanted:
        if isinstance(one, Problem):
            outcomes.append(one)
        elif isinstance(one, NewMessage):
            accepted = next(stored)
            outcomes.append(accepted if accepted.fingerprint == one.fingerprint else _reused())
        else:
            known = earlier.get(one.message_id)
            outcomes.append(known if known and known.fingerprint == one.fingerprint else one.problem)
    if accepting is not None:
        accepting.tell(wanted, outcomes)
    return outcomes


def result(site: Site, call: Any, outcome: Accepted | Problem) -> dict[str, Any]:
    """What a batch tells of one call."""
    if isinstance(outcome, Accepted):
        return told(site, outcome, None)
    message_id = call.get("messageId") if isinstance(call, dict) else None
    return {"messageId": message_id if isinstance(message_id, str) else None, "error": outcome.body()}


def _row(site: Site, owner: KeyOwner, body: Any) -> NewMessage | _Refusal | Problem:
    if body is _TOO_LARGE:
        return Problem("body_too_large", f"One call may have at most {bodies.CALL_LIMIT} bytes.")
    try:
        call = site.intake.read(body)
    except Problem as problem:
        return problem
    fingerprint = site.intake.fingerprint(body, owner.mode)
    try:
        call, owner = site.templates.fill(call, owner), _aware(site, owner, call.callbackUrl)
        row = site.intake.row(call, fingerprint, owner, site.voices.value)
        site.guards.guard.admit(row, phone.read(call.customerPhone), owner, site.forecast.now())
    except Problem as problem:
        return _Refusal(call.messageId, fingerprint, problem)
    try:
        _check_deadline(site, row)
    except Problem as problem:
        site.guards.guard.withdraw([row])
        return _Refusal(call.messageId, fingerprint, problem)
    return row


def _aware(site: Site, owner: KeyOwner, callback_url: str | None) -> KeyOwner:
    """The owner, and where this process has not heard of an endpoint yet, with those that there are now."""
    if callback_url is None or callback_url in owner.endpoints:
        return owner
    read = partial(providers.endpoints_of, provider_id=owner.provider_id)
    try:
        found = aside(lambda: site.services.database.run(read, alone=True, patience_s=0.5))
    except DatabaseAway:
        raise _away() from None
    return replace(owner, endpoints=found)


def _check_deadline(site: Site, row: NewMessage) -> None:
    if row.test_type is not None:
        return  # it waits for nobody, and nobody for it
    now = site.forecast.now()
    begins = max(now, row.scheduled_at.timestamp() if row.scheduled_at else now)
    deadline = row.expires_at.timestamp() if row.expires_at else begins + (row.ttl_s or 0)
    asked = admission.Asked(row.lane, row.provider_id, begins, deadline, row.source)
    found = site.forecast.estimate(asked)
    if found.will_meet_deadline is False:
        raise Problem(
            "deadline_unreachable",
            "More calls wait than can be placed before this one's deadline. Nothing was stored.",
            retry_after_s=min(_LATEST_RETRY_S, max(1, math.ceil(found.not_before - deadline))),
        )
    site.forecast.promise(row.id, asked, found)


def _estimate(site: Site, accepted: Accepted) -> admission.Estimate:
    """What was found when the message was let in; for one that waits already, what holds now."""
    if promised := site.forecast.promised(accepted.id):
        return promised
    if accepted.reason == Reason.DIALING_STOPPED:
        return admission.UNTOLD
    begins = accepted.due_at.timestamp() if accepted.due_at else 0.0
    if accepted.lane == Lane.TEST:
        return admission.Estimate(begins, begins < accepted.deadline.timestamp(), begins)
    asked = admission.Asked(accepted.lane, accepted.provider_id, begins, accepted.deadline.timestamp())
    return site.forecast.estimate(asked)


def _stored(site: Site, rows: Sequence[NewMessage]) -> list[Accepted]:
    if not rows:
        return []
    try:
        stored = site.messages.put(rows, _COMMIT_S)
    except Overloaded:
        site.guards.guard.withdraw(rows)
        raise Problem("overloaded", "Too many requests wait. Nothing was stored.", retry_after_s=1) from None
    except DatabaseAway:
        site.guards.guard.withdraw(rows)
        raise _away() from None
    site.guards.guard.stored(zip(rows, stored, strict=True))
    return stored


def _earlier(site: Site, owner: KeyOwner, message_ids: Sequence[str]) -> dict[str, Accepted]:
    if not message_ids:
        return {}
    try:
        return aside(
            lambda: site.services.database.run(
                lambda c: accept.earlier(c, owner.provider_id, message_ids), alone=True, patience_s=0.5
            )
        )
    except DatabaseAway:
        raise _away() from None


def _away() -> Problem:
    text = "The database did not answer in time. Send the same request again."
    return Problem("unavailable", text, retry_after_s=1)


def _reused() -> Problem:
    return Problem("message_id_reused", "messageId: was used for a request with another body.")


def told(site: Site, accepted: Accepted, answer: placements.Answer | None) -> dict[str, Any]:
    """A stored message as its sender is told of it; *answer* is 8x8's, where the sender waited for it."""
    status, reason, session_id = answer or (accepted.status, accepted.reason, accepted.session_id)
    estimate = _estimate(site, accepted) if status in WAITING else None
    return {
        "id": accepted.id,
        "messageId": accepted.message_id,
        "status": status,
        "reason": reason,
        "sessionId": session_id,
        "sessionStatus": session_status(status, session_id),
        "expiresAt": rfc3339(accepted.deadline),
        "estimatedDialAt": _moment(estimate.dial_at if estimate else None),
        "willMeetDeadline": estimate.will_meet_deadline if estimate else None,
        "warnings": accepted.warnings,
        "links": {"self": f"/v1/messages/{accepted.id}"},
        **({"mode": Mode.TEST} if accepted.lane == Lane.TEST else {}),
    }


def _moment(seconds: float | None) -> str | None:
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def session_status(status: Status, session_id: str | None) -> str:
    """8x8's word for the call session, as the demo's clients read it."""
    if session_id is not None:
        return "CREATED"
    return "PENDING" if status in _PENDING else "NOT_CREATED"
