"""What a provider may send, as it holds for the key that asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies
from ingress.asking import ask
from ingress.call_request import FASTEST, MAX_PLAYS, SLOWEST, CallRequest
from ingress.intake import FARTHEST, LONGEST_TTL, SHORTEST_TTL, TTL_S
from ingress.lean import json_answer
from ingress.site import Site
from ingress.submissions import MAX_BATCH
from shared.db.queries import daily_calls
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode
from shared.sending_rules import parse_number_limits
from shared.services import pace_of
from shared.speech import MAX_SPOKEN
from shared.times import rfc3339

#: A test key's messages ring no phone and count against nothing.
_OF_TESTS: Final[Mapping[str, Any]] = {
    "dialsPerSecond": None,
    "dailyCalls": None,
    "perNumber": [],
    "perMinute": None,
    "perPrefixAndHour": None,
    "quietHours": None,
}


def limit_routes(site: Site) -> Blueprint:
    """GET /v1/limits."""
    routes = Blueprint("limits", __name__)

    @routes.get("/v1/limits")
    def limits() -> Response:
        owner = site.providers.owner(request)
        sending = _OF_TESTS if owner.mode is Mode.TEST else _of_sending(site, owner)
        return json_answer(to_json({"mode": owner.mode, **sending, **_of_requests(site, owner)}))

    return routes


def _of_sending(site: Site, owner: KeyOwner) -> dict[str, Any]:
    settings, rules = site.settings, owner.rules
    numbers = rules.number_limits
    if numbers is None:
        numbers = parse_number_limits(settings.number_limits)
    per_minute = settings.messages_per_minute if rules.messages_per_minute is None else rules.messages_per_minute
    per_prefix = settings.prefix_per_hour if rules.prefix_per_hour is None else rules.prefix_per_hour
    quiet = rules.quiet_hours
    return {
        "dialsPerSecond": {"limit": settings.dials_per_second, "isShared": True},
        "dailyCalls": _daily(site, owner),
        "perNumber": [{"limit": count, "perSeconds": seconds} for count, seconds in numbers],
        "perMinute": per_minute or None,
        "perPrefixAndHour": per_prefix or None,
        "quietHours": quiet
        and {"begin": f"{quiet.begin:%H:%M}", "end": f"{quiet.end:%H:%M}", "alertsToo": rules.quiet_alerts},
    }


def _daily(site: Site, owner: KeyOwner) -> dict[str, Any]:
    caps = daily_calls.caps_of(pace_of(site.settings))
    used, cap = ask(site, lambda c: daily_calls.of_provider(c, caps, owner.provider_id), alone=True)
    today = datetime.fromtimestamp(site.forecast.now(), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "limit": cap,
        "used": used,
        "remaining": None if cap is None else max(0, cap - used),
        "resetsAt": rfc3339(today + timedelta(days=1)),
    }


def _of_requests(site: Site, owner: KeyOwner) -> dict[str, Any]:
    settings = site.settings
    return {
        "countries": list(site.intake.countries(owner)),
        "from": list(settings.sources),
        "ttlSeconds": {
            "min": int(SHORTEST_TTL.total_seconds()),
            "max": int(LONGEST_TTL.total_seconds()),
            "default": {str(lane): seconds for lane, seconds in TTL_S.items()},
        },
        "scheduledAheadSeconds": int(FARTHEST.total_seconds()),
        "messageCharacters": {"max": settings.message_max_length, "maxSpoken": MAX_SPOKEN},
        "repetition": {"min": 1, "max": MAX_PLAYS, "default": CallRequest.model_fields["repetition"].default},
        "speed": {"min": SLOWEST, "max": FASTEST, "default": CallRequest.model_fields["speed"].default},
        "bodyBytes": {"call": bodies.CALL_LIMIT, "batch": bodies.BATCH_LIMIT},
        "callsPerBatch": MAX_BATCH,
    }
