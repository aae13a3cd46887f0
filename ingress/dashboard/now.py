"""What waits, what is under way and what is wrong, now and in the last hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import Response
from pydantic_core import to_json

from ingress.dashboard.pages import Pages, asked
from ingress.site import Site
from shared.as_json import json_of
from shared.db import traffic
from shared.db.queries import figures as past
from shared.db.state import bad_news, gather

#: Spans of the charts, in hours.
SPANS: Final = (1, 6, 24, 168)


def now_pages(site: Site, figures: Callable[[], dict[str, Any]]) -> Pages:
    """
    /dashboard/now, and /dashboard/history.json for its charts.

    Args:
        site: Of this process.
        figures: Of :mod:`shared.vitals`.
    """
    routes, run, settings = Pages("now", __name__), site.services.database.run, site.settings

    @routes.page("/now", "now.html")
    def now() -> Mapping[str, Any]:
        state = run(lambda c: gather(c, settings))
        state["vitals"] = vitals = figures()
        state["redis"] = {"reachable": vitals["redis_up"] == 1}
        latest = run(past.latest, alone=True)
        return {
            "state": state,
            "dials_per_second": _rate(vitals.get("dials"), latest),
            "figures": _plain(vitals),
            "bad_news": list(bad_news(state)),
            "answers": run(traffic.answers, alone=True),
            "audit": run(past.latest_audit, alone=True),
            "hours": _hours(),
            "spans": list(SPANS),
        }

    @routes.get("/history.json")
    def history_json() -> Response:
        rows = run(lambda c: past.past(c, _hours()), alone=True)
        told = [{"at": row["at"], **row["figures"]} for row in rows]
        return Response(to_json(json_of(told)), content_type="application/json")

    return routes


def _rate(dials: int | None, latest: Any) -> float | None:
    """Dials a second since the figures were written last."""
    before = latest and latest["figures"].get("dials")
    if dials is None or before is None or latest["age_s"] <= 0:
        return None
    rate: float = (dials - before) / latest["age_s"]
    return max(0.0, rate)


def _hours() -> int:
    return int(asked("hours")) if asked("hours") in {str(one) for one in SPANS} else SPANS[0]


def _plain(vitals: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that are one number, as people read them."""
    return [
        (name.removesuffix("_s").replace("_", " ") + (" (s)" if name.endswith("_s") else ""), f"{value:.4g}")
        for name, value in vitals.items()
        if isinstance(value, int | float)
    ]
