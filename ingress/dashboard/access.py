"""
Who may do what: one table, and one check before every page.

Source: OWASP's CSRF Prevention cheat sheet. A form counts only with the token of its session, and only if the browser
says that it comes from a page of ours: by Sec-Fetch-Site, or, where a browser does not send that, by Origin. As the
pages tell no referrer, Origin is "null" on their own forms.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from flask import Request, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response

from ingress.dashboard.pages import TWIN, is_twin
from ingress.dashboard.sessions import Sessions, csrf_of
from ingress.peer import client_ip
from shared.operators import Role
from shared.settings import Settings

CSRF_FIELD: Final = "csrf"
#: What each page needs; None: nobody has to be signed in. A page that is not here is not served.
NEEDED: Final[Mapping[str, Role | None]] = {
    "static": None,
    "sign_in.form": None,
    "sign_in.sign_in": None,
    "index": Role.VIEWER,
    "index_": Role.VIEWER,
    "account.account": Role.VIEWER,
    "account.change_password": Role.VIEWER,
    "account.sign_out": Role.VIEWER,
    "account.sign_out_everywhere": Role.VIEWER,
    "now.now": Role.VIEWER,
    "now.history": Role.VIEWER,
    "messages.listed": Role.VIEWER,
    "messages.table": Role.VIEWER,
    "messages.one": Role.VIEWER,
    "messages.cancel_": Role.OPERATOR,
    "messages.resend": Role.OPERATOR,
    "callbacks.listed": Role.VIEWER,
    "callbacks.one": Role.VIEWER,
    "callbacks.test": Role.OPERATOR,
    "callbacks.recover": Role.OPERATOR,
    "callbacks.disable": Role.OPERATOR,
    "callbacks.enable": Role.OPERATOR,
    "queues.listed": Role.VIEWER,
    "queues.pause": Role.OPERATOR,
    "queues.resume": Role.OPERATOR,
    "queues.drain": Role.OPERATOR,
    "set_aside.listed": Role.VIEWER,
    "set_aside.change": Role.OPERATOR,
    "set_aside.match": Role.OPERATOR,
    "traffic.listed": Role.VIEWER,
    "traffic.preview": Role.OPERATOR,
    "traffic.stop": Role.OPERATOR,
    "traffic.go": Role.OPERATOR,
    "traffic.pace": Role.OPERATOR,
    "traffic.release": Role.OPERATOR,
    "senders.listed": Role.VIEWER,
    "senders.sources": Role.VIEWER,
    "senders.revoke": Role.ADMIN,
    "senders.disable": Role.ADMIN,
    "senders.cap": Role.ADMIN,
    "setup.settings": Role.VIEWER,
    "audit_trail.entries": Role.VIEWER,
    "operators.listed": Role.ADMIN,
    "operators.add": Role.ADMIN,
    "operators.set_role": Role.ADMIN,
    "operators.disable": Role.ADMIN,
    "operators.enable": Role.ADMIN,
}


class Guard:
    """Runs before every request of the dashboard."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._networks = settings.dashboard_networks
        self._proxies = settings.trusted_proxies

    def __call__(self) -> Response | None:
        """Let the request pass, or answer in the page's place."""
        g.trusted_proxies = self._proxies
        if not self._is_let_in(client_ip(request)):
            abort(404)
        page = request.endpoint
        if page is None or page == "static":  # none: Flask's own 404 or 405
            return None
        page = page.removesuffix(TWIN)
        if page not in NEEDED:
            abort(404)
        g.visitor = visitor = self._sessions.visitor(request)
        if request.method not in ("GET", "HEAD"):
            _check_form(request, visitor.token)
        needed = NEEDED[page]
        if needed is None:
            return None
        if visitor.operator is None and is_twin():
            abort(401, "Sign in first; programs ask with the cookie of a session.")
        if visitor.operator is None:
            return redirect(url_for("sign_in.form"), 303)
        if not visitor.operator.role.covers(needed):
            abort(403, f"Your role is {visitor.operator.role}; this needs {needed}.")
        return None

    def _is_let_in(self, client: str) -> bool:
        if not self._networks:
            return True
        return bool(client) and any(ipaddress.ip_address(client) in network for network in self._networks)


def _check_form(request: Request, token: str) -> None:
    if not _is_ours(request):
        abort(403, "The form was not sent by a page of this dashboard.")
    given = request.form.get(CSRF_FIELD, "")
    if not hmac.compare_digest(given.encode(errors="replace"), csrf_of(token).encode()):
        abort(403, "The page was too old. Go back, load it again, and send the form again.")


def _is_ours(request: Request) -> bool:
    origin = request.headers.get("Origin")
    is_own = origin in (f"http://{request.host}", f"https://{request.host}")  # which of the two, a proxy may hide
    if (site := request.headers.get("Sec-Fetch-Site")) is not None:
        return site == "same-origin" and (is_own or origin in (None, "null"))
    return is_own
