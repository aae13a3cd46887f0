"""What waits, what is under way, what is wrong; and the switch of each lane."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, url_for
from werkzeug.wrappers import Response

from ingress.metrics import kept
from ingress.site import Site
from shared.db.queries import lanes
from shared.db.queries.daily_calls import caps_of
from shared.db.state import bad_news, gather
from shared.lifecycle import Lane
from shared.services import pace_of
from shared.vitals import Vitals


def now_pages(site: Site) -> Blueprint:
    """GET /dashboard/now, POST /dashboard/lanes/{lane}/pause and resume."""
    routes = Blueprint("now", __name__)
    services, settings = site.services, site.settings
    caps = caps_of(pace_of(settings))
    figures = kept(Vitals(services.database, services.broker.client, settings.spool_dir, caps).read)

    @routes.get("/now")
    def now() -> str:
        state = services.database.run(lambda c: gather(c, settings))
        state["vitals"] = vitals = figures()
        state["redis"] = {"reachable": vitals["redis_up"] == 1}
        return render_template("now.html", state=state, figures=_plain(vitals), bad_news=list(bad_news(state)))

    @routes.post("/lanes/<lane>/pause")
    def pause(lane: str) -> Response:
        by = g.visitor.operator.name
        services.database.run(lambda c: lanes.pause(c, _lane(lane), actor=by))
        return redirect(url_for("now.now"), 303)

    @routes.post("/lanes/<lane>/resume")
    def resume(lane: str) -> Response:
        by = g.visitor.operator.name
        services.database.run(lambda c: lanes.resume(c, _lane(lane), actor=by))
        return redirect(url_for("now.now"), 303)

    return routes


def _lane(text: str) -> Lane:
    if text not in set(Lane):
        abort(404)
    return Lane(text)


def _plain(vitals: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures that are one number, as people read them."""
    return [
        (name.removesuffix("_s").replace("_", " ") + (" (s)" if name.endswith("_s") else ""), f"{value:.4g}")
        for name, value in vitals.items()
        if isinstance(value, int | float)
    ]
