"""
The door in front of the app. Submissions that could not be answered in good time are refused at once and cheaply,
and whoever sends little is let in before whoever sends much.

A request holds a thread of the server from its first byte to its last, so a flood must not queue where nobody sees
it. What would wait too long is told so within microseconds, unparsed and unauthenticated. Other routes just pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from pydantic_core import to_json

from ingress.problems import CODES, problem_members
from ingress.turns import Turns

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_CALL: Final = "/api/make-call"
_BATCH: Final = "/api/make-calls"
#: A request is let wait if its answer should take no longer than this, in seconds: one call, a batch.
_CALL_S: Final = 0.25
_BATCH_S: Final = 1.0
#: A batch counts as one call for so many bytes: it spares the request around each call, not the work on it.
_BYTES_A_CALL: Final = 400
#: A longer body is refused unread.
_LONGEST: Final = 2 * 1024 * 1024
_RETRY_AFTER_S: Final = 1

_LEAVE: Final = "ringpost.leave_gate"

_CODE: Final = "overloaded"
_STATUS: Final = f"{CODES[_CODE][0]} Service Unavailable"
_ID: Final = "req_0123456789abcdef"
_BODY: Final = to_json(problem_members(_CODE, "Too many requests wait. Nothing was stored.", (), _ID))
_BEFORE_ID, _AFTER_ID = _BODY.split(_ID.encode())
_HEADERS: Final = [
    ("Content-Type", "application/problem+json"),
    ("Content-Length", str(len(_BODY))),
    ("Retry-After", str(_RETRY_AFTER_S)),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]


class Gate:
    """The WSGI application that lets requests through to another."""

    def __init__(self, app: Wsgi, turns: Turns | None = None) -> None:
        self._app = app
        self._turns = turns or Turns()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on, in its turn, or refuse it."""
        path = environ["PATH_INFO"]
        # By what is sent to authenticate with, checked or not: whoever invents keys stands in as many lines.
        sender = environ.get("HTTP_AUTHORIZATION", "")
        if path == _CALL:
            turn = self._turns.enter(sender, 1, good_time_s=_CALL_S)
        elif path == _BATCH:
            # Batches have a line of their own beside the calls of the same sender.
            turn = self._turns.enter(sender + _BATCH, _calls(environ), good_time_s=_BATCH_S)
        else:
            return self._app(environ, start_response)
        if turn is None:
            return _refuse(start_response)
        leave = partial(self._turns.leave, turn)
        environ[_LEAVE] = leave
        try:
            return self._app(environ, start_response)
        finally:
            leave()


def step_aside(environ: Environ) -> None:
    """The request's work is done, it only waits from now on: let others in."""
    leave = environ.get(_LEAVE)
    if leave is not None:
        leave()


def _calls(environ: Environ) -> int:
    length = environ.get("CONTENT_LENGTH") or ""
    is_number = length.isascii() and length.isdecimal() and len(length) <= len(str(_LONGEST))
    return max(1, min(int(length), _LONGEST) // _BYTES_A_CALL) if is_number else 1


def _refuse(start_response: Callable[..., Any]) -> Iterable[bytes]:
    request_id = "req_" + secrets.token_hex(8)
    start_response(_STATUS, [*_HEADERS, ("X-Request-Id", request_id)])
    return [_BEFORE_ID + request_id.encode() + _AFTER_ID]
