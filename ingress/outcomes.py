"""What a provider tells of its codes: used, or not."""

from __future__ import annotations

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies
from ingress.asking import ask
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid, unknown_member
from ingress.site import Site
from shared.db.queries import outcomes
from shared.ids import is_id
from shared.lifecycle import Mode
from shared.times import rfc3339


def outcome_routes(site: Site) -> Blueprint:
    """POST /v1/messages/{id}/outcome."""
    routes = Blueprint("outcomes", __name__)

    @routes.post("/v1/messages/<id_>/outcome")
    def outcome(id_: str) -> Response:
        owner = site.providers.owner(request)
        verified = _verified(bodies.parse(bodies.read(request, bodies.CALL_LIMIT)))
        if not is_id("msg", id_):
            raise _missing()
        only = owner.mode is Mode.TEST
        told = ask(
            site,
            lambda c: outcomes.report(c, owner.provider_id, id_, verified=verified, tests_only=only),
            alone=True,
        )
        if told is None:
            raise _missing()
        if told.reported_at is None:
            text = f"The message is {told.status}: nobody has heard the code yet. Tell it again once it is answered."
            raise Problem("not_reportable", text)
        answer = {
            "id": told.id,
            "messageId": told.message_id,
            "verified": told.verified,
            "reportedAt": rfc3339(told.reported_at),
        }
        return json_answer(to_json(answer))

    return routes


def _verified(body: object) -> bool:
    if not isinstance(body, dict):
        raise invalid([MemberError("", "the body must be a JSON object")])
    errors = [MemberError(str(name)[:64], unknown_member(str(name), ["verified"], of="request")) for name in body]
    errors = [error for error in errors if error.member != "verified"]
    verified = body.get("verified")
    if not isinstance(verified, bool):
        errors.append(MemberError("verified", "is required: true where the code was used, false where not"))
    if errors or not isinstance(verified, bool):
        raise invalid(errors)
    return verified


def _missing() -> Problem:
    return Problem("not_found", "No message of yours has this id.")
