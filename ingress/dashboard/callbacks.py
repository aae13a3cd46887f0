"""Callback endpoints by how they fare, and one of them with what was sent there and what may be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import abort, render_template, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ingress.cursors import Cursors
from ingress.dashboard.pages import Note, Pages, act, asked, told, who
from ingress.problems import Problem
from ingress.site import Site
from ingress.trials import Trials
from shared import jobs
from shared.db.queries import audit_log, deliveries, endpoints, own_endpoints, providers
from shared.db.queries.deliveries import MOST_RECOVERED, Span
from shared.db.queries.own_endpoints import MOST_COUNTED
from shared.lifecycle import RESENDABLE, CallbackState
from shared.times import parse_time

#: Endpoints that are shown, those that fail first.
_MOST: Final = 500
_PAGE: Final = 50
#: Cursors have a moment; here it says nothing.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


def callback_pages(site: Site) -> Pages:
    """/dashboard/callbacks, /dashboard/callbacks/{endpoint}, and what is done there."""
    routes, cursors = Pages("callbacks", __name__), Cursors(site.services.sealer)
    run = site.services.database.run

    @routes.page("/callbacks", "callbacks.html")
    def listed() -> Mapping[str, Any]:
        rows = run(lambda c: own_endpoints.every(c, most=_MOST), alone=True)
        return {"endpoints": _named(rows, run(providers.list_providers, alone=True)), "most_counted": MOST_COUNTED}

    @routes.page("/callbacks/<id_>", "one_endpoint.html")
    def one(id_: str) -> Mapping[str, Any]:
        endpoint = _endpoint(site, id_)
        state = CallbackState(asked("state")) if asked("state") in {*CallbackState} else None
        sealed_for = f"dashboard {id_} {state}"
        place = cursors.read(sealed_for, asked("after")) if asked("after") else None
        after = place and place[1]
        page = run(lambda c: deliveries.page(c, endpoint["provider_id"], id_, state=state, after=after, limit=_PAGE))
        return {
            "endpoint": endpoint,
            "deliveries": [
                row._asdict() | {"tries": [a._asdict() for a in page.attempts if a.callback_id == row.callback_id]}
                for row in page.rows
            ],
            "state": state,
            "states": list(CallbackState),
            "can_resend": sorted(RESENDABLE),
            "older": page.after and cursors.write(sealed_for, (_EPOCH, page.after)),
            "since": datetime.fromtimestamp(site.forecast.now(), UTC) - _DAY,
            "most_counted": MOST_COUNTED,
        }

    _add_switches(routes, site)
    _add_sending(routes, site)
    return routes


def _named(rows: Any, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {one["provider_id"]: one["name"] for one in known}
    return [dict(row) | {"provider": names.get(row["provider_id"], row["provider_id"])} for row in rows]


def _endpoint(site: Site, id_: str) -> dict[str, Any]:
    run = site.services.database.run
    rows = run(lambda c: own_endpoints.every(c, endpoint_id=id_, most=1), alone=True)
    if not rows:
        abort(404, "No endpoint has this id.")
    return _named(rows, run(providers.list_providers, alone=True))[0]


def _add_switches(routes: Pages, site: Site) -> None:
    @routes.post("/callbacks/<id_>/disable")
    def disable(id_: str) -> Response | tuple[str, int]:
        reason = asked("reason") or "disabled by an operator"
        return act(
            site,
            lambda c: endpoints.disable(c, id_, reason) is not None,
            Note("endpoint.disable", id_, {"disabled": False}, {"disabled": True, "reason": reason}),
            back=url_for("callbacks.one", id_=id_),
            why="The endpoint is disabled already, or gone.",
        )

    @routes.post("/callbacks/<id_>/enable")
    def enable(id_: str) -> Response | tuple[str, int]:
        return act(
            site,
            lambda c: endpoints.enable(c, id_),
            Note("endpoint.enable", id_, {"disabled": True}, {"disabled": False}),
            back=url_for("callbacks.one", id_=id_),
            why="The endpoint is not disabled, or gone.",
        )


def _add_sending(routes: Pages, site: Site) -> None:
    trials, services = Trials(site.services), site.services

    @routes.post("/callbacks/<id_>/test")
    def test(id_: str) -> str | tuple[str, int] | Response:
        row, back = _endpoint(site, id_), url_for("callbacks.one", id_=id_)
        try:
            came = trials.send(row["provider_id"], id_)
        except Problem as problem:
            return told("Not sent", problem.details, problem.status, back)
        return render_template("tried.html", endpoint=row, came=came)

    @routes.post("/callbacks/<id_>/recover")
    def recover(id_: str) -> str | tuple[str, int] | Response:
        """The count first, and a second form that does it."""
        row, back = _endpoint(site, id_), url_for("callbacks.one", id_=id_)
        try:
            span = Span(id_, _moment("since"), _moment("until") if asked("until") else None)
        except ValueError as error:
            return told("Not sent", f"The time {error}.", 422, back)
        if asked("count") == "":
            count = services.database.run(lambda c: deliveries.recoverable(c, span), alone=True)
            return render_template("recover.html", endpoint=row, span=span, count=count, most=MOST_RECOVERED)
        if row["disabled_at"] is not None:
            return told("Not sent", "Nothing is sent to this endpoint: enable it first.", 409, back)
        return told("Sent again", f"{_recovered(site, span)} callbacks are due again.", 200, back)


def _recovered(site: Site, span: Span) -> int:
    by = who()

    def work(connection: Connection) -> int:
        count = deliveries.recover(connection, span)
        after = {"since": span.since, "until": span.until, "count": count}
        audit_log.note(connection, by, "callback.recover", span.endpoint_id, before={"parked": count}, after=after)
        return count

    count = site.services.database.run(work)
    site.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
    return count


def _moment(name: str) -> datetime:
    """A time as a browser's form or a program writes it; UTC unless it says otherwise."""
    text = asked(name)
    return parse_time(f"{text}:00Z" if len(text) == len("2026-10-05T09:12") else text)
