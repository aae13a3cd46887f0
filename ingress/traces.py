"""The span of step 1, ``accept``: the request that brings messages in. The rows keep it for the steps that follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Final, TypeVar, cast

from flask import Response, request
from werkzeug.exceptions import HTTPException

from ingress.lean import request_id
from ingress.problems import Problem
from shared.db.queries.accept import Accepted, NewMessage
from shared.db.queries.providers import KeyOwner
from shared.tracing import parent_of

if TYPE_CHECKING:
    from shared.spans import Span, Tracer, Value

_ACCEPTANCE: Final = "ringpost.acceptance"
_FAILED: Final = 500

View = Callable[[], Response]
Row = TypeVar("Row")


class Acceptance:
    """One request's, while its process traces. Whoever is not known leaves no span."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._came_at = time.monotonic()
        self._span: Span | None = None
        self._told: dict[str, Value | None] = {}

    def begin(self, owner: KeyOwner) -> str | None:
        """From here on there is a span; its ``traceparent``."""
        if self._span is None:
            parent = parent_of(request.environ.get("HTTP_TRACEPARENT"))
            ago_s = time.monotonic() - self._came_at
            self._span = self._tracer.begin("accept", "server", parent, ago_s=ago_s)
            self._told = {"ringpost.provider_id": owner.provider_id, "ringpost.request_id": request_id()}
        return self._span.traceparent

    def tell(self, rows: Sequence[object], outcomes: Sequence[Accepted | Problem]) -> None:
        """What became of the calls; of a lone one more."""
        taken = [one for one in outcomes if isinstance(one, Accepted)]
        self._told["ringpost.calls"] = len(outcomes)
        self._told["ringpost.accepted"] = len(taken)
        if len(outcomes) == 1:
            self._told |= _of_row(rows[0]) | _of_outcome(outcomes[0])

    def end(self, status: int, error: str | None = None) -> None:
        """The answer is known. A refusal is no *error*: only what is our fault is one."""
        if self._span is not None:
            if error is None and status >= _FAILED:
                error = f"http_{status}"
            route = request.url_rule.rule if request.url_rule else None
            asked = {"http.request.method": request.method, "http.route": route, "http.response.status_code": status}
            self._span.end(asked | self._told, error)


def _of_row(row: object) -> dict[str, Value | None]:
    if not isinstance(row, NewMessage):
        return {}
    return {"ringpost.lane": row.lane, "ringpost.country": row.country, "ringpost.to": row.destination_masked}


def _of_outcome(outcome: Accepted | Problem) -> dict[str, Value | None]:
    if isinstance(outcome, Problem):
        return {"ringpost.refused": outcome.code}
    known = {"ringpost.message_id": outcome.id, "ringpost.status": outcome.status}
    return known | {"ringpost.is_new": outcome.is_new}


def acceptance() -> Acceptance | None:
    """Of the request at hand; None for one that no view of :func:`accepting` answers."""
    known: Acceptance | None = request.environ.get(_ACCEPTANCE)
    return known


def marked(rows: Sequence[Row], traceparent: str | None) -> list[Row]:
    """The same, the messages among them as part of the trace."""
    return [cast("Row", replace(row, traceparent=traceparent)) if isinstance(row, NewMessage) else row for row in rows]


def accepting(tracer: Tracer | None) -> Callable[[View], View]:
    """Around a view that takes messages in: a span for whoever is known. Without a *tracer*, the view itself."""

    def around(view: View) -> View:
        if tracer is None:
            return view

        @wraps(view)
        def traced() -> Response:
            here = request.environ[_ACCEPTANCE] = Acceptance(tracer)
            try:
                response = view()
            except Problem as problem:
                here.end(problem.status, problem.code if problem.status >= _FAILED else None)
                raise
            except HTTPException as error:
                here.end(error.code or _FAILED)
                raise
            except Exception as error:
                here.end(_FAILED, type(error).__name__)
                raise
            here.end(response.status_code)
            return response

        return traced

    return around
