"""What a provider reads of its messages: one of them with its whole story, or a list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress.cursors import Cursors
from ingress.lean import json_answer
from ingress.message_list import read_query
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared.db import story
from shared.db.database import DatabaseAway
from shared.db.queries import message_list
from shared.ids import is_id

T = TypeVar("T")


def message_routes(site: Site) -> Blueprint:
    """GET /v1/messages/{id}, /v1/messages?messageId= and /v1/messages."""
    routes = Blueprint("messages", __name__)
    cursors = Cursors(site.services.sealer)

    @routes.get("/v1/messages/<id_>")
    def message(id_: str) -> Response:
        owner = site.providers.owner(request)
        if not is_id("msg", id_):
            raise _missing()
        return _answer(_read(site, lambda c: story.of_provider(c, owner.provider_id, id_=id_)))

    @routes.get("/v1/messages")
    def messages() -> Response:
        owner = site.providers.owner(request)
        if "messageId" in request.args:
            return _by_reference(site, owner.provider_id, request.args["messageId"])
        return _page(site, cursors, owner.provider_id)

    return routes


def _by_reference(site: Site, provider_id: str, message_id: str) -> Response:
    if not 1 <= len(message_id) <= 128 or "\0" in message_id:
        raise invalid([MemberError("messageId", "must be the messageId of a request, 1 to 128 characters")])
    return _answer(_read(site, lambda c: story.of_provider(c, provider_id, message_id=message_id)))


def _page(site: Site, cursors: Cursors, provider_id: str) -> Response:
    query = read_query(dict(request.args.lists()), lambda text: cursors.read(provider_id, text))
    page = _read(
        site,
        lambda c: message_list.page(c, provider_id, query.wanted, after=query.after, limit=query.limit),
        alone=True,
    )
    after = None if page.after is None else cursors.write(provider_id, page.after)
    data = [story.head(row) for row in page.rows]
    return json_answer(to_json({"data": data, "next": after, "hasMore": after is not None}))


def _read(site: Site, work: Callable[[Connection], T], *, alone: bool = False) -> T:
    try:
        return site.services.database.run(work, patience_s=0.5, alone=alone)
    except DatabaseAway:
        raise Problem("unavailable", "The database does not answer.", retry_after_s=1) from None


def _answer(found: dict[str, Any] | None) -> Response:
    if found is None:
        raise _missing()
    return json_answer(to_json(found))


def _missing() -> Problem:
    return Problem("not_found", "No message of yours has this id.")
