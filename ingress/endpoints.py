"""A provider's callback endpoints as it rules them by itself: made, changed, enabled, deleted, their secrets too."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress import bodies, members
from ingress.asking import ask
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared import callback
from shared.db.queries import audit_log, endpoints, own_endpoints
from shared.db.queries.own_endpoints import MOST_ENDPOINTS, EndpointExists, Terms, TooManyEndpoints
from shared.db.queries.providers import KeyOwner
from shared.http.addresses import check_callback_url
from shared.ids import is_id, new_id
from shared.lifecycle import EVENT_TYPES, Mode
from shared.times import rfc3339

PREFIX: Final = "/v1/endpoints"


def endpoint_routes(site: Site) -> Blueprint:
    """GET and POST /v1/endpoints; GET, PATCH and DELETE /v1/endpoints/{id}; POST …/enable and …/secret/rotate."""
    routes = Blueprint("endpoints", __name__)

    @routes.get(PREFIX)
    def mine() -> Response:
        owner = owner_of(site)
        rows = ask(site, lambda c: own_endpoints.listed(c, owner.provider_id))
        return json_answer(to_json({"data": [_resource(site, row) for row in rows]}))

    @routes.get(f"{PREFIX}/<id_>")
    def one(id_: str) -> Response:
        owner = owner_of(site)
        return _answer(site, ask(site, lambda c: found(c, owner, id_, deleted=True)))

    @routes.post(PREFIX)
    def create() -> Response:
        return _create(site, owner_of(site))

    @routes.patch(f"{PREFIX}/<id_>")
    def change(id_: str) -> Response:
        return _answer(site, _changed(site, owner_of(site), id_))

    @routes.delete(f"{PREFIX}/<id_>")
    def delete(id_: str) -> Response:
        owner = owner_of(site)
        return _answer(site, ask(site, lambda c: _deleted(c, owner, id_)))

    @routes.post(f"{PREFIX}/<id_>/enable")
    def enable(id_: str) -> Response:
        owner = owner_of(site)
        return _answer(site, ask(site, lambda c: _enabled(c, owner, id_)))

    @routes.post(f"{PREFIX}/<id_>/secret/rotate")
    def rotate(id_: str) -> Response:
        return _rotate(site, owner_of(site), id_)

    return routes


def owner_of(site: Site) -> KeyOwner:
    """Whose endpoints they are. Their secrets sign what is told of live messages: test keys have no part in them."""
    owner = site.providers.owner(request)
    if owner.mode is Mode.TEST:
        raise Problem("forbidden", "A test key cannot see or change endpoints.")
    return owner


def found(connection: Connection, owner: KeyOwner, id_: str, *, deleted: bool = False) -> Any:
    """The owner's endpoint, also a *deleted* one where its past is asked for; a Problem when there is none."""
    row = own_endpoints.find(connection, owner.provider_id, id_) if is_id("ep", id_) else None
    if row is None or (row.deleted_at is not None and not deleted):
        raise missing()
    return row


def missing() -> Problem:
    """There is none, or it is somebody else's."""
    return Problem("not_found", "No endpoint of yours has this id.")


def _create(site: Site, owner: KeyOwner) -> Response:
    terms = _terms(site, required=("url",))
    id_, secret = new_id("ep"), callback.new_secret(secrets.token_bytes(callback.SECRET_BYTES))
    sealed = site.services.sealer.seal(secret.encode(), row=id_)

    def create(connection: Connection) -> Any:
        if own_endpoints.create(connection, owner.provider_id, id_, terms, sealed):
            row = found(connection, owner, id_)
            audit_log.note(connection, owner.key_id, "endpoint.create", id_, after=_noted(row.url, row.event_types))
        return found(connection, owner, id_)

    try:
        row = ask(site, create)
    except TooManyEndpoints:
        raise Problem("too_many_endpoints", f"There may be {MOST_ENDPOINTS} at once: delete one before.") from None
    except EndpointExists:
        raise _exists() from None
    return json_answer(to_json({**_resource(site, row), "secret": secret}), 201)


def _changed(site: Site, owner: KeyOwner, id_: str) -> Any:
    ask(site, lambda c: found(c, owner, id_))  # whose it is comes before what is asked
    terms = _terms(site)
    if terms == Terms(None, None):
        raise invalid([MemberError("", "url or events is required")])

    def change(connection: Connection) -> Any:
        if (was := own_endpoints.change(connection, owner.provider_id, id_, terms)) is None:
            raise missing()
        before, after = _noted(was.old_url, was.old_event_types), _noted(was.url, was.event_types)
        if before != after:
            audit_log.note(connection, owner.key_id, "endpoint.change", id_, before=before, after=after)
        return found(connection, owner, id_)

    try:
        return ask(site, change)
    except EndpointExists:
        raise _exists() from None


