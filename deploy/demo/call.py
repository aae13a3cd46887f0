"""The demonstration: one OTP through the front door, followed until the provider's callback was verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final

from deploy.demo.client import DemoError, ask, basic, until
from deploy.demo.keepsake import Keepsake
from deploy.demo.surroundings import API_KEY, SUBACCOUNT, Surroundings

WITHIN_S: Final = 30.0
DESTINATION: Final = "+6581234567"
#: What to say at each step: the seconds since the message was accepted, the step, and a detail.
Tell = Callable[[float, str, str], None]


def register_webhooks(around: Surroundings, token: str, deadline: float) -> None:
    """Tell the simulator where its webhooks go, once it listens."""
    url = f"{around.simulator_url}/api/v1/subaccounts/{SUBACCOUNT}/webhooks"
    for kind in ("VSS", "VCA"):
        target = f"{around.url}/api/webhooks/{kind.lower()}"
        body = {"type": kind, "url": target, "httpAuthHeader": token, "enabled": True}
        status, said = until("the simulator", deadline, partial(ask, "POST", url, f"Bearer {API_KEY}", body))
        if status != 200:
            raise DemoError(f"another simulator took {around.simulator_url} meanwhile; start again ({said})")


def await_ready(around: Surroundings, deadline: float) -> None:
    """Return when the ingress takes messages."""
    until("the ingress", deadline, lambda: ask("GET", f"{around.url}/readyz")[0] == 200)


def place_call(around: Surroundings, keepsake: Keepsake, heard: Callable[[str, float], bool], tell: Tell) -> None:
    """
    Submit one message and tell each step of its way as it happens.

    Args:
        around: Where the ingress is.
        keepsake: Whose message it is.
        heard: Waits for a line of the receiver that holds all words of the text, at most so many seconds.
        tell: Called with each step.

    Raises:
        DemoError: It is not delivered, or the callback not verified, within :data:`WITHIN_S`.
    """
    started = time.monotonic()
    login = basic(keepsake.key_id, keepsake.secret)
    message_id = f"DEMO-{int(time.time() * 1000)}"
    body = {
        "messageId": message_id,
        "customerPhone": DESTINATION,
        "message": "Your code is {code}.",
        "code": "482915",
        "repetition": 2,
        "callbackUrl": keepsake.callback_url,
    }
    status, said = ask("POST", f"{around.url}/api/make-call", login, body)
    if status != 200:
        raise DemoError(f"the message was not accepted: {said}")
    accepted = time.monotonic()
    took_ms = (accepted - started) * 1000
    tell(0.0, "accepted", f"{said['data']['id']}, stored and answered in {took_ms:.0f} ms")
    final = _follow(f"{around.url}{said['data']['links']['self']}", login, accepted, tell)
    if final["status"] != "delivered":
        raise DemoError(f"the call was not delivered: {final['status']}, {final['reason']}")
    if not heard(f"callback verified {message_id}", WITHIN_S - (time.monotonic() - accepted)):
        raise DemoError("the callback did not come, or its signature was wrong")
    tell(time.monotonic() - accepted, "called back", "message.delivered, signature verified by the receiver")


def _follow(url: str, login: str, accepted: float, tell: Tell) -> Any:
    """Read the message until it is final; its steps carry the service's own times."""
    told: set[str] = set()
    status = "unknown"

    def look() -> Any:
        nonlocal status
        code, message = ask("GET", url, login)
        if code != 200:
            return None
        status = message["status"]
        for at, step, detail in _steps(message):
            if step not in told:
                told.add(step)
                tell(at, step, detail)
        return message if message["finishedAt"] else None

    try:
        return until("the call's end", accepted + WITHIN_S, look)
    except DemoError:
        raise DemoError(f"the message is still {status} after {WITHIN_S:.0f} s") from None


def _steps(message: Any) -> Iterator[tuple[float, str, str]]:
    """What has happened so far, with the seconds since the message was accepted."""
    accepted = _seconds(message["createdAt"])
    for attempt in message["attempts"][:1]:
        yield _seconds(attempt["startedAt"]) - accepted, "dialling", "a worker asks 8x8 for the call"
        for event in message["events"]:
            if event["type"] == "message.placed":
                yield _seconds(event["at"]) - accepted, "placed", f"call session {attempt['sessionId']}"
    if message["finishedAt"]:
        at = _seconds(message["finishedAt"]) - accepted
        # The simulator tells the times of a call at full length, so they say nothing about this clock.
        for attempt in message["attempts"][-1:]:
            yield at, "spoken", f"heard: {attempt['heard']}; {attempt['durationSeconds'] or 0:g} s connected, says 8x8"
        yield at, "summary", f"8x8's webhook is reconciled: {message['status']}"


def _seconds(time_text: str) -> float:
    return datetime.fromisoformat(time_text).timestamp()
