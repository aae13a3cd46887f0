"""Whether this process lives, and whether it can take messages."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress.lean import json_answer
from ingress.site import Site
from shared.db.database import is_away
from shared.db.migrate import pending


def health_routes(site: Site) -> Blueprint:
    """GET /healthz and /readyz."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return json_answer(b'{"status":"ok"}')

    @routes.get("/readyz")
    def readyz() -> Response:
        database = _database(site)
        redis = _redis(site)
        # Redis is not needed to take messages: its absence is told, not held against us.
        is_ready = database == "ok" and not site.leaving.is_set()
        body = {"status": "ok" if is_ready else "unavailable", "database": database, "redis": redis}
        return json_answer(to_json(body), 200 if is_ready else 503)

    return routes


def _database(site: Site) -> str:
    def look(connection: Connection) -> str:
        return "migrations pending" if pending(connection) else "ok"

    try:
        return site.services.database.run(look, patience_s=0.5)
    except Exception as error:
        if not is_away(error):
            raise
        return "away"


def _redis(site: Site) -> str:
    try:
        site.services.broker.client.ping()
    except Exception:  # noqa: BLE001  whatever it is, it is told
        return "away"
    return "ok"
