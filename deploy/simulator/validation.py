"""
Accept or refuse a callflow in 8x8's order and with 8x8's codes.

Source: 8x8's table of status codes; the order is a reading of it: JSON -1001, entries -1009, action names
-1007, first action -1013, counts -1010, hangup -1012, digits -1003/-1005/-1006/-1008, destination
-1011/-1017, caller id -1014, voice -1002, characters -1016, validUntil -1015.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from deploy.simulator.codes import Refusal
from deploy.simulator.shapes import ACTIONS, ShapeError, check_entry, check_text, parse_time
from deploy.simulator.voices import VOICE_CODES, country_of

Action = dict[str, Any]

MAX_MAKE_CALLS: Final = 2
_MSISDN: Final = re.compile(r"\+?[1-9][0-9]{6,14}")
_SEVERAL: Final = re.compile(r"[,;]")
# 8x8 lists no set. Control characters, markup and pictographs are what no voice can read.
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f<>\u2600-\u27bf\U0001f000-\U0001faff]")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the account permits. ``caller_ids`` None allows any; ``is_strict`` False checks the shape only."""

    caller_ids: frozenset[str] | None = None
    is_strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Callflow:
    """An accepted request, numbers with their ``+``, actions without the leading makeCall."""

    source: str
    destination: str
    actions: list[Action]
    valid_until: datetime | None = None
    valid_until_text: str | None = None
    client_request_id: str | None = None
    client_batch_id: str | None = None


def with_plus(number: str) -> str:
    """8x8 takes numbers with or without ``+`` and always gives them back with it."""
    return number if number.startswith("+") else f"+{number}"


def check_request(raw: bytes, rules: Rules, *, now: datetime) -> Callflow | Refusal:
    """Read a request body; the first rule it breaks is the one reported."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return Refusal.of(-1001)
    try:
        actions = _entries(body)
        for name in ("clientRequestId", "clientBatchId"):
            check_text(body.get(name), f"$.{name}", longest=50, is_required=False)
        valid_until = parse_time(body.get("validUntil"), "$.validUntil")
    except ShapeError as error:
        return Refusal(-1009, str(error))
    refusal = _order(actions, is_reply=False)
    if refusal is None and rules.is_strict:
        refusal = _digits(actions) or _numbers(actions, rules) or _speech(actions)
        if refusal is None and valid_until is not None and valid_until <= now:
            refusal = Refusal.of(-1015)
    return refusal or _callflow(body, actions, valid_until)


def check_reply(raw: bytes) -> list[Action] | Refusal:
    """Read the answer to a VCA: as a request, but it need not begin with makeCall; a refusal means -2003."""
    try:
        actions = _entries(json.loads(raw))
    except (ValueError, RecursionError) as error:
        return Refusal(-1009, str(error))
    return _order(actions, is_reply=True) or _digits(actions) or _speech(actions) or actions


def _entries(body: Any) -> list[Action]:
    """Return the actions when every entry has the documented shape."""
    if not isinstance(body, dict):
        raise ShapeError("$: must be an object")
    actions = body.get("callflow")
    if not isinstance(actions, list) or not actions:
        raise ShapeError("$.callflow: is missing but it is required")
    for index, entry in enumerate(actions):
        check_entry(entry, f"$.callflow[{index}]")
    return actions


def _order(actions: list[Action], *, is_reply: bool) -> Refusal | None:
    names = [action["action"] for action in actions]
    for index, name in enumerate(names):
        if name not in ACTIONS:
            return Refusal(-1007, f"$.callflow[{index}].action: {name} is not a valid action")
    if names[0] != "makeCall" and not is_reply:
        return Refusal.of(-1013)
    if names.count("makeCall") > MAX_MAKE_CALLS:
        return Refusal.of(-1010)
    if "hangup" in names[:-1]:
        return Refusal.of(-1012)
    return None


def _digits(actions: list[Action]) -> Refusal | None:
    for action in actions:
        if action["action"] != "sayAndCapture":
            continue
        params = action["params"]
        given = {name for name, value in params.items() if value is not None}
        if "minDigits" in given and "maxDigits" not in given:
            return Refusal.of(-1003)
        if "digitTimeout" in given:
            if "overallTimeout" not in given:
                return Refusal.of(-1005)
            if params["overallTimeout"] <= params["digitTimeout"]:
                return Refusal.of(-1006)
        if params.get("completeOnHash") is False and "maxDigits" not in given:
            return Refusal.of(-1008)
    return None


def _numbers(actions: list[Action], rules: Rules) -> Refusal | None:
    calls = [action["params"] for action in actions if action["action"] == "makeCall"]
    for params in calls:
        destination = params["destination"]
        if isinstance(destination, list) or _SEVERAL.search(destination):
            return Refusal.of(-1011)
        if not _MSISDN.fullmatch(destination) or country_of(with_plus(destination)) is None:
            return Refusal.of(-1017)
    if rules.caller_ids is not None:
        for params in calls:
            if with_plus(params["source"]) not in rules.caller_ids:
                return Refusal.of(-1014)
    return None


def _speech(actions: list[Action]) -> Refusal | None:
    spoken = [action["params"] for action in actions if action["action"] in ("say", "sayAndCapture")]
    for params in spoken:
        if params["voiceProfile"] not in VOICE_CODES:
            return Refusal.of(-1002)
    for params in spoken:
        for name in ("text", "promptMessage", "successMessage", "failureMessage"):
            if _UNSPEAKABLE.search(params.get(name) or ""):
                return Refusal.of(-1016)
    return None


def _callflow(body: Action, actions: list[Action], valid_until: datetime | None) -> Callflow:
    first = actions[0]["params"]
    return Callflow(
        source=with_plus(first["source"]),
        destination=with_plus(str(first["destination"])),
        actions=actions[1:],
        valid_until=valid_until,
        valid_until_text=body.get("validUntil"),
        client_request_id=body.get("clientRequestId"),
        client_batch_id=body.get("clientBatchId"),
    )
