"""A provider's event feed: all that callbacks tell, in order and without gaps, to be asked for."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import gate, members
from ingress.asking import ask
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem
from ingress.site import Site
from shared.db.queries import feed
from shared.db.queries.feed import Page
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode

PATH: Final = "/v1/events"
_LIMIT: Final = 50
_LONGEST_WAIT_S: Final = 25
_MOST: Final = 2**63 - 1
_READERS: Final = {
    "after": members.number(0, _MOST),
    "limit": members.limit,
    "wait": members.number(0, _LONGEST_WAIT_S),
}


def event_routes(site: Site) -> Blueprint:
    """GET /v1/events."""
    routes = Blueprint("events", __name__)

    @routes.get(PATH)
    def events() -> Response:
        owner = site.providers.owner(request)
        asked = members.of_query(dict(request.args.lists()), _READERS)
        after, limit = asked.get("after", 0), asked.get("limit", _LIMIT)
        ends_at = time.monotonic() + asked.get("wait", 0)
        page, body = _read(site, owner, after, limit)
        while not page.events and not page.has_more and (left_s := ends_at - time.monotonic()) > 0:
            gate.step_aside(request.environ)
            if not site.feeds.wait(owner.provider_id, page.seen, left_s):
                break
            # A key that was revoked meanwhile is told nothing more.
            page, body = _read(site, site.providers.owner(request), page.seen, limit)
        return json_answer(body)

    return routes


def _read(site: Site, owner: KeyOwner, after: int, limit: int) -> tuple[Page, bytes]:
    """A page and its JSON; of a test key only what its like may see."""
    tests_only = owner.mode is Mode.TEST

    def read() -> tuple[Page, bytes]:
        look = partial(feed.page, provider_id=owner.provider_id, after=after, limit=limit, tests_only=tests_only)
        page = ask(site, look, alone=True)
        told = {"data": page.events, "next": page.seen, "hasMore": page.has_more, "first": page.purged + 1}
        return page, to_json(told)

    page, body = site.feeds.read(read)
    if 0 < after < page.purged:
        raise _purged(page)
    return page, body


def _purged(page: Page) -> Problem:
    said = f"The events behind this one are gone, up to {page.purged}: go on with after={page.purged}."
    return Problem("events_purged", f"after: {said}", errors=[MemberError("after", said)])
