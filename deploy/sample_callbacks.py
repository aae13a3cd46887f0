"""Callbacks as Ringpost sends them, of messages that there never were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from shared import callback
from shared.callback import CallbackEvent
from shared.ids import new_id
from shared.lifecycle import CORRECTED, Status
from shared.reasons import Reason, meaning_of
from shared.voice_api.codes import Reason as UpstreamReason

_SPEAKING: Final = timedelta(seconds=26)
_SESSION: Final = "sample-session"
_CALLED: Final = {"attempts": 1, "session_id": _SESSION}


def _facts(now: datetime) -> Mapping[Status, Mapping[str, Any]]:
    """What a callback tells of a message that came to stand where, at *now*."""
    answered = _CALLED | {"answered_at": now - _SPEAKING}
    ended = _CALLED | {"ended_at": now}
    spoken = {"ended_at": now, "duration_s": int(_SPEAKING.total_seconds()), "heard": "full", "mos": 4.4}
    return {
        Status.DIAL_UNKNOWN: {"attempts": 1, "reason": UpstreamReason.NO_REPLY},
        Status.PLACED: _CALLED,
        Status.ANSWERED: answered,
        Status.DELIVERED: answered | spoken,
        Status.NO_ANSWER: ended | {"reason": Reason.NO_ANSWER},
        Status.BUSY: ended | {"reason": Reason.BUSY},
        Status.CANCELED: {"reason": Reason.CANCELED_BY_SENDER},
        Status.FAILED: {"attempts": 1, "reason": UpstreamReason.INVALID_NUMBER},
        Status.EXPIRED: {"reason": Reason.DEADLINE_PASSED},
        Status.BLOCKED: {"attempts": 1, "reason": UpstreamReason.SUPPRESSED},
        Status.UNDETERMINED: _CALLED | {"reason": Reason.NO_SUMMARY},
    }


def sample(event_type: str, message_id: str, secrets: Sequence[str]) -> tuple[dict[str, str], bytes]:
    """
    Headers and body of one callback, signed now.

    Args:
        event_type: Such as ``message.delivered``.
        message_id: The provider's own id, that the callback tells of.
        secrets: To sign with, the newest first.
    """
    now = datetime.now(UTC)
    body = callback.body(_event(event_type, message_id, now))
    return callback.headers(new_id("evt"), body, secrets=secrets, at=now), body


def _event(event_type: str, message_id: str, now: datetime) -> CallbackEvent:
    status = Status.DELIVERED if event_type == CORRECTED else Status(event_type.removeprefix("message."))
    facts = dict(_facts(now)[status])
    reason = facts.pop("reason", None)
    meaning = meaning_of(reason)
    unknown: dict[str, Any] = dict.fromkeys(
        ("session_id", "answered_at", "ended_at", "duration_s", "heard", "key_pressed", "mos")
    )
    return CallbackEvent(
        type=event_type,
        timestamp=now,
        sequence=1,
        id=new_id("msg"),
        message_id=message_id,
        message_type="otp",
        status=status,
        reason=reason,
        retryable=meaning is not None and meaning.retryable,
        party=None if meaning is None else meaning.party,
        destination="+65****4567",
        metadata={"sample": "true"},
        **unknown | {"attempts": 0} | facts,
    )
