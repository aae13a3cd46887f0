"""What waits, what is under way and what is wrong, now and in the last hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import Response
from pydantic_core import to_json

from ingress.dashboard.pages import Pages, asked
from ingress.site import Site
from shared.as_json import json_of
from shared.db.queries import figures as past
from shared.db.state import present

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
        vitals = figures()
        return {
            "state": run(lambda c: present(c, settings, vitals, {"reachable": vitals["redis_up"] == 1})),
            "figures": _plain(vitals),
            "hours": _hours(),
            "spans": list(SPANS),
        }

    @routes.get("/history.json")
    def history_json() -> Response:
        rows = run(lambda c: past.past(c, _hours()), alone=True)
        told = [{"at": row["at"], **row["figures"]} for row in rows]
        return Response(to_json(json_of(told)), content_type="application/json")

    return routes


def _hours() -> int:
    return int(asked("hours")) if asked("hours") in {str(one) for one in SPANS} else SPANS[0]


def _plain(vitals: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that are one number, as people read them."""
    return [
        (name.removesuffix("_s").replace("_", " ") + (" (s)" if name.endswith("_s") else ""), f"{value:.4g}")
        for name, value in vitals.items()
        if isinstance(value, int | float)
    ]
