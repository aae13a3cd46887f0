"""What a provider sees of its callback endpoints, and how it changes their secrets by itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress.lean import json_answer
from ingress.problems import Problem
from ingress.site import Site
from shared import callback
from shared.db.database import DatabaseAway
from shared.db.queries import audit_log, endpoints
from shared.db.queries.endpoints import Rotated
from shared.db.queries.providers import KeyOwner
from shared.ids import is_id
from shared.lifecycle import Mode
from shared.times import rfc3339

T = TypeVar("T")


def endpoint_routes(site: Site) -> Blueprint:
    """GET /v1/endpoints, POST /v1/endpoints/{id}/secret/rotate."""
    routes = Blueprint("endpoints", __name__)

    @routes.get("/v1/endpoints")
    def mine() -> Response:
        owner = _owner(site)
        rows = _run(site, lambda c: endpoints.listed(c, owner.provider_id))
        return json_answer(to_json({"data": [_resource(row) for row in rows]}))

    @routes.post("/v1/endpoints/<id_>/secret/rotate")
    def rotate(id_: str) -> Response:
        owner = _owner(site)
        if not is_id("ep", id_):
            raise _missing()
        secret = callback.new_secret(secrets.token_bytes(callback.SECRET_BYTES))
        sealed = site.services.sealer.seal(secret.encode(), row=id_)

        def change(connection: Connection) -> Rotated | None:
            rotated = endpoints.rotate_secret(connection, id_, sealed, provider_id=owner.provider_id)
            if rotated is not None:
                audit_log.note(connection, owner.key_id, "endpoint.rotate_secret", id_, **rotated.states)
            return rotated

        rotated = _run(site, change)
        if rotated is None:
            raise _missing()
        told = {"id": id_, "url": rotated.url, "secret": secret, "oldSecretUntil": _moment(rotated.old_secret_until)}
        return json_answer(to_json(told))

    return routes


def _owner(site: Site) -> KeyOwner:
    """Whose endpoints they are. Their secrets sign what is told of live messages: test keys have no part in them."""
    owner = site.providers.owner(request)
    if owner.mode is Mode.TEST:
        raise Problem("forbidden", "A test key cannot see or change endpoints.")
    return owner


def _resource(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["endpoint_id"],
        "url": row["url"],
        "events": row["event_types"],
        "createdAt": _moment(row["created_at"]),
        "failingSince": _moment(row["failing_since"]),
        "disabledAt": _moment(row["disabled_at"]),
        "disabledReason": row["disabled_reason"],
        "oldSecretUntil": _moment(row["old_secret_until"]),
    }


def _moment(at: Any) -> str | None:
    return None if at is None else rfc3339(at)


def _run(site: Site, work: Callable[[Connection], T]) -> T:
    try:
        return site.services.database.run(work, patience_s=0.5)
    except DatabaseAway:
        raise Problem("unavailable", "The database does not answer.", retry_after_s=1) from None


def _missing() -> Problem:
    return Problem("not_found", "No endpoint of yours has this id.")
