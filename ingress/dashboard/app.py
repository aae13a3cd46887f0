"""The dashboard's Flask app: its pages, what goes before each, and the headers behind each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from flask import Flask, Response, g, redirect, render_template, request, url_for
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from ingress.dashboard.access import Guard
from ingress.dashboard.account import account_pages
from ingress.dashboard.audit_trail import audit_pages
from ingress.dashboard.callbacks import callback_pages
from ingress.dashboard.messages import message_pages
from ingress.dashboard.now import now_pages
from ingress.dashboard.operators import operator_pages
from ingress.dashboard.queues import queue_pages
from ingress.dashboard.senders import sender_pages
from ingress.dashboard.sessions import Sessions, csrf_of
from ingress.dashboard.set_aside import set_aside_pages
from ingress.dashboard.setup import setup_pages
from ingress.dashboard.sign_in import SignIn, sign_in_pages
from ingress.dashboard.traffic import traffic_pages
from ingress.lean import request_id
from ingress.metrics import kept
from ingress.peer import TRUSTED_PROXIES
from ingress.site import Site
from shared.db.database import is_away
from shared.db.queries.daily_calls import caps_of
from shared.operators import Role
from shared.services import pace_of
from shared.times import age
from shared.vitals import Vitals

log = structlog.get_logger()

#: Source: reliability requirements U2; OWASP's HTTP Headers and CSP cheat sheets.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=31536000"
#: A form is a few lines; in bytes.
_LONGEST_FORM: Final = 16 * 1024


def create_dashboard(site: Site) -> Flask:
    """The WSGI application of the operators' pages."""
    app = Flask(__name__, static_url_path="/dashboard/static")
    app.config[TRUSTED_PROXIES] = site.settings.trusted_proxies
    app.config["MAX_CONTENT_LENGTH"] = _LONGEST_FORM
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"age": age, "moment": _moment, "words": _words, "noted": _noted}
    app.jinja_env.globals["given"] = _given
    sessions = Sessions(site.services.database, site.settings)
    sign_in = SignIn(site.services.database, site.settings, sessions)
    app.before_request(Guard(sessions, site.settings))
    app.after_request(_with_headers)
    app.after_request(sessions.give)
    app.context_processor(_known_to_templates)
    services = site.services
    caps = caps_of(pace_of(site.settings))
    figures = kept(Vitals(services.database, services.broker.client, site.settings.spool_dir, caps).read)
    pages = (
        sign_in_pages(sign_in),
        account_pages(site, sign_in, sessions),
        now_pages(site, figures),
        message_pages(site),
        callback_pages(site),
        queue_pages(site, figures),
        set_aside_pages(site),
        traffic_pages(site),
        sender_pages(site),
        audit_pages(site),
        setup_pages(site),
        operator_pages(site),
    )
    for blueprint in pages:
        app.register_blueprint(blueprint, url_prefix="/dashboard")
    app.add_url_rule("/dashboard/", "index", _index)
    app.add_url_rule("/dashboard", "index_", _index)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_bug)
    return app


def _index() -> AnyResponse:
    return redirect(url_for("now.now"), 303)


def _with_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    if _is_https():
        response.headers["Strict-Transport-Security"] = _HSTS
    return response


def _is_https() -> bool:
    """As the browser sees it: a proxy that is trusted tells."""
    if request.scheme == "https":
        return True
    proxies = g.get("trusted_proxies", 0)
    return proxies > 0 and request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip() == "https"


def _known_to_templates() -> dict[str, Any]:
    visitor = g.get("visitor")
    operator = visitor.operator if visitor else None
    return {
        "csrf": csrf_of(visitor.token) if visitor else "",
        "operator": operator,
        "may_act": operator is not None and operator.role.covers(Role.OPERATOR),
        "may_admin": operator is not None and operator.role.covers(Role.ADMIN),
    }


def _moment(at: Any) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _words(value: Any) -> str:
    """A list or an object in one line."""
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{name}: {_words(one)}" for name, one in value.items() if one not in (None, "", [], {})) or "-"
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "-"
    return _moment(value) if isinstance(value, datetime) else str(value)


def _noted(value: Any) -> str:
    """What the audit trail holds, as short as it can be read."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_noted_word(one)}" for name, one in value.items())
    return _noted_word(value)


def _noted_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _given(asked: Mapping[str, str]) -> dict[str, str]:
    """What a filter says, for an address."""
    return {name: value for name, value in asked.items() if value}


def _answer_http(error: HTTPException) -> tuple[str, int] | AnyResponse:
    if error.response is not None:  # a redirect in a view's midst
        return error.response  # type: ignore[return-value]  # nothing of ours aborts with another kind
    return _page(error.name, error.description or "", error.code or 500)


def _answer_bug(error: Exception) -> tuple[str, int]:
    if is_away(error):
        return _page("Not now", "The database does not answer. Try again in a moment.", 503)
    log.error("request_failed", path=request.path, request_id=request_id(), exc_info=error)
    return _page("Our fault", f"It was logged as {request_id()}.", 500)


def _page(title: str, text: str, status: int) -> tuple[str, int]:
    return render_template("message.html", title=title, text=text, back=None), status
