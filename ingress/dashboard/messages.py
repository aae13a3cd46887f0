"""Messages of all providers: a list to filter, one with its whole way, and what may be done about it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Response, abort, redirect, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from ingress.csv_table import COLUMNS, cells, lines
from ingress.cursors import Cursors
from ingress.dashboard.pages import Pages, asked, is_twin, told, who
from ingress.dashboard.timeline import timeline
from ingress.message_list import ListQuery, read_query
from ingress.problems import Problem
from ingress.site import Site
from shared import jobs
from shared.db import doubts, story
from shared.db.queries import audit_log, callbacks, cancel, message_list, providers
from shared.db.queries.cancel import Cancellation
from shared.db.queries.message_list import Page, Place
from shared.explain import explain
from shared.lifecycle import RESENDABLE, TYPES, WAITING, Status

#: What the form asks for; the API's list knows the same.
_FILTERS: Final = ("status", "type", "mode", "country", "last4", "since", "until")
#: Messages of one export; whoever wants more narrows the span.
MOST_EXPORTED: Final = 20_000
_PIECE: Final = 2000
_CURSORS: Final = "dashboard"


def message_pages(site: Site) -> Pages:
    """/dashboard/messages, /dashboard/messages/{id}, and what is done there."""
    routes, cursors = Pages("messages", __name__), Cursors(site.services.sealer)

    @routes.page("/messages", "messages.html")
    def listed() -> Mapping[str, Any]:
        return _found(site, asked("q")) if asked("q") else _listed(site, cursors)

    @routes.get("/messages.csv")
    def table() -> Response | tuple[str, int]:
        try:
            query, provider_id = _query(cursors), _provider(site)
        except Problem as problem:
            return str(_why(problem)), 422
        answer = Response(_table(site, provider_id, query), content_type="text/csv; charset=utf-8; header=present")
        answer.headers["Content-Disposition"] = 'attachment; filename="messages.csv"'
        return answer

    @routes.page("/messages/<id_>", "one_message.html")
    def one(id_: str) -> Mapping[str, Any]:
        return site.services.database.run(lambda c: _one(c, id_))

    _add_actions(routes, site)
    return routes


def _listed(site: Site, cursors: Cursors) -> dict[str, Any]:
    try:
        query, provider_id = _query(cursors), _provider(site)
    except Problem as problem:
        return _shown(site, [], why=_why(problem))
    page = site.services.database.run(lambda c: _page(c, provider_id, query, query.after, query.limit), alone=True)
    older = None if page.after is None else cursors.write(_CURSORS, page.after)
    return _shown(site, _heads(page.rows, provider_id), older=older)


def _found(site: Site, words: str) -> dict[str, Any]:
    """The messages that an id names; a single one is shown at once to people."""
    rows = site.services.database.run(lambda c: story.heads_of_anyone(c, words), alone=True)
    if len(rows) == 1 and not is_twin():
        abort(redirect(url_for("messages.one", id_=rows[0].id), 303))
    return _shown(site, _heads(rows, None))


def _shown(
    site: Site, rows: Sequence[Mapping[str, Any]], *, older: str | None = None, why: str | None = None
) -> dict[str, Any]:
    named = {one["provider_id"]: one["name"] for one in site.services.database.run(providers.list_providers)}
    return {
        "messages": [{**row, "provider": named.get(row["providerId"], row["providerId"])} for row in rows],
        "providers": named,
        "asked": {name: asked(name) for name in ("q", "provider", *_FILTERS)},
        "choices": {"status": list(Status), "type": list(TYPES)},
        "older": older,
        "why": why,
    }


def _query(cursors: Cursors) -> ListQuery:
    given = {name: [value] for name in (*_FILTERS, "after") if (value := asked(name))}
    for name in ("since", "until"):
        if name in given and len(given[name][0]) == len("2026-10-05"):
            given[name] = [f"{given[name][0]}T00:00:00Z"]
    return read_query(given, lambda text: cursors.read(_CURSORS, text))


def _provider(site: Site) -> str | None:
    """The provider that is asked for by name or id; None for all."""
    if not (name := asked("provider")):
        return None
    return site.services.database.run(lambda c: providers.find_provider(c, name), alone=True) or name


def _why(problem: Problem) -> str:
    return "; ".join(f"{one.member} {one.message}" for one in problem.errors) or problem.details


def _page(connection: Connection, provider_id: str | None, query: ListQuery, after: Place | None, limit: int) -> Page:
    if provider_id is None:
        return message_list.page_of_all(connection, query.wanted, after=after, limit=limit)
    return message_list.page(connection, provider_id, query.wanted, after=after, limit=limit)


def _heads(rows: Sequence[Any], provider_id: str | None) -> list[dict[str, Any]]:
    return [{**story.head(row), "providerId": provider_id or row.provider_id} for row in rows]


def _table(site: Site, provider_id: str | None, query: ListQuery) -> bytes:
    """What fits, up to a bound that is told in the last line where it is met."""
    place: Place | None = None
    count, pieces = 0, [lines([("providerId", *COLUMNS)])]
    while True:
        read = partial(_page, provider_id=provider_id, query=query, after=place, limit=_PIECE)
        page = site.services.database.run(read, alone=True)
        heads = _heads(page.rows, provider_id)[: MOST_EXPORTED - count]
        pieces.append(lines([head["providerId"], *cells(head)] for head in heads))
        place, count = page.after, count + len(heads)
        if place is None:
            break
        if count >= MOST_EXPORTED:
            pieces.append(lines([(f"only the newest {MOST_EXPORTED} are here", "narrow the span for the others")]))
            break
    return b"".join(pieces)


def _one(connection: Connection, id_: str) -> dict[str, Any]:
    found = [one for one in story.of_anyone(connection, id_) if one["id"] == id_]
    if not found:
        abort(404, "No message has this id.")
    message = found[0]
    return {
        "message": message,
        "explained": explain(message),
        "timeline": timeline(message),
        "upstream": doubts.words_of_upstream(connection, id_),
        "can_cancel": message["status"] in WAITING,
        "can_resend": sorted(RESENDABLE),
    }


def _add_actions(routes: Pages, site: Site) -> None:
    services = site.services

    @routes.post("/messages/<id_>/cancel")
    def cancel_(id_: str) -> AnyResponse | tuple[str, int]:
        by, tries = who(), itertools.count()

        def work(connection: Connection) -> Cancellation | None:
            done = cancel.cancel_by_operator(connection, id_)
            if done is not None and done.is_done:
                states = {"before": {"status": done.was}, "after": {"status": Status.CANCELED}}
                audit_log.note(connection, by, "message.cancel", id_, **states)
            # The answer to a commit may be lost: what was canceled then is found canceled.
            is_again = next(tries) > 0
            return replace(done, is_done=True) if done and is_again and done.was_so else done

        done = services.database.run(work)
        if done is None:
            abort(404, "No message has this id.")
        if not done.is_done:
            text = f"The message is {done.was}: it can be canceled only before anybody has begun to dial."
            return told("Not canceled", text, 409, url_for("messages.one", id_=id_))
        services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        return redirect(url_for("messages.one", id_=id_), 303)

    @routes.post("/callbacks/<id_>/resend")
    def resend(id_: str) -> AnyResponse | tuple[str, int]:
        by = who()

        def work(connection: Connection) -> bool:
            before = callbacks.state_of(connection, id_)
            if not callbacks.resend(connection, id_):
                return False
            audit_log.note(connection, by, "callback.resend", id_, before={"state": before}, after={"state": "due"})
            return True

        if not services.database.run(work):
            return told("Not sent", "There is no parked or done callback of this id.", 409)
        services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        return redirect(_back(), 303)


def _back() -> str:
    """The page that the form was on; never another site's."""
    path = asked("back")
    return path if path.startswith("/dashboard/") and "//" not in path and request.host else url_for("now.now")
