"""What a monitoring system asks for, in Prometheus's text format; nobody else may."""

from __future__ import annotations

import hmac
import threading
import time
from typing import Final

from flask import Blueprint, Response, request

from ingress.problems import Problem
from ingress.site import Site
from shared.db.queries.daily_calls import caps_of
from shared.services import pace_of
from shared.vitals import exposition, gather

#: So long an answer is given again, in seconds: however many ask, PostgreSQL is asked once.
_KEEP_S: Final = 5.0
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def metric_routes(site: Site) -> Blueprint:
    """GET /metrics, for whoever bears METRICS_TOKEN; without that setting there is no such address."""
    routes = Blueprint("metrics", __name__)
    lock = threading.Lock()
    kept: list[tuple[float, str]] = []

    def current() -> str:
        with lock:
            if not kept or time.monotonic() - kept[0][0] > _KEEP_S:
                services = site.services
                caps = caps_of(pace_of(site.settings))
                figures = gather(services.database, services.broker.client, site.settings.spool_dir, caps)
                kept[:] = [(time.monotonic(), exposition(figures))]
            return kept[0][1]

    @routes.get("/metrics")
    def metrics() -> Response:
        token = site.settings.metrics_token
        if token is None:
            raise Problem("not_found", "There are no metrics without METRICS_TOKEN.")
        asked = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(asked, f"Bearer {token.get_secret_value()}".encode()):
            raise Problem("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.")
        return Response(current(), content_type=_TYPE)

    return routes
