"""What a provider reads of its messages, one or a list of them, and how it takes one back."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress.asking import ask
from ingress.cursors import Cursors
from ingress.lean import json_answer
from ingress.message_list import read_query
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared import jobs
from shared.db import story
from shared.db.queries import cancel as cancellation
from shared.db.queries import message_list
from shared.db.queries.cancel import Cancellation
from shared.db.queries.providers import KeyOwner
from shared.explain import explain
from shared.ids import is_id
from shared.lifecycle import Mode


def message_routes(site: Site) -> Blueprint:
    """GET /v1/messages, /v1/messages?messageId=, /v1/messages/{id} and …/explain; POST …/cancel."""
    routes = Blueprint("messages", __name__)
    cursors = Cursors(site.services.sealer)

    @routes.get("/v1/messages/<message:id_>")
    def message(id_: str) -> Response:
        return json_answer(to_json(_story(site, site.providers.owner(request), id_=id_)))

    @routes.get("/v1/messages/<id_>/explain")
    def explained(id_: str) -> Response:
        return json_answer(to_json(explain(_story(site, site.providers.owner(request), id_=id_))))

    @routes.post("/v1/messages/<id_>/cancel")
    def cancel(id_: str) -> Response:
        owner = site.providers.owner(request)
        _cancel(site, owner, id_)
        return json_answer(to_json(_story(site, owner, id_=id_)))

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
    return json_answer(to_json(_story(site, owner, message_id=message_id)))


def _story(site: Site, owner: KeyOwner, *, id_: str | None = None, message_id: str | None = None) -> dict[str, Any]:
    """Of a message that the key may see: a test key is in more hands, and sees nothing of what rang phones."""
    if id_ is not None and not is_id("msg", id_):
        raise _missing()
    only = owner.mode is Mode.TEST
    found = ask(
        site,
        lambda c: story.of_provider(c, owner.provider_id, id_=id_, message_id=message_id, tests_only=only),
    )
    if found is None:
        raise _missing()
    return found


def _cancel(site: Site, owner: KeyOwner, id_: str) -> None:
    """
    Take a message back.

    Raises:
        Problem: 404; 409 with the status, once somebody has begun to dial.
    """
    if not is_id("msg", id_):
        raise _missing()
    tests_only, tries = owner.mode is Mode.TEST, itertools.count()

    def work(connection: Connection) -> Cancellation | None:
        told = cancellation.cancel(connection, owner.provider_id, id_, tests_only=tests_only)
        # The answer to a commit may be lost: what this request canceled then, it finds canceled.
        is_again = next(tries) > 0
        return replace(told, is_done=True) if told and is_again and told.was_so else told

    told = ask(site, work)
    if told is None:
        raise _missing()
    if not told.is_done:
        text = f"The message is {told.was}: it can be canceled only before anybody has begun to dial."
        raise Problem("not_cancelable", text, more={"messageStatus": told.was})
    if told.callbacks:
        site.services.doorbell.ring(jobs.DELIVER_CALLBACKS)


def _page(site: Site, cursors: Cursors, owner: KeyOwner) -> Response:
    provider_id = owner.provider_id
    query = read_query(dict(request.args.lists()), lambda text: cursors.read(provider_id, text))
    wanted = query.wanted
    if owner.mode is Mode.TEST:
        if wanted.mode is Mode.LIVE:
            raise invalid([MemberError("mode", "must be test: a test key sees no live messages")])
        wanted = replace(wanted, mode=Mode.TEST)
    page = ask(
        site,
        lambda c: message_list.page(c, provider_id, wanted, after=query.after, limit=query.limit),
        alone=True,
    )
    after = None if page.after is None else cursors.write(provider_id, page.after)
    data = [story.head(row) for row in page.rows]
    return json_answer(to_json({"data": data, "next": after, "hasMore": after is not None}))


def _missing() -> Problem:
    return Problem("not_found", "No message of yours has this id.")
