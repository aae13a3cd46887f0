"""What a provider reads of its messages."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared.db import story
from shared.db.database import DatabaseAway
from shared.ids import is_id


def message_routes(site: Site) -> Blueprint:
    """GET /v1/messages/{id} and /v1/messages?messageId=."""
    routes = Blueprint("messages", __name__)

    @routes.get("/v1/messages/<id_>")
    def message(id_: str) -> Response:
        owner = site.providers.owner(request)
        if not is_id("msg", id_):
            raise _missing()
        return _answer(_read(site, owner.provider_id, id_=id_))

    @routes.get("/v1/messages")
    def message_by_reference() -> Response:
        owner = site.providers.owner(request)
        message_id = request.args.get("messageId", "")
        if not 1 <= len(message_id) <= 128 or "\0" in message_id:
            raise invalid([MemberError("messageId", "must be the messageId of a request, 1 to 128 characters")])
        return _answer(_read(site, owner.provider_id, message_id=message_id))

    return routes


def _read(site: Site, provider_id: str, **key: str) -> dict[str, Any] | None:
    try:
        return site.services.database.run(lambda c: story.of_provider(c, provider_id, **key), patience_s=0.5)
    except DatabaseAway:
        raise Problem("unavailable", "The database does not answer.", retry_after_s=1) from None


def _answer(found: dict[str, Any] | None) -> Response:
    if found is None:
        raise _missing()
    return json_answer(to_json(found))


def _missing() -> Problem:
    return Problem("not_found", "No message of yours has this id.")
