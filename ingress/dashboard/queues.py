"""What waits where, who works on it, and the switches of both: a lane is paused, a process is drained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import abort, redirect, url_for
from werkzeug.wrappers import Response

from ingress.dashboard.pages import Note, Pages, act, who
from ingress.site import Site
from shared.db import reports
from shared.db.queries import lanes, processes
from shared.lifecycle import Lane


def queue_pages(site: Site, figures: Callable[[], dict[str, Any]]) -> Pages:
    """
    /dashboard/queues, the switches of lanes, and the draining of processes.

    Args:
        site: Of this process.
        figures: Of :mod:`shared.vitals`.
    """
    routes, run = Pages("queues", __name__), site.services.database.run

    @routes.page("/queues", "queues.html")
    def listed() -> Mapping[str, Any]:
        vitals = figures()
        return {
            "lanes": run(reports.lanes, alone=True),
            "queues": [
                {"queue": queue, "listeners": count, "dead_letters": vitals.get("dead_letters", {}).get(queue)}
                for queue, count in vitals.get("consumers", {}).items()
            ],
            "inbox": run(reports.inbox, alone=True),
            "callbacks": run(reports.callback_states, alone=True),
            "processes": run(processes.listed, alone=True),
            "redis_up": vitals["redis_up"] == 1,
        }

    _add_lanes(routes, site)

    @routes.post("/processes/<id_>/drain")
    def drain(id_: str) -> Response | tuple[str, int]:
        by = who()
        return act(
            site,
            lambda c: processes.ask_to_drain(c, id_, by=by),
            Note("process.drain", id_, {"draining": False}, {"draining": True}),
            back=url_for("queues.listed"),
            why="The process is gone, or drains already.",
        )

    return routes


def _add_lanes(routes: Pages, site: Site) -> None:
    run = site.services.database.run

    @routes.post("/lanes/<lane>/pause")
    def pause(lane: str) -> Response:
        by = who()
        run(lambda c: lanes.pause(c, _lane(lane), actor=by))
        return redirect(url_for("queues.listed"), 303)

    @routes.post("/lanes/<lane>/resume")
    def resume(lane: str) -> Response:
        by = who()
        run(lambda c: lanes.resume(c, _lane(lane), actor=by))
        return redirect(url_for("queues.listed"), 303)


def _lane(text: str) -> Lane:
    if text not in set(Lane):
        abort(404)
    return Lane(text)
