"""Errors as providers see them: RFC 9457 problem details, with the members that the demo's clients read."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Response
from pydantic_core import to_json

from ingress.lean import ALWAYS, LeanResponse, new_request_id, request_id

#: Longest list of faults in one answer, and the longest name in it: requests may be made of faults.
MOST_ERRORS: Final = 20
LONGEST_NAME: Final = 64
LONGEST_PATH: Final = 2 * LONGEST_NAME + 1

#: Each code, its HTTP status and its title.
CODES: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_json": (400, "The body is not acceptable JSON"),
    "unauthorized": (401, "A valid key is needed"),
    "forbidden": (403, "This key may not do that"),
    "prefix_quarantined": (403, "This range of numbers is not called for now"),
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "This address does not take that method"),
    "request_timeout": (408, "The request did not come in time"),
    "not_cancelable": (409, "This message cannot be canceled any more"),
    "not_reportable": (409, "This message has no outcome yet"),
    "message_id_reused": (409, "This messageId was used for another request"),
    "too_many_keys": (409, "There are as many keys as there may be"),
    "too_many_templates": (409, "There are as many templates as there may be"),
    "key_in_use": (409, "This key is the one that asks"),
    "endpoint_exists": (409, "There is an endpoint with this URL"),
    "too_many_endpoints": (409, "There are as many endpoints as there may be"),
    "endpoint_disabled": (409, "The endpoint is disabled"),
    "events_purged": (410, "These events are gone"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "invalid_request": (422, "The request is not valid"),
    "country_not_allowed": (422, "This country may not be called"),
    "number_not_allowed": (422, "This kind of number may not be called"),
    "quiet_hours": (422, "It is quiet hours until the deadline"),
    "source_not_allowed": (422, "This caller id is not configured"),
    "too_many_failures": (429, "Too many failed logins"),
    "daily_cap_reached": (429, "The day's calls are used up"),
    "number_limit": (429, "This number was called often enough for now"),
    "prefix_limit": (429, "This range of numbers was called often enough for now"),
    "provider_limit": (429, "You sent as much as you may for now"),
    "internal_error": (500, "Something went wrong on our side"),
    "overloaded": (503, "Too many requests at once"),
    "unavailable": (503, "The database does not answer"),
    "deadline_unreachable": (503, "The call could not be placed in time"),
    "dialing_stopped": (503, "Such calls are stopped for now"),
}


@dataclass(frozen=True, slots=True)
class MemberError:
    """What is wrong with one member of a request; never its value."""

    member: str
    message: str


class Problem(Exception):
    """A request that is answered with an error. Nothing was stored, unless the text says otherwise."""

    def __init__(
        self,
        code: str,
        details: str,
        *,
        errors: Sequence[MemberError] = (),
        retry_after_s: int | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            code: One of :data:`CODES`.
            details: A sentence for the engineer who reads it.
            errors: The members at fault.
            retry_after_s: When coming again makes sense, in seconds.
            more: Members that only this code has (RFC 9457 3.2).
        """
        super().__init__(code)
        self.code = code
        self.details = details
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.more = more or {}
        self.status = CODES[code][0]

    def body(self) -> dict[str, Any]:
        """The JSON members."""
        waits = {} if self.retry_after_s is None else {"retryAfterSeconds": self.retry_after_s}
        return problem_members(self.code, self.details, self.errors, request_id()) | waits | self.more

    def response(self) -> Response:
        """The whole answer."""
        answer = LeanResponse(to_json(self.body()), self.status, content_type="application/problem+json")
        if self.retry_after_s is not None:
            answer.headers["Retry-After"] = str(self.retry_after_s)
        if self.status == CODES["unauthorized"][0]:
            answer.headers["WWW-Authenticate"] = 'Basic realm="Ringpost", charset="UTF-8"'
        return answer


def problem_members(code: str, details: str, errors: Sequence[MemberError], known_as: str) -> dict[str, Any]:
    """The JSON members of one of :data:`CODES`."""
    status, title = CODES[code]
    return {
        "success": False,
        "error": title,
        "details": details,
        "type": f"/docs/errors#{code}",
        "title": title,
        "status": status,
        "code": code,
        "errors": [{"member": error.member, "message": error.message} for error in errors],
        "requestId": known_as,
    }


class Prepared:
    """An error that is told often, or before there is a Flask request: all but its id is written beforehand."""

    _ID: Final = "req_0123456789abcdef"

    def __init__(self, code: str, details: str, *, retry_after_s: int | None = None, closes: bool = False) -> None:
        """
        Args:
            code: One of :data:`CODES`.
            details: A sentence for the engineer who reads it.
            retry_after_s: When coming again makes sense, in seconds.
            closes: Of what is still to come on the connection nobody knows what it is.
        """
        self.status = CODES[code][0]
        self._parts = to_json(problem_members(code, details, (), self._ID)).split(self._ID.encode())
        self._headers = [("content-type", "application/problem+json"), *((name.lower(), text) for name, text in ALWAYS)]
        if retry_after_s is not None:
            self._headers.append(("retry-after", str(retry_after_s)))
        if closes:
            self._headers.append(("connection", "close"))

    def answer(self, known_as: str | None = None) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body, under the request's id where it has one already."""
        id_ = known_as or new_request_id()
        return self.status, [*self._headers, ("x-request-id", id_)], id_.encode().join(self._parts)


def unknown_member(name: str, known: Collection[str], *, of: str) -> str:
    """What is wrong with a member that nobody knows, and which one may have been meant."""
    near = difflib.get_close_matches(name[:LONGEST_NAME], known, n=1)
    return f"is not a member of this {of}" + (f"; did you mean {near[0]}?" if near else "")


def invalid(errors: Sequence[MemberError]) -> Problem:
    """Members that break their rules; the first is named in the sentence, and of the others as many as may be."""
    told = [MemberError(error.member[:LONGEST_PATH], error.message) for error in errors[:MOST_ERRORS]]
    first = told[0]
    return Problem("invalid_request", f"{first.member}: {first.message}", errors=told)
