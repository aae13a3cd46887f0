"""The Flask app: its routes and its errors."""

from __future__ import annotations

import structlog
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ingress.docs.routes import document_routes
from ingress.endpoints import endpoint_routes
from ingress.health import health_routes
from ingress.inventory import inventory_routes
from ingress.keys import key_routes
from ingress.lean import LeanFlask, request_id
from ingress.limits import limit_routes
from ingress.make_call import make_call_routes
from ingress.messages import message_routes
from ingress.metrics import metric_routes
from ingress.outcomes import outcome_routes
from ingress.peer import TRUSTED_PROXIES
from ingress.preview import preview_routes
from ingress.problems import Problem
from ingress.site import Site
from ingress.suppressions import suppression_routes
from ingress.webhooks import shown_path, webhook_routes
from shared.db.database import is_away

log = structlog.get_logger()

_BY_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def create_app(site: Site) -> Flask:
    """The WSGI application of one ingress process."""
    app = LeanFlask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # redirects would be pages of HTML, with a URL that the sender made up
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # nobody asks, and each method more is one more to guard
    app.config[TRUSTED_PROXIES] = site.settings.trusted_proxies
    for routes in _routes(site):
        app.register_blueprint(routes)
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


def _routes(site: Site) -> tuple[Blueprint, ...]:
    """Every route of the API, and the documents."""
    return (
        make_call_routes(site),
        message_routes(site),
        endpoint_routes(site),
        outcome_routes(site),
        preview_routes(site),
        limit_routes(site),
        suppression_routes(site),
        key_routes(site),
        webhook_routes(site),
        health_routes(site),
        metric_routes(site),
        inventory_routes(),
        document_routes(),
    )
