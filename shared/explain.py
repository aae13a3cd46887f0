"""
What became of a message, in words: what happened, whose side it was, what happens next. Pure.

For the engineer of a provider and for whoever is paged: nobody should have to know our statuses to read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from shared.lifecycle import DOUBTFUL, FINALS, SPOKEN, WAITING, CallbackState, Status
from shared.reasons import Reason, meaning_of
from shared.times import parse_time

Story = Mapping[str, Any]

_HEARD: Final = {
    "full": "heard the whole text at least once",
    "partial": "heard a part of the text only",
    "none": "heard nothing of the text",
    "unknown": "may have heard the text: nobody told how long the call was",
}
_NO_CALL: Final = "the call to {to} did not get through"
_SAID: Final = {
    Status.SCHEDULED: "the message for {to} waits to be called",
    Status.QUEUED: "the message for {to} waits to be called",
    Status.DIALING: "8x8 is being asked right now to call {to}",
    Status.PLACED: "8x8 has taken the call to {to}",
    Status.ANSWERED: "the phone at {to} was answered",
    Status.DIAL_UNKNOWN: "nobody knows yet whether the phone at {to} rang",
    Status.DELIVERED: "the phone at {to} was answered, and whoever answered {heard}",
    Status.UNDETERMINED: "nobody could find out whether the phone at {to} rang",
    Status.CANCELED: "the message for {to} was canceled",
    Status.EXPIRED: "the message for {to} came too late to be spoken",
    Status.BLOCKED: "{to} was not called",
    Status.NO_ANSWER: _NO_CALL,
    Status.BUSY: _NO_CALL,
    Status.FAILED: _NO_CALL,
}
#: By whether it is doubtful that there was a call.
_REPORT_TO_COME: Final = {
    False: "8x8's report tells how it ends",
    True: "8x8's report settles it, and it is not called again unless you asked for that",
}
_WAITS: Final = {
    Reason.DIALING_STOPPED: "the operator has stopped such calls for now",
    Reason.DAILY_CAP: "the day's calls are used up",
    Reason.QUIET_HOURS: "it is quiet hours where the phone is",
    Reason.NO_ANSWER: "nobody answered the call before",
    Reason.BUSY: "the phone was busy at the call before",
}
#: What holds a message until somebody or something lets it go, at its deadline at the latest.
_HOLDS: Final = frozenset({Reason.DIALING_STOPPED, Reason.QUIET_HOURS, Reason.DAILY_CAP})


def explain(story: Story) -> dict[str, Any]:
    """
    The explanation of a message.

    Args:
        story: As :func:`shared.db.story.of_provider` gives it.

    Returns:
        ``sentence`` for people; ``happened``, ``party`` and ``next``, of which it is made; ``facts`` for programs, in
        seconds and RFC 3339 times.
    """
    happened, then = _happened(story), _next(story)
    return {
        "id": story["id"],
        "messageId": story["messageId"],
        "status": story["status"],
        "sentence": f"{happened[0].upper()}{happened[1:]}; {then}.",
        "happened": happened,
        "party": story["party"],
        "next": then,
        "facts": _facts(story),
    }


def _happened(story: Story) -> str:
    status, meaning = Status(story["status"]), meaning_of(story["reason"])
    why = _clause(meaning.text) if meaning else ""
    attempts = len(story["attempts"])
    said = _SAID[status].format(to=story["to"], heard=_HEARD[_heard(story)])
    if status in WAITING:
        wait = _WAITS.get(story["reason"], why)
        return said + (f", as {wait}" if wait else "")
    if status not in SPOKEN and why:
        said += f": {why}"
    return said + (f" (call {attempts} of {attempts})" if attempts > 1 and status in FINALS else "")


def _next(story: Story) -> str:
    status, told = Status(story["status"]), _told(story["callbacks"])
    if status in WAITING and story["reason"] in _HOLDS:
        return f"it is called when that is over, or expires at {story['expiresAt']}"
    if status in WAITING:
        return f"it is called at {story['nextDialAt']}" if story["nextDialAt"] else "it is called as soon as it can be"
    if status not in FINALS:
        return _REPORT_TO_COME[status in DOUBTFUL]
    if status in SPOKEN:
        return told
    again = "you may send it again under another messageId" if story["retryable"] else "sending it again will not help"
    if status in DOUBTFUL:
        again = "a late report of 8x8's would correct it; sending it again may ring the phone twice"
    elif story["reason"] == Reason.CANCELED_BY_SENDER:
        again = "nothing more happens"
    return f"{again}, and {told}"


def _told(callbacks: Sequence[Mapping[str, Any]]) -> str:
    if not callbacks:
        return "no endpoint of yours wanted to be told"
    states = Counter(one["state"] for one in callbacks)
    if parked := states[CallbackState.PARKED]:
        return f"{parked} of {len(callbacks)} callbacks could not be delivered and can be sent again"
    if waiting := states[CallbackState.DUE] + states[CallbackState.SENDING]:
        return f"{waiting} of {len(callbacks)} callbacks are still to be delivered"
    return "your endpoint was told"


def _facts(story: Story) -> dict[str, Any]:
    attempts = story["attempts"]
    last = attempts[-1] if attempts else {}
    first_dial = attempts[0]["startedAt"] if attempts else None
    answered = next((one["answeredAt"] for one in attempts if one["answeredAt"]), None)
    callbacks = Counter(one["state"] for one in story["callbacks"])
    due = [one["nextAt"] for one in story["callbacks"] if one["nextAt"] and one["state"] == CallbackState.DUE]
    return {
        "reason": story["reason"],
        "retryable": story["retryable"],
        "attempts": len(attempts),
        "createdAt": story["createdAt"],
        "expiresAt": story["expiresAt"],
        "nextDialAt": story["nextDialAt"],
        "dialedAt": first_dial,
        "answeredAt": answered,
        "endedAt": last.get("endedAt"),
        "secondsToDial": _between(story["createdAt"], first_dial),
        "secondsToAnswer": _between(story["createdAt"], answered),
        "inTime": None if answered is None else parse_time(answered) <= parse_time(story["expiresAt"]),
        "durationSeconds": last.get("durationSeconds"),
        "heard": last.get("heard"),
        "keyPressed": last.get("keyPressed"),
        "sessionId": story["sessionId"],
        "sessionStatus": last.get("sessionStatus"),
        "errorCode": last.get("errorCode"),
        "moneyLikelySpent": any(one["answeredAt"] or one["durationSeconds"] for one in attempts),
        "callbacks": {state: callbacks[state] for state in CallbackState},
        "nextCallbackAt": min(due, default=None),
    }


def _heard(story: Story) -> str:
    told = [one["heard"] for one in story["attempts"] if one["heard"]]
    return told[-1] if told else "unknown"


def _clause(sentence: str) -> str:
    """A sentence as a part of another one; 8x8 keeps its name's spelling anyway."""
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _between(earlier: str, later: str | None) -> float | None:
    if later is None:
        return None
    spent: datetime = parse_time(later)
    return round((spent - parse_time(earlier)).total_seconds(), 3)
