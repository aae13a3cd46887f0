"""
Flask, less what this service would pay for at each request and never uses.

No sessions, no routing by host, no hooks around requests, no signals, and answers whose bytes are known. Routes,
blueprints, views and error handlers are Flask's own.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response, has_request_context, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter, Rule

from ingress.request_counts import RequestCounts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_REQUEST_ID: Final = "ringpost.request_id"
#: In a request's environ, where its answer is to be sent piece by piece.
STREAMED: Final = "ringpost.streamed"
#: Ids must differ, not surprise: asking the kernel for random bytes gives the interpreter away to other requests.
_PROCESS: Final = secrets.token_hex(5)
_COUNT: Final = itertools.count(1)
#: On every answer: none may be kept by a proxy or taken for a page.
ALWAYS: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


def request_id() -> str:
    """The id that this request is known by in its answer, in errors and in logs."""
    return id_of(request.environ)


def log_ids() -> dict[str, str]:
    """What each log line names while a request is answered."""
    return {"request_id": request_id()} if has_request_context() else {}


def id_of(environ: WSGIEnvironment) -> str:
    """The id of the request that *environ* is of."""
    known: str | None = environ.get(_REQUEST_ID)
    if known is None:
        known = environ[_REQUEST_ID] = new_request_id()
    return known


def new_request_id() -> str:
    """A new one, for an answer that Flask does not give."""
    return f"req_{_PROCESS}{next(_COUNT):06x}"


class LeanResponse(Response):
    """An answer with its request's id, sent as it is when its whole body is there."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it (PEP 3333)."""
        headers = self.headers
        if environ["REQUEST_METHOD"] == "HEAD" or "Content-Length" not in headers:
            headers.extend((*ALWAYS, ("X-Request-Id", id_of(environ))))
            return super().__call__(environ, start_response)
        start_response(self.status, [*headers, *ALWAYS, ("X-Request-Id", id_of(environ))])
        return self.response  # type: ignore[return-value]  # bytes, as the length is known


def streamed_answer(pieces: Iterable[bytes], content_type: str) -> LeanResponse:
    """An answer that is made while it is on its way; only from a thread of the server's own, never on its loop."""
    request.environ[STREAMED] = True
    return LeanResponse(pieces, content_type=content_type)


def json_answer(body: bytes, status: int = 200) -> LeanResponse:
    """An answer of JSON."""
    return LeanResponse(body, status, content_type="application/json")


class _NoSessions(SessionInterface):
    """Nobody has one."""

    _NONE: Final = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        return self._NONE


class LeanFlask(Flask):
    """The same application object to all who register routes and error handlers."""

    response_class = LeanResponse
    session_interface = _NoSessions()
    counts: RequestCounts | None = None

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes depend on method and path alone; where the path is the whole rule, nothing is left to match."""
        if request is None:
            return None
        if rule := self._whole_paths.get((request.method, request.path)):
            request.url_rule, request.view_args = rule, {}
            return None
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name="/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )

    @cached_property
    def _whole_paths(self) -> Mapping[tuple[str, str], Rule]:
        """Rules without a variable part."""
        plain = [rule for rule in self.url_map.iter_rules() if not rule.arguments]
        return {(method, rule.rule): rule for rule in plain for method in rule.methods or ()}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine."""
        return func

    def full_dispatch_request(self) -> Response:
        """One view or one error handler, and nothing around it."""
        try:
            response = self.make_response(self.dispatch_request())
        except Exception as error:  # noqa: BLE001  the error handlers tell them apart
            response = self.make_response(self.handle_user_exception(error))
        if self.counts is not None:
            asked: Any = request
            self.counts.answered(asked._get_current_object(), response.status_code)  # noqa: SLF001  no look by proxy
        return response

    def do_teardown_request(self, exc: Any = None) -> None:
        """Nothing was set up."""

    def do_teardown_appcontext(self, exc: Any = None) -> None:
        """Nothing was set up."""
