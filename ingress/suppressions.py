"""A provider's own list of numbers that are not to be called."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies
from ingress.asking import ask
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid, unknown_member
from ingress.site import Site
from shared import phone
from shared.db.queries import suppressions
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode
from shared.times import rfc3339

_REASON: Final = "asked by the provider"
_LONGEST_REASON: Final = 200
_LIMIT: Final = 50
_MAX_LIMIT: Final = 200
_KEY_BYTES: Final = 16


def suppression_routes(site: Site) -> Blueprint:
    """POST, GET and DELETE /v1/suppressions."""
    routes = Blueprint("suppressions", __name__)

    @routes.post("/v1/suppressions")
    def add() -> Response:
        owner = _owner(site)
        number, reason = _read(bodies.parse(bodies.read(request, bodies.CALL_LIMIT)), ("number", "reason"))
        key = site.services.sealer.destination_key(number.e164)
        entry, is_new = ask(
            site,
            lambda c: suppressions.add(c, owner.provider_id, key, masked=number.masked, reason=reason or _REASON),
        )
        return json_answer(to_json(_entry(entry)), 201 if is_new else 200)

    @routes.delete("/v1/suppressions")
    def remove() -> Response:
        owner = _owner(site)
        number, _ = _read(bodies.parse(bodies.read(request, bodies.CALL_LIMIT)), ("number",))
        key = site.services.sealer.destination_key(number.e164)
        entry = ask(site, lambda c: suppressions.remove(c, owner.provider_id, key))
        if entry is None:
            raise Problem("not_found", "This number is not on your list.")
        return json_answer(to_json(_entry(entry)))

    @routes.get("/v1/suppressions")
    def page() -> Response:
        owner = _owner(site)
        limit, after = _query()
        rows = ask(site, lambda c: suppressions.page(c, owner.provider_id, after=after, limit=limit + 1))
        kept = rows[:limit]
        following = base64.urlsafe_b64encode(bytes(kept[-1].destination_key)).decode() if len(rows) > limit else None
        data = [_entry(row) for row in kept]
        return json_answer(to_json({"data": data, "next": following, "hasMore": following is not None}))

    return routes


def _owner(site: Site) -> KeyOwner:
    """Whoever asks with a live key: a test key is in more hands, and the list is of phones that ring."""
    owner = site.providers.owner(request)
    if owner.mode is Mode.TEST:
        raise Problem("forbidden", "A test key has no list of numbers: its calls ring no phone.")
    return owner


def _read(body: Any, known: tuple[str, ...]) -> tuple[phone.PhoneNumber, str | None]:
    """The number, and the reason if there is one; every fault is named, no value repeated."""
    if not isinstance(body, dict):
        raise invalid([MemberError("", "the body must be a JSON object")])
    errors = [MemberError(name, unknown_member(name, known, of="request")) for name in body if name not in known]
    number, reason = None, body.get("reason")
    try:
        number = phone.read(body["number"]) if isinstance(body.get("number"), str) else None
        if number is None:
            errors.append(MemberError("number", "is required, a phone number in international form"))
    except ValueError as error:
        errors.append(MemberError("number", str(error)))
    if reason is not None and (not isinstance(reason, str) or not 1 <= len(reason) <= _LONGEST_REASON):
        errors.append(MemberError("reason", f"must be a text of 1 to {_LONGEST_REASON} characters"))
    if isinstance(reason, str) and any(letter.isdecimal() for letter in reason):
        errors.append(MemberError("reason", "must not have digits, as they may be a phone number's"))
    if errors or number is None:
        raise invalid(errors)
    return number, reason


def _query() -> tuple[int, bytes]:
    errors = [
        MemberError(name[:64], unknown_member(name, ("limit", "after"), of="query"))
        for name in request.args
        if name not in ("limit", "after")
    ]
    limit = request.args.get("limit", str(_LIMIT))
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= _MAX_LIMIT:
        errors.append(MemberError("limit", f"must be a whole number from 1 to {_MAX_LIMIT}"))
    try:
        after = base64.b64decode(request.args.get("after", ""), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        after = b"?"
    if len(after) not in (0, _KEY_BYTES):
        errors.append(MemberError("after", "must be the next of an earlier answer"))
    if errors:
        raise invalid(errors)
    return int(limit), after


def _entry(row: Any) -> dict[str, Any]:
    return {"to": row.destination_masked, "reason": row.reason, "createdAt": rfc3339(row.created_at)}
