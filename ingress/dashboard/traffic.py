"""Where calls go and how they end there; ranges in quarantine; and the kill switches, each with what it would cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import abort, redirect, render_template, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ingress.dashboard.pages import Note, Pages, act, asked, told, who
from ingress.site import Site
from shared import stop_cost
from shared.db import reports, traffic
from shared.db.database import is_away
from shared.db.queries import audit_log, pacing, providers, quarantines, stops
from shared.services import pace_of
from shared.stops import Scope, Stop, name_of

#: Spans of the list, in hours.
_SPANS: Final = (1, 24, 24 * 7)
#: How long a stop may last, in seconds, and as people say it; 0: until it is ended.
LASTS: Final[Mapping[str, str]] = {"0": "until I end it", "1800": "30 min", "7200": "2 h", "86400": "1 day"}
#: Counting what a stop costs must not take long on a database in trouble, in seconds.
_COUNTED_S: Final = 3.0


def traffic_pages(site: Site) -> Pages:
    """/dashboard/traffic, the stops, and the release of quarantines."""
    routes, run = Pages("traffic", __name__), site.services.database.run
    pace = pace_of(site.settings)

    @routes.page("/traffic", "traffic.html")
    def listed() -> Mapping[str, Any]:
        hours = int(asked("hours")) if asked("hours") in {str(one) for one in _SPANS} else _SPANS[1]
        return {
            "countries": run(lambda c: traffic.by_country(c, hours), alone=True),
            "hours": hours,
            "spans": list(_SPANS),
            "quarantines": run(lambda c: quarantines.every(c, past=False), alone=True),
            "stops": run(stops.listed, alone=True),
            "limits": run(lambda c: reports.limits(c, pace), alone=True),
            "scopes": list(Scope),
            "lasts": dict(LASTS),
        }

    _add_preview(routes, site)
    _add_stops(routes, site)
    _add_limits(routes, site)

    @routes.post("/quarantines/<id_>/release")
    def release(id_: str) -> Response | tuple[str, int]:
        return act(
            site,
            lambda c: quarantines.release(c, id_) is not None,
            Note("quarantine.release", id_, {"released": False}, {"released": True}),
            back=url_for("traffic.listed"),
            why="It is over already.",
        )

    return routes


def _add_preview(routes: Pages, site: Site) -> None:
    @routes.post("/stops/preview")
    def preview() -> str | tuple[str, int] | Response:
        try:
            wanted, reason, lasts = _wanted(site)
        except ValueError as error:
            return told("Nothing stopped", f"{error}.", 422, url_for("traffic.listed"))
        cost = _cost(site, wanted)
        return render_template("stop.html", wanted=wanted, reason=reason, lasts=lasts, words=LASTS[lasts], cost=cost)


def _add_stops(routes: Pages, site: Site) -> None:
    run = site.services.database.run

    @routes.post("/stops")
    def stop() -> Response | tuple[str, int]:
        by = who()
        try:
            wanted, reason, lasts = _wanted(site)
        except ValueError as error:
            return told("Nothing stopped", f"{error}.", 422, url_for("traffic.listed"))

        def work(connection: Connection) -> None:
            before = stops.find(connection, wanted.scope, wanted.name)
            stops.stop(connection, wanted, reason=reason, by=by, for_s=float(lasts) or None)
            after = stops.find(connection, wanted.scope, wanted.name)
            audit_log.note(connection, by, "stop", wanted.words, before=_noted(before), after=_noted(after))

        run(work)
        return redirect(url_for("traffic.listed"), 303)

    @routes.post("/stops/end")
    def go() -> Response | tuple[str, int]:
        scope, name = asked("scope"), asked("name")
        if scope not in {*Scope}:
            abort(404)
        before = run(lambda c: stops.find(c, Scope(scope), name), alone=True)
        return act(
            site,
            lambda c: stops.go(c, Scope(scope), name),
            Note("go", f"{scope} {name}".rstrip(), _noted(before) or {}, {}),
            back=url_for("traffic.listed"),
            why="That is not stopped any more.",
        )


def _add_limits(routes: Pages, site: Site) -> None:
    @routes.post("/pace")
    def pace() -> Response | tuple[str, int]:
        by, limits, back = who(), pace_of(site.settings), url_for("traffic.listed")
        try:
            wanted = pacing.read_pace(asked("dials")), pacing.read_lines(asked("calls"))
        except ValueError as error:
            return told("Nothing changed", f"{error}.", 422, back)
        site.services.database.run(lambda c: pacing.set_limits(c, limits, wanted, by=by))
        return redirect(back, 303)


def _wanted(site: Site) -> tuple[Stop, str, str]:
    """
    The stop that a form asks for, why, and for how long.

    Raises:
        ValueError: What is wrong with it.
    """
    reason, lasts = asked("reason"), asked("lasts") or "0"
    if asked("scope") not in {*Scope}:
        raise ValueError(f"what is stopped is one of {', '.join(Scope)}")
    scope = Scope(asked("scope"))
    name = name_of(scope, asked("name") or None)
    if not reason:
        raise ValueError("a stop needs a reason")
    if lasts not in LASTS:
        raise ValueError("there is no such time for it")
    if scope is Scope.PROVIDER:
        found = site.services.database.run(lambda c: providers.find_provider(c, name), alone=True)
        if found is None:
            raise ValueError(f"there is no provider {name}")
        name = found
    return Stop(scope, name), reason, lasts


def _cost(site: Site, wanted: Stop) -> dict[str, Any]:
    services = site.services
    try:
        return services.database.run(
            lambda c: stop_cost.counted(c, services.sealer, wanted, _COUNTED_S), patience_s=0.5
        )
    except Exception as error:
        if not is_away(error):
            raise
        return stop_cost.unknown()


def _noted(row: Any) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in ("reason", "stopped_by", "stopped_at", "until")}
