"""What a provider reads of its messages: one of them with its whole story, or a list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

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
from shared.db.queries.providers import KeyOwner
from shared.ids import is_id
from shared.lifecycle import Mode

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
        return _story(site, owner, id_=id_)

    @routes.get("/v1/messages")
    def messages() -> Response:
        owner = site.providers.owner(request)
        if "messageId" in request.args:
            return _by_reference(site, owner, request.args["messageId"])
        return _page(site, cursors, owner)

    return routes


def _by_reference(site: Site, owner: KeyOwner, message_id: str) -> Response:
    if not 1 <= len(message_id) <= 128 or "\0" in message_id:
        raise invalid([MemberError("messageId", "must be the messageId of a request, 1 to 128 characters")])
    return _story(site, owner, message_id=message_id)


def _story(site: Site, owner: KeyOwner, *, id_: str | None = None, message_id: str | None = None) -> Response:
    """Of a message that the key may see: a test key is in more hands, and sees nothing of what rang phones."""
    only = owner.mode is Mode.TEST
    found = _read(
        site,
        lambda c: story.of_provider(c, owner.provider_id, id_=id_, message_id=message_id, tests_only=only),
    )
    if found is None:
        raise _missing()
    return json_answer(to_json(found))


def _page(site: Site, cursors: Cursors, owner: KeyOwner) -> Response:
    provider_id = owner.provider_id
    query = read_query(dict(request.args.lists()), lambda text: cursors.read(provider_id, text))
    wanted = query.wanted
    if owner.mode is Mode.TEST:
        if wanted.mode is Mode.LIVE:
            raise invalid([MemberError("mode", "must be test: a test key sees no live messages")])
        wanted = replace(wanted, mode=Mode.TEST)
    page = _read(
        site,
        lambda c: message_list.page(c, provider_id, wanted, after=query.after, limit=query.limit),
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


def _missing() -> Problem:
    return Problem("not_found", "No message of yours has this id.")
