"""
Okta's telephony inline hook: an organisation's sign-in codes, spoken by us.

Okta asks, waits a few seconds, and goes to a provider of its own where it hears of an error. So it is told the truth:
PENDING once the message is stored, an error where it is not, also where the code would come too late.
Source: Okta's reference of the telephony inline hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies
from ingress.lean import json_answer, request_id
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from ingress.submissions import take
from ingress.traces import accepting
from shared.db.queries.accept import Accepted

PATH: Final = "/integrations/okta/telephony"
_COMMAND: Final = "com.okta.telephony.action"
_PROVIDER: Final = "Ringpost"
_CALLS: Final = frozenset({"voice call", "voice", "call"})
#: Before the event's id, so that an organisation's own messageIds and Okta's never meet.
_PREFIX: Final = "okta-"
_LONGEST_EVENT_ID: Final = 128 - len(_PREFIX)
_LONGEST_CODE: Final = 12
_PLAIN_TEXT: Final = "Your verification code is {code}."
_PROFILE: Final = "data.messageProfile"
#: Where Okta's request has what a call's member was made of.
_LOCATIONS: Final = {
    "messageId": "eventId",
    "customerPhone": f"{_PROFILE}.phoneNumber",
    "message": f"{_PROFILE}.msgTemplate",
    "code": f"{_PROFILE}.otpCode",
    "language": f"{_PROFILE}.locale",
    "expiresAt": f"{_PROFILE}.otpExpires",
}


def okta_routes(site: Site) -> Blueprint:
    """POST /integrations/okta/telephony."""
    routes = Blueprint("okta", __name__)

    @routes.post(PATH)
    @accepting(site.services.tracer)
    def telephony() -> Response:
        owner = site.providers.owner(request)
        body = bodies.parse(bodies.read(request, bodies.CALL_LIMIT))
        try:
            outcome = take(site, owner, [call_of(body)])[0]
        except Problem as problem:
            outcome = problem
        if isinstance(outcome, Problem):
            return _refused(outcome)
        return json_answer(to_json(_told("PENDING", outcome)))

    return routes


def call_of(body: Any) -> dict[str, Any]:
    """
    The make-call body that says what Okta's request says.

    Raises:
        Problem: 422, naming Okta's members: it is no request for a call, or lacks what a call needs.
    """
    event_id = body.get("eventId") if isinstance(body, dict) else None
    profile = _profile(body)
    errors = [
        MemberError(f"{_PROFILE}.{name}", "must be a string")
        for name in ("phoneNumber", "otpCode")
        if not isinstance(profile.get(name), str)
    ]
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= _LONGEST_EVENT_ID:
        errors.append(MemberError("eventId", f"must be a string of 1 to {_LONGEST_EVENT_ID} characters"))
    channel = profile.get("deliveryChannel", "voice call")
    if not isinstance(channel, str) or channel.lower() not in _CALLS:
        errors.append(MemberError(f"{_PROFILE}.deliveryChannel", "must be a voice call: no text messages are sent"))
    if errors:
        raise invalid(errors)
    call = {
        "messageId": f"{_PREFIX}{event_id}",
        "customerPhone": profile["phoneNumber"],
        "message": _text(profile),
        "code": profile["otpCode"],
        "type": "otp",
    }
    optional = {"language": profile.get("locale"), "expiresAt": profile.get("otpExpires")}
    return call | {name: value for name, value in optional.items() if value is not None}


def _profile(body: Any) -> Mapping[str, Any]:
    data = body.get("data") if isinstance(body, dict) else None
    profile = data.get("messageProfile") if isinstance(data, dict) else None
    if not isinstance(profile, dict):
        raise invalid([MemberError(_PROFILE, "is required, as Okta's telephony inline hook sends it")])
    return profile


def _text(profile: Mapping[str, Any]) -> Any:
    """Okta's text, with a place for the code, so that it is spoken digit by digit."""
    text, code = profile.get("msgTemplate") or _PLAIN_TEXT, profile["otpCode"]
    if not isinstance(text, str) or not 1 <= len(code) <= _LONGEST_CODE:
        return text
    spelled = text.replace(code, "{code}")
    return spelled if "{code}" in spelled else f"{spelled} {{code}}"


def _told(status: str, accepted: Accepted | None, metadata: str | None = None) -> dict[str, Any]:
    action = {
        "status": status,
        "provider": _PROVIDER,
        "transactionId": accepted.id if accepted else request_id(),
        "transactionMetadata": accepted.message_id if accepted else metadata,
    }
    return {"commands": [{"type": _COMMAND, "value": [action]}]}


def _refused(problem: Problem) -> Response:
    """An error as Okta reads it, with the status that the same refusal has everywhere."""
    causes = [
        {"errorSummary": problem.code, "reason": error.message, "location": _LOCATIONS.get(error.member, error.member)}
        for error in problem.errors
    ] or [{"errorSummary": problem.code, "reason": problem.details, "location": PATH}]
    told = {"error": {"errorSummary": problem.details, "errorCauses": causes}}
    answer = json_answer(to_json(told | _told("FAILED", None, problem.code)), problem.status)
    if problem.retry_after_s is not None:
        answer.headers["Retry-After"] = str(problem.retry_after_s)
    return answer