def _deleted(connection: Connection, owner: KeyOwner, id_: str) -> Any:
    found(connection, owner, id_)
    if (was := own_endpoints.delete(connection, owner.provider_id, id_)) is None:
        raise missing()
    before, after = {"url": was.url, "disabled": was.was_disabled}, {"deleted": True}
    audit_log.note(connection, owner.key_id, "endpoint.delete", id_, before=before, after=after)
    return found(connection, owner, id_, deleted=True)


def _enabled(connection: Connection, owner: KeyOwner, id_: str) -> Any:
    was = found(connection, owner, id_)
    if endpoints.enable(connection, id_):
        before, after = {"disabled": True, "reason": was.disabled_reason}, {"disabled": False}
        audit_log.note(connection, owner.key_id, "endpoint.enable", id_, before=before, after=after)
    return found(connection, owner, id_)


def _rotate(site: Site, owner: KeyOwner, id_: str) -> Response:
    if not is_id("ep", id_):
        raise missing()
    secret = callback.new_secret(secrets.token_bytes(callback.SECRET_BYTES))
    sealed = site.services.sealer.seal(secret.encode(), row=id_)

    def change(connection: Connection) -> endpoints.Rotated | None:
        rotated = endpoints.rotate_secret(connection, id_, sealed, provider_id=owner.provider_id)
        if rotated is not None:
            audit_log.note(connection, owner.key_id, "endpoint.rotate_secret", id_, **rotated.states)
        return rotated

    rotated = ask(site, change)
    if rotated is None:
        raise missing()
    told = {"id": id_, "url": rotated.url, "secret": secret, "oldSecretUntil": _moment(rotated.old_secret_until)}
    return json_answer(to_json(told))


def _terms(site: Site, required: Sequence[str] = ()) -> Terms:
    def url(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a URL")  # noqa: TRY004  a reader's one way to refuse
        check_callback_url(value, site.settings.callback_networks)
        return value

    body = bodies.parse(bodies.read(request, bodies.CALL_LIMIT))
    said = members.of_body(body, {"url": url, "events": _events}, required)
    return Terms(said.get("url"), said.get("events"))


def _events(value: Any) -> list[str]:
    known = set(EVENT_TYPES)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one in known for one in value):
        raise ValueError(f"must be a list of some of {', '.join(EVENT_TYPES)}")
    return [name for name in EVENT_TYPES if name in value]


def _exists() -> Problem:
    return Problem("endpoint_exists", "url: another endpoint of yours has it.")


def _noted(url: str, event_types: Sequence[str]) -> dict[str, Any]:
    return {"url": url, "events": list(event_types)}


def _answer(site: Site, row: Any) -> Response:
    return json_answer(to_json(_resource(site, row)))


def _resource(site: Site, row: Any) -> dict[str, Any]:
    state = _state(row)
    disables_at = None
    if state == "failing":
        disables_at = row.failing_since + timedelta(seconds=site.settings.endpoint_failing_seconds)
    return {
        "id": row.endpoint_id,
        "url": row.url,
        "events": row.event_types,
        "createdAt": _moment(row.created_at),
        "state": state,
        "failingSince": _moment(row.failing_since),
        "noticedAt": _moment(row.warned_at),
        "disablesAt": _moment(disables_at),
        "disabledAt": _moment(row.disabled_at),
        "disabledReason": row.disabled_reason,
        "deletedAt": _moment(row.deleted_at),
        "oldSecretUntil": _moment(row.old_secret_until),
        "lastAttempt": _last_attempt(row),
        "undelivered": row.open,
        "oldestUndeliveredAt": _moment(row.oldest_at),
        "nextTryAt": _moment(row.next_at),
        "parked": row.parked,
    }


def _state(row: Any) -> str:
    if row.deleted_at is not None:
        return "deleted"
    if row.disabled_at is not None:
        return "disabled"
    return "healthy" if row.failing_since is None else "failing"


def _last_attempt(row: Any) -> dict[str, Any] | None:
    """What the last POST came to; of successes in a row the moment is known to about a minute."""
    failed_at, delivered_at = row.last_failure_at, row.last_success_at
    if failed_at is not None and (delivered_at is None or failed_at > delivered_at):
        return {"at": _moment(failed_at), "delivered": False, "error": row.last_failure}
    return None if delivered_at is None else {"at": _moment(delivered_at), "delivered": True, "error": None}


def _moment(at: Any) -> str | None:
    return None if at is None else rfc3339(at)
