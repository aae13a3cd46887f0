"""What was sent to a provider's endpoints, and sending it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress import bodies, members
from ingress.asking import ask
from ingress.cursors import Cursors
from ingress.endpoints import PREFIX, found, owner_of
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from ingress.trials import Trials
from shared import jobs
from shared.db.queries import audit_log, deliveries
from shared.db.queries.deliveries import MOST_RECOVERED, Span
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import CallbackState
from shared.times import rfc3339

_LIMIT: Final = 50
_CALLBACK_ID: Final = re.compile(r"cb_[0-9A-Za-z_]{1,64}")
#: Cursors have a moment; here it says nothing.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def delivery_routes(site: Site) -> Blueprint:
    """GET /v1/endpoints/{id}/deliveries, POST …/recover and …/test, POST /v1/deliveries/{id}/resend."""
    routes = Blueprint("deliveries", __name__)
    cursors, trials = Cursors(site.services.sealer), Trials(site.services)

    @routes.get(f"{PREFIX}/<id_>/deliveries")
    def page(id_: str) -> Response:
        return _page(site, cursors, owner_of(site), id_)

    @routes.post(f"{PREFIX}/<id_>/recover")
    def recover(id_: str) -> Response:
        return _recover(site, owner_of(site), id_)

    @routes.post(f"{PREFIX}/<id_>/test")
    def test(id_: str) -> Response:
        owner = owner_of(site)
        ask(site, lambda c: found(c, owner, id_))
        return json_answer(to_json(trials.send(owner.provider_id, id_)))

    @routes.post("/v1/deliveries/<id_>/resend")
    def resend(id_: str) -> Response:
        owner = owner_of(site)
        told = ask(site, lambda c: _resent(c, owner, id_))
        site.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        return json_answer(to_json(told))

    return routes


def _page(site: Site, cursors: Cursors, owner: KeyOwner, id_: str) -> Response:
    ask(site, lambda c: found(c, owner, id_, deleted=True))
    sealed_for = f"{owner.provider_id} deliveries"

    def place(value: str) -> str:
        if (known := cursors.read(sealed_for, value)) is None:
            raise ValueError("must be the next of an earlier page of yours, exactly as it was given")
        return known[1]

    readers = {"state": _state, "limit": members.limit, "after": place}
    asked = members.of_query(dict(request.args.lists()), readers)
    read = partial(
        deliveries.page,
        provider_id=owner.provider_id,
        endpoint_id=id_,
        state=asked.get("state"),
        after=asked.get("after"),
        limit=asked.get("limit", _LIMIT),
    )
    try:
        page = ask(site, read)
    except ValueError:
        raise invalid([MemberError("after", "must be the next of a page of the same state")]) from None
    after = None if page.after is None else cursors.write(sealed_for, (_EPOCH, page.after))
    data = [_resource(row, page.attempts) for row in page.rows]
    return json_answer(to_json({"data": data, "next": after, "hasMore": after is not None}))


def _state(value: str) -> CallbackState:
    if value not in {*CallbackState}:
        raise ValueError(f"must be one of {', '.join(CallbackState)}")
    return CallbackState(value)


def _recover(site: Site, owner: KeyOwner, id_: str) -> Response:
    row = ask(site, lambda c: found(c, owner, id_))
    body = bodies.parse(bodies.read(request, bodies.CALL_LIMIT))
    readers = {"since": members.moment, "until": members.moment, "dryRun": members.flag}
    asked = members.of_body(body, readers, required=("since",))
    span = Span(id_, asked["since"], asked.get("until"))
    if span.until is not None and span.since >= span.until:
        raise invalid([MemberError("since", "must be before until")])
    is_dry = asked.get("dryRun", False)
    if is_dry:
        count = ask(site, lambda c: deliveries.recoverable(c, span))
    elif row.disabled_at is not None:
        raise _disabled()
    else:
        count = ask(site, lambda c: _recovered(c, owner, span))
        site.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
    return json_answer(to_json({"count": count, "hasMore": count == MOST_RECOVERED, "dryRun": is_dry}))


def _recovered(connection: Connection, owner: KeyOwner, span: Span) -> int:
    count = deliveries.recover(connection, span)
    if count:
        after = {"since": span.since, "until": span.until, "count": count}
        audit_log.note(
            connection, owner.key_id, "callback.recover", span.endpoint_id, before={"parked": count}, after=after
        )
    return count


def _resent(connection: Connection, owner: KeyOwner, id_: str) -> dict[str, Any]:
    was = deliveries.find(connection, owner.provider_id, id_) if _CALLBACK_ID.fullmatch(id_) else None
    if was is None:
        raise Problem("not_found", "No callback of yours has this id.")
    if was.is_disabled:
        raise _disabled()
    deliveries.resend(connection, id_)
    row = deliveries.find(connection, owner.provider_id, id_) or was
    audit_log.note(
        connection, owner.key_id, "callback.resend", id_, before={"state": was.state}, after={"state": row.state}
    )
    return _resource(row, deliveries.attempts(connection, [id_]))


def _disabled() -> Problem:
    return Problem("endpoint_disabled", "Nothing is sent to this endpoint: enable it first.")


def _resource(row: Any, attempts: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": row.callback_id,
        "endpointId": row.endpoint_id,
        "eventId": row.event_id,
        "sequence": row.sequence,
        "type": row.type,
        "occurredAt": rfc3339(row.occurred_at),
        "message": {"id": row.id, "messageId": row.message_id},
        "state": row.state,
        "attempts": row.attempts,
        "nextAt": row.due_at and rfc3339(row.due_at),
        "finishedAt": row.finished_at and rfc3339(row.finished_at),
        "deliveries": [_attempt(one) for one in attempts if one.callback_id == row.callback_id],
    }


def _attempt(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": rfc3339(row.started_at),
        "elapsedMs": row.elapsed_ms,
        "httpStatus": row.http_status,
        "error": row.error,
        "reply": row.reply,
    }
