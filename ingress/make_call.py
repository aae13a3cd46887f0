"""The routes that take messages in: the demo's, and those of v1, which differ in what they are wrapped in."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies, gate, placements
from ingress.lean import json_answer
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from ingress.submissions import bounded, calls_of, result, take, told
from ingress.traces import accepting
from shared import failpoints

_LONGEST_KEY: Final = 128
_BARE: Final = frozenset(map(chr, range(0x21, 0x7F)))


def make_call_routes(site: Site) -> Blueprint:
    """POST /api/make-call, /api/make-calls, /v1/messages and /v1/messages/batch."""
    routes = Blueprint("make_call", __name__)

    traced = accepting(site.services.tracer)

    @routes.post("/api/make-call")
    @traced
    def make_call() -> Response:
        data, is_new = _one(site)
        return _noted(json_answer(to_json({"success": True, "data": data})), is_new=is_new)

    @routes.post("/v1/messages")
    @traced
    def create() -> Response:
        data, is_new = _one(site, key=request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        response = _noted(json_answer(to_json(data), 202), is_new=is_new)
        response.headers["Location"] = data["links"]["self"]
        return response

    @routes.post("/api/make-calls")
    @routes.post("/v1/messages/batch")
    @traced
    def make_calls() -> Response:
        owner = site.providers.owner(request)
        calls = calls_of(bodies.parse(bodies.read(request, bodies.BATCH_LIMIT)))
        outcomes = take(site, owner, bounded(calls))
        results = [result(site, call, outcome) for call, outcome in zip(calls, outcomes, strict=True)]
        rejected = sum("error" in one for one in results)
        counts = {"accepted": len(results) - rejected, "rejected": rejected}
        return json_answer(to_json({"success": True, "data": results, **counts}))

    return routes


def _one(site: Site, *, key: str | None = None) -> tuple[dict[str, Any], bool]:
    """What is told of the one message of this request, and whether this request stored it."""
    owner = site.providers.owner(request)
    body = _named(bodies.parse(bodies.read(request, bodies.CALL_LIMIT)), key)
    accepted = take(site, owner, [body])[0]
    if isinstance(accepted, Problem):
        raise accepted
    failpoints.hit("accept.before_reply")
    answer = None
    if wait_s := placements.wait_wanted(request.environ.get("HTTP_PREFER", "")):
        gate.step_aside(request.environ)
        answer = site.placements.wait(accepted.id, wait_s)
    return told(site, accepted, answer), accepted.is_new


def _named(body: Any, key: str | None) -> Any:
    """
    The body, with the Idempotency-Key as its messageId where it has none.

    The key is taken as the draft of the HTTP working group has it, a string in quotes, and without them.
    """
    if key is None or not isinstance(body, dict) or "messageId" in body:
        return body
    name = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(name) <= _LONGEST_KEY or not _BARE.issuperset(name):
        said = f"must be 1 to {_LONGEST_KEY} visible ASCII characters, in quotes or without"
        raise invalid([MemberError("Idempotency-Key", said)])
    return body | {"messageId": name}


def _noted(response: Response, *, is_new: bool) -> Response:
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response
