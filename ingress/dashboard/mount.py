"""Where the dashboard's app hangs in the API's."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, request
from werkzeug.wrappers import Response

from ingress.dashboard.app import create_dashboard
from ingress.lean import ALWAYS, LeanResponse
from ingress.site import Site

_RULES: Final = ("/dashboard", "/dashboard/", "/dashboard/<path:rest>")
#: Every answer of the API's app gets these anyway.
_TWICE: Final = frozenset(name for name, _ in ALWAYS)


def dashboard_routes(site: Site) -> Blueprint:
    """/dashboard and all below it."""
    routes = Blueprint("dashboard", __name__)
    dashboard = create_dashboard(site)

    def answer(rest: str = "") -> LeanResponse:  # noqa: ARG001  the other app reads the path itself
        given = Response.from_app(dashboard, request.environ, buffered=True)
        headers = [(name, value) for name, value in given.headers if name not in _TWICE]
        return LeanResponse(given.get_data(), given.status_code, headers=headers)

    for rule in _RULES:
        routes.add_url_rule(
            rule, view_func=answer, endpoint="pages", methods=["GET", "POST"], provide_automatic_options=False
        )
    return routes
