"""The Flask app: its routes and its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter

from ingress.deliveries import delivery_routes
from ingress.docs.routes import document_routes
from ingress.endpoints import endpoint_routes
from ingress.events import event_routes
from ingress.health import health_routes
from ingress.inventory import inventory_routes
from ingress.keys import key_routes
from ingress.lean import LeanFlask, request_id
from ingress.limits import limit_routes
from ingress.make_call import make_call_routes
from ingress.messages import message_routes
from ingress.metrics import metric_routes
from ingress.okta import okta_routes
from ingress.outcomes import outcome_routes
from ingress.peer import TRUSTED_PROXIES
from ingress.preview import preview_routes
from ingress.problems import Problem
from ingress.reports import report_routes
from ingress.request_counts import RequestCounts
from ingress.site import Site
from ingress.suppressions import suppression_routes
from ingress.templates import template_routes
from ingress.webhooks import shown_path, webhook_routes
from shared.db.database import is_away

log = structlog.get_logger()


class _MessageId(BaseConverter):
    """Any part of a path but what is a route of its own, whose methods are others."""

    regex = "(?!batch$)[^/]+"


_BY_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
#: What belongs together, each on a blueprint of its own.
_ROUTES: Final[tuple[Callable[[Site], Blueprint], ...]] = (
    make_call_routes,
    okta_routes,
    message_routes,
    report_routes,
    endpoint_routes,
    delivery_routes,
    event_routes,
    outcome_routes,
    preview_routes,
    limit_routes,
    suppression_routes,
    key_routes,
    template_routes,
    webhook_routes,
    health_routes,
    metric_routes,
)


def create_app(site: Site) -> Flask:
    """The WSGI application of one ingress process."""
    app = LeanFlask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # redirects would be pages of HTML, with a URL that the sender made up
    app.url_map.converters["message"] = _MessageId
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # nobody asks, and each method more is one more to guard
    app.counts = RequestCounts(site.services.counters)
    app.config[TRUSTED_PROXIES] = site.settings.trusted_proxies
    for routes in _ROUTES:
        app.register_blueprint(routes(site))
    app.register_blueprint(inventory_routes())
    app.register_blueprint(document_routes())
    if site.settings.dashboard_enabled:
        from ingress.dashboard.mount import dashboard_routes

        app.register_blueprint(dashboard_routes(site))

    @app.errorhandler(Problem)
    def answer_problem(problem: Problem) -> Response:
        return problem.response()

    @app.errorhandler(HTTPException)
    def answer_http(error: HTTPException) -> Response:
        code = _BY_STATUS.get(error.code or 500, "invalid_json" if (error.code or 500) < 500 else "internal_error")
        response = Problem(code, error.description or "").response()
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @app.errorhandler(Exception)
    def answer_bug(error: Exception) -> Response:
        if is_away(error):
            return Problem("unavailable", "The database does not answer.", retry_after_s=1).response()
        log.error("request_failed", path=shown_path(request.path), request_id=request_id(), exc_info=error)
        return Problem("internal_error", "The fault is ours; it was logged under the requestId.").response()

    return app
