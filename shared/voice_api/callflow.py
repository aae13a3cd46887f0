"""The JSON that 8x8 executes: makeCall, what to say, hangup."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shared.times import rfc3339

MAX_TEXT: Final = 3000  # code points, 8x8's limit for ``text`` and ``promptMessage``
MAX_PLAYS: Final = 3  # 8x8's limit for ``repetition``
MIN_SPEED: Final = 0.5
MAX_SPEED: Final = 2.0
MAX_CLIENT_REQUEST_ID: Final = 50  # characters

# One key is enough to end the call. 8x8's documents contradict each other on the defaults, so each
# number is sent; overallTimeout must be greater than digitTimeout (-1006). Milliseconds.
_ONE_KEY: Final = {
    "minDigits": 1,
    "maxDigits": 1,
    "completeOnHash": False,
    "digitTimeout": 2000,
    "overallTimeout": 3000,
}
HANG_UP: Final = {"action": "hangup"}


@dataclass(frozen=True, slots=True)
class Speech:
    """
    What the phone hears: 8x8 would accept it as it stands.

    Raises:
        ValueError: A member is outside 8x8's limits. The sentence never holds the text.
    """

    text: str = field(repr=False)
    voice: str
    speed: float
    plays: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.text) <= MAX_TEXT:
            raise ValueError(f"text: must have 1 to {MAX_TEXT} characters")
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise ValueError(f"speed: must lie between {MIN_SPEED} and {MAX_SPEED}")
        if not 1 <= self.plays <= MAX_PLAYS:
            raise ValueError(f"plays: must lie between 1 and {MAX_PLAYS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """
    One dial attempt, complete: nothing else goes into its callflow.

    ``client_request_id`` is echoed in the VSS by accounts that have the feature, and settles a dial whose
    reply was lost. It is no idempotency key: sent twice, it rings twice. None leaves it out.
    """

    source: str
    destination: str = field(repr=False)
    speech: Speech
    valid_until: datetime
    client_request_id: str | None
    interruptible: bool = False

    def __post_init__(self) -> None:
        if self.client_request_id is not None and len(self.client_request_id) > MAX_CLIENT_REQUEST_ID:
            raise ValueError(f"client_request_id: at most {MAX_CLIENT_REQUEST_ID} characters")


def build(call: OutboundCall) -> bytes:
    """
    Write the body of POST callflows.

    Plain calls end with ``hangup``. Interruptible ones must not: a hangup after ``sayAndCapture`` makes 8x8
    ignore the key, so the VCA reply hangs up instead.
    """
    make_call = _action("makeCall", source=_with_plus(call.source), destination=_with_plus(call.destination))
    told = [_ask_for_a_key(call.speech)] if call.interruptible else [_say(call.speech), HANG_UP]
    body: dict[str, Any] = {"validUntil": rfc3339(call.valid_until), "callflow": [make_call, *told]}
    if call.client_request_id is not None:
        body["clientRequestId"] = call.client_request_id
    return _dump(body)


def valid_until(now: datetime, deadline: datetime, ceiling_s: float = 90) -> datetime:
    """
    When 8x8 must give up starting this dial.

    The ceiling keeps a dial that 8x8 holds back from ringing long after we have judged it dead, however
    far away the message's own deadline is.
    """
    return min(deadline, now + timedelta(seconds=ceiling_s))


def hang_up_reply(client_action_id: str | None = None) -> bytes:
    """
    Write the answer to a VCA event: end the call.

    Any other answer, ``{"status": "ok"}`` for one, turns a heard message into ERROR -2003.
    """
    return _dump({"clientActionId": client_action_id or "end", "callflow": [HANG_UP]})


def _say(speech: Speech) -> dict[str, Any]:
    return _action(
        "say",
        text=speech.text,
        voiceProfile=speech.voice,
        repetition=speech.plays,
        speed=_speed(speech.speed),
    )


def _ask_for_a_key(speech: Speech) -> dict[str, Any]:
    return _action(
        "sayAndCapture",
        promptMessage=speech.text,
        voiceProfile=speech.voice,
        speed=_speed(speech.speed),
        noOfTries=speech.plays,
        **_ONE_KEY,
    )


def _action(name: str, **params: Any) -> dict[str, Any]:
    return {"action": name, "params": params}


def _with_plus(number: str) -> str:
    return "+" + number.removeprefix("+")


def _speed(speed: float) -> float:
    """Whole speeds as an integer, since 8x8's schema and guides disagree on the type; else one decimal."""
    rounded = round(float(speed), 1)
    return int(rounded) if rounded.is_integer() else rounded


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode("ascii")


HANG_UP_REPLY: Final = hang_up_reply()
