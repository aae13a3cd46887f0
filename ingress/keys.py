"""A provider's own keys: what it has, a new one, an end to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping

from ingress import bodies
from ingress.asking import ask
from ingress.lean import json_answer
from ingress.problems import LONGEST_NAME, MOST_ERRORS, MemberError, Problem, invalid, unknown_member
from ingress.site import Site
from shared.db.queries import keys
from shared.db.queries.keys import AlreadyOver, Terms, TooManyKeys
from shared.db.queries.providers import KeyOwner
from shared.ids import is_id
from shared.keys import check_name, make
from shared.lifecycle import Mode
from shared.times import parse_time, rfc3339

_MEMBERS: Final = ("mode", "name", "expiresAt")


def key_routes(site: Site) -> Blueprint:
    """GET and POST /v1/keys, DELETE /v1/keys/{id} and POST /v1/keys/{id}/revoke."""
    routes = Blueprint("keys", __name__)

    @routes.get("/v1/keys")
    def list_keys() -> Response:
        owner = site.providers.owner(request)
        rows = ask(site, lambda c: keys.listed(c, owner.provider_id, _seen_by(owner)))
        return json_answer(to_json({"data": [_shown(row, owner) for row in rows]}))

    @routes.post("/v1/keys")
    def create_key() -> Response:
        owner = site.providers.owner(request)
        terms = _terms(owner, bodies.parse(bodies.read(request, bodies.CALL_LIMIT)))
        made = make(terms.mode)
        try:
            row = ask(site, lambda c: keys.create(c, made, terms, actor=_actor(owner)))
        except TooManyKeys as error:
            raise Problem("too_many_keys", f"mode: {error}.") from None
        except AlreadyOver:
            raise invalid([MemberError("expiresAt", "must lie in the future")]) from None
        return json_answer(to_json({**_shown(row, owner), "secret": made.secret}), 201)

    @routes.delete("/v1/keys/<key_id>")
    @routes.post("/v1/keys/<key_id>/revoke")
    def revoke_key(key_id: str) -> Response:
        owner = site.providers.owner(request)
        if key_id == owner.key_id:
            raise Problem("key_in_use", "A key cannot revoke itself: make another one, and revoke this one with it.")
        return json_answer(to_json(_shown(ask(site, lambda c: _revoked(c, owner, key_id)), owner)))

    return routes


def _revoked(connection: Connection, owner: KeyOwner, key_id: str) -> RowMapping:
    """The key, revoked now or before."""
    row = keys.find(connection, key_id) if is_id("key", key_id) else None
    if row is None or row["provider_id"] != owner.provider_id or _seen_by(owner) not in (None, row["mode"]):
        raise Problem("not_found", "No key of yours has this id.")
    keys.revoke(connection, key_id, actor=_actor(owner))
    return keys.find(connection, key_id) or row


def _terms(owner: KeyOwner, body: Any) -> Terms:
    if not isinstance(body, dict):
        raise invalid([MemberError("", "the body must be a JSON object")])
    errors = [
        MemberError(name[:LONGEST_NAME], unknown_member(name, _MEMBERS, of="request"))
        for name in body
        if name not in _MEMBERS
    ]
    readers: Mapping[str, Callable[[Any], Any]] = {"mode": _mode, "name": _name, "expiresAt": _moment}
    read: dict[str, Any] = {}
    for name, reader in readers.items():
        try:
            read[name] = None if body.get(name) is None else reader(body[name])
        except ValueError as error:
            errors.append(MemberError(name, str(error)))
    if errors:
        raise invalid(errors[:MOST_ERRORS])
    mode = read["mode"] or owner.mode
    if owner.mode is Mode.TEST and mode is not Mode.TEST:
        raise Problem("forbidden", "mode: a test key may make test keys only.")
    return Terms(owner.provider_id, mode, read["name"], read["expiresAt"])


def _mode(value: Any) -> Mode:
    if value not in tuple(Mode):
        raise ValueError(f"must be {' or '.join(Mode)}")
    return Mode(value)


def _name(value: Any) -> str:
    return check_name(value if isinstance(value, str) else "")


def _moment(value: Any) -> datetime:
    return parse_time(value if isinstance(value, str) else "")


def _seen_by(owner: KeyOwner) -> Mode | None:
    """A test key knows of test keys only."""
    return Mode.TEST if owner.mode is Mode.TEST else None


def _actor(owner: KeyOwner) -> str:
    return owner.key_id


def _shown(row: RowMapping, owner: KeyOwner) -> dict[str, Any]:
    return {
        "id": row["key_id"],
        "mode": row["mode"],
        "name": row["name"],
        "state": row["state"],
        "createdAt": rfc3339(row["created_at"]),
        "expiresAt": row["expires_at"] and rfc3339(row["expires_at"]),
        "lastUsedAt": row["last_used_at"] and rfc3339(row["last_used_at"]),
        "current": row["key_id"] == owner.key_id,
    }
