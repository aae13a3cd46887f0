"""What a monitoring system asks for, in Prometheus's formats; nobody else may."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Response, request

from ingress.exposition import exposition
from ingress.problems import Problem
from ingress.site import Site
from shared.db.queries.daily_calls import caps_of
from shared.services import pace_of
from shared.vitals import Vitals

#: So long figures are told again, in seconds: however many ask, PostgreSQL is asked once.
_KEEP_S: Final = 5.0


def metric_routes(site: Site) -> Blueprint:
    """GET /metrics, for whoever bears METRICS_TOKEN; without that setting there is no such address."""
    routes = Blueprint("metrics", __name__)
    services = site.services
    caps = caps_of(pace_of(site.settings))
    vitals = Vitals(services.database, services.broker.client, site.settings.spool_dir, caps, counted=True)
    current = kept(vitals.read)

    @routes.get("/metrics")
    def metrics() -> Response:
        token = site.settings.metrics_token
        if token is None:
            raise Problem("not_found", "There are no metrics without METRICS_TOKEN.")
        asked = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(asked, f"Bearer {token.get_secret_value()}".encode()):
            raise Problem("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.")
        body, content_type = exposition(current(), request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return routes


def kept(read: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """*read*, asked once in 5 s however many ask; by any thread."""
    lock = threading.Lock()
    last: list[tuple[float, dict[str, Any]]] = []

    def current() -> dict[str, Any]:
        with lock:
            if not last or time.monotonic() - last[0][0] > _KEEP_S:
                figures = read()
                last[:] = [(time.monotonic(), figures)]
            return last[0][1]

    return current
