"""
What a phone does, as pure arithmetic: how long it rings, how long a text is spoken, which keys are pressed.

All times are unscaled seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from deploy.simulator.outcomes import Behaviour
from deploy.simulator.validation import Action, Callflow
from deploy.simulator.voices import country_of

CHARACTERS_PER_SECOND: Final = 14  # at speed 1, an estimate for European languages
PAUSE_S: Final = 1.0  # after each play
SIGN_PAUSES_S: Final = {",": 0.25, ";": 0.5, ":": 0.5, ".": 0.5, "?": 0.5, "!": 0.5}  # as voices rest at them
FILE_S: Final = 5.0  # one play of a sound file, whatever its length
KEY_GAP_S: Final = 1.0  # between two key presses
DEFAULT_OVERALL_MS: Final = 5000  # sayAndCapture; 8x8's pages also say 30000


@dataclass(frozen=True, slots=True)
class Ring:
    """How the dialling went: ``is_answered``, or ended with a session status and perhaps an error."""

    seconds: float
    is_answered: bool
    session_status: str
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was played until the queue was used up (``is_up``) or the call ended."""

    seconds: float
    last_action: str
    is_up: bool
    digits: str | None = None


def seconds_to_speak(text: str, *, speed: float = 1, repetition: int = 1) -> float:
    """Estimate how long *text* takes with all its plays and the pause after each."""
    resting_s = sum(seconds * text.count(sign) for sign, seconds in SIGN_PAUSES_S.items())
    return repetition * ((len(text) / CHARACTERS_PER_SECOND + resting_s) / speed + PAUSE_S)


def refusal_at_dial(
    callflow: Callflow, *, now: datetime, has_trunk: bool, covered: frozenset[str] | None
) -> int | None:
    """Return the error that ends a session before its phone rings; None lets it ring."""
    if callflow.valid_until is not None and callflow.valid_until <= now:
        return -2007
    if covered is not None and country_of(callflow.destination) not in covered:
        return -2004
    return None if has_trunk else -2010


def ring(behaviour: Behaviour, *, ring_s: float) -> Ring:
    """Dial once; *ring_s* is the time an ordinary phone rings."""
    if not behaviour.is_answered and behaviour.error_code is not None:
        return Ring(0.0, is_answered=False, session_status="ERROR", error_code=behaviour.error_code)
    seconds = ring_s if behaviour.ring_s is None else behaviour.ring_s
    return Ring(seconds, is_answered=behaviour.is_answered, session_status=behaviour.session_status)


def play(actions: list[Action], behaviour: Behaviour, *, connected_for_s: float, barge_in: bool) -> Stretch:
    """
    Play *actions* to a phone answered *connected_for_s* ago.

    The callee's own hang-up cuts the stretch short. A second makeCall is accepted as 8x8 does, but nobody is
    bridged.
    """
    elapsed, name, digits = 0.0, "makeCall", None
    for action in actions:
        name = action["action"]
        if name == "hangup":
            return Stretch(elapsed, name, is_up=False)
        seconds, digits = _one(action, behaviour, barge_in=barge_in)
        elapsed += seconds
        patience = behaviour.hangs_up_after_s
        if patience is not None and connected_for_s + elapsed >= patience:
            return Stretch(max(0.0, patience - connected_for_s), name, is_up=False)
    return Stretch(elapsed, name, is_up=True, digits=digits)


def _one(action: Action, behaviour: Behaviour, *, barge_in: bool) -> tuple[float, str | None]:
    """Seconds of one action and the digits it captured."""
    name, params = action["action"], action.get("params") or {}
    if name == "say":
        speed, repetition = params.get("speed") or 1, params.get("repetition") or 1
        return seconds_to_speak(params["text"], speed=speed, repetition=repetition), None
    if name == "sayAndCapture":
        return capture(params, behaviour.keys, barge_in=barge_in)
    if name == "playFile":
        return (params.get("repetition") or 1) * (FILE_S + PAUSE_S), None
    return 0.0, None


def capture(params: dict[str, Any], keys: str, *, barge_in: bool) -> tuple[float, str | None]:
    """
    Speak the prompt and collect keys, up to ``noOfTries`` times.

    The callee presses *keys* one second apart: from the end of the prompt on, or with *barge_in* from its
    start, which cuts it off.

    Returns:
        Seconds spent, and the digits; None when every try ran out.
    """
    speed = params.get("speed") or 1
    prompt_s = seconds_to_speak(params["promptMessage"], speed=speed)
    entry_s, digits, is_good = _entry(params, keys)
    heard_s = 0.0 if barge_in and keys else prompt_s
    tries = 1 if is_good else params.get("noOfTries") or 1
    message = params.get("successMessage" if is_good else "failureMessage") or ""
    message_s = seconds_to_speak(message, speed=speed) if message else 0.0
    return tries * (heard_s + entry_s + message_s), digits if is_good else None


def _entry(params: dict[str, Any], keys: str) -> tuple[float, str, bool]:
    """Collect one try's keys: seconds until it ended, the digits, and whether their number is right."""
    overall_s = (params.get("overallTimeout") or DEFAULT_OVERALL_MS) / 1000
    gap_s = (params.get("digitTimeout") or DEFAULT_OVERALL_MS) / 1000
    fewest, most = params.get("minDigits") or 1, params.get("maxDigits") or 1
    ends_on_hash = params.get("completeOnHash") is not False
    digits = ""
    for pressed, key in enumerate(keys, start=1):
        at_s = pressed * KEY_GAP_S
        if at_s >= overall_s or (pressed > 1 and gap_s < KEY_GAP_S):
            break
        if key == "#" and ends_on_hash:
            return at_s, digits, fewest <= len(digits) <= most
        digits += key
        if len(digits) == most and not ends_on_hash:
            return at_s, digits, True
    waited_s = min(overall_s, len(digits) * KEY_GAP_S + gap_s) if digits else overall_s
    return waited_s, digits, fewest <= len(digits) <= most
