"""One message's way in the order of time: what was asked, waited for, dialled, reported and told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Entry = tuple[str, str, str]


def timeline(message: Mapping[str, Any]) -> list[Entry]:
    """Moments (RFC 3339), a word for what happened, and the rest of the sentence; the earliest first."""
    return sorted([*_of_events(message), *_of_calls(message), *_of_callbacks(message)])


def _of_events(message: Mapping[str, Any]) -> Iterator[Entry]:
    for event in message["events"]:
        yield event["at"], event["type"].removeprefix("message."), event.get("reason") or ""
    if message["scheduledAt"]:
        yield message["scheduledAt"], "due", "as it was scheduled"
    if message["nextDialAt"]:
        yield message["nextDialAt"], "next dial", message["reason"] or ""


def _of_calls(message: Mapping[str, Any]) -> Iterator[Entry]:
    for call in message["attempts"]:
        which = f"call {call['number']}"
        yield call["startedAt"], "dialled", f"{which}: {call['outcome'] or 'no answer of 8x8 yet'}"
        if call["answeredAt"]:
            key = f", key {call['keyPressed']}" if call["keyPressed"] else ""
            yield call["answeredAt"], "picked up", which + key
        for leg in call["legs"]:
            if leg["initiatedAt"]:
                yield leg["initiatedAt"], "ringing", f"{which}, leg {leg['leg']}"
        if call["endedAt"]:
            heard = f", heard: {call['heard']}" if call["heard"] else ""
            yield call["endedAt"], "hung up", f"{which}: {call['sessionStatus'] or 'no status'}{heard}"


def _of_callbacks(message: Mapping[str, Any]) -> Iterator[Entry]:
    for callback in message["callbacks"]:
        for one in callback["deliveries"]:
            came = one["error"] or f"HTTP {one['httpStatus']}"
            yield one["at"], "told", f"{callback['type']} to {callback['url']}, try {one['number']}: {came}"
        if callback["nextAt"]:
            yield callback["nextAt"], "next callback", f"{callback['type']} to {callback['url']}"
