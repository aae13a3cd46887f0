"""The settings in force, without a secret, and what they meet: the database's schema and its servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from ingress.dashboard.pages import Pages
from ingress.site import Site
from shared import settings_shown
from shared.db import reports
from shared.db.migrate import pending
from shared.db.queries import failover


def setup_pages(site: Site) -> Pages:
    """/dashboard/settings."""
    routes = Pages("setup", __name__)

    @routes.page("/settings", "settings.html")
    def settings() -> Mapping[str, Any]:
        return {
            "settings": settings_shown.every(site.settings),
            **site.services.database.run(_database),
        }

    return routes


def _database(connection: Connection) -> dict[str, Any]:
    server = reports.server(connection)
    return {
        "postgres": server["version"],
        "missing_migrations": pending(connection),
        "servers": failover.servers(connection),
    }
