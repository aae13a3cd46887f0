"""What a provider receives: the JSON of an event and the headers that sign it (Standard Webhooks)."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from shared.phone import masked
from shared.reasons import meaning_of
from shared.times import parse_time, rfc3339

USER_AGENT: Final = "Ringpost/1"
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
SECRET_BYTES: Final = 32  # of those that we make


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackEvent:
    """
    One event of the provider's feed, ready to be written. It has no member for the spoken text.

    ``sequence`` counts the provider's events without gaps. ``destination`` may be whole or masked; only its
    masked form is written.
    """

    type: str
    timestamp: datetime
    sequence: int
    id: str
    message_id: str
    message_type: str
    status: str
    reason: str | None
    retryable: bool
    party: str | None
    destination: str = field(repr=False)
    attempts: int
    session_id: str | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_s: int | None
    heard: str | None
    key_pressed: str | None
    mos: float | None
    metadata: Mapping[str, str] = field(repr=False)
    is_test: bool = False


def body(event: CallbackEvent) -> bytes:
    """
    Write the callback's JSON: always every member, in this order, null for what is not known.

    Only a test message's has ``mode`` besides.

    Raises:
        ValueError: A time without a zone, or a number that JSON has no word for.
    """
    return json.dumps(envelope(event), separators=(",", ":"), allow_nan=False).encode("ascii")


def envelope(event: CallbackEvent) -> dict[str, Any]:
    """What :func:`body` writes, as JSON values: the provider's feed holds the same."""
    return {
        "type": event.type,
        "timestamp": rfc3339(event.timestamp),
        "sequence": event.sequence,
        "data": _data(event),
    }


def event_of(row: Any) -> CallbackEvent:
    """
    The event as the provider reads it: what was known when it happened, not what is known now.

    Args:
        row: Of the feed and the message: ``type``, ``sequence``, ``occurred_at``, ``status``, ``reason`` and ``facts``;
            ``id``, ``message_id``, ``lane``, ``test_type``, ``destination_masked`` and ``metadata``.
    """
    facts = row.facts
    meaning = meaning_of(row.reason)
    return CallbackEvent(
        type=row.type,
        timestamp=row.occurred_at,
        sequence=row.sequence,
        id=row.id,
        message_id=row.message_id,
        message_type=row.test_type or row.lane,
        is_test=row.test_type is not None,
        status=row.status,
        reason=row.reason,
        retryable=meaning is not None and meaning.retryable,
        party=None if meaning is None else meaning.party,
        destination=row.destination_masked,
        attempts=facts["attempts"],
        session_id=facts["sessionId"],
        answered_at=_moment(facts.get("answeredAt")),
        ended_at=_moment(facts.get("endedAt")),
        duration_s=facts.get("durationSeconds"),
        heard=facts.get("heard"),
        key_pressed=facts.get("keyPressed"),
        mos=(facts.get("quality") or {}).get("mos"),
        metadata=row.metadata,
    )


def headers(webhook_id: str, body: bytes, *, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """
    Sign exactly these bytes, once per secret: two during a rotation, and the receiver accepts either.

    Args:
        webhook_id: Stays the same over all attempts, so that the receiver can drop repeats.
        body: What will be sent, unchanged.
        secrets: ``whsec_...``, the newest first.
        at: When this attempt is made. Receivers refuse times more than 5 minutes off.

    Raises:
        ValueError: No secret, one that is empty or not base64, or a time without a zone.
    """
    if not secrets:
        raise ValueError("a callback needs a secret to be signed with")
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    at_utc = at.astimezone(UTC)  # sign() would relabel any other zone as UTC, hours off
    text = body.decode()
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at_utc.timestamp())),
        "webhook-signature": " ".join(_signature(secret, webhook_id, at_utc, text) for secret in secrets),
    }


def new_secret(random_bytes: bytes) -> str:
    """
    Write fresh random bytes as an endpoint's secret.

    Raises:
        ValueError: Fewer than 24 or more than 64 bytes, the limits of Standard Webhooks.
    """
    if not MIN_SECRET_BYTES <= len(random_bytes) <= MAX_SECRET_BYTES:
        raise ValueError(f"a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return "whsec_" + base64.b64encode(random_bytes).decode("ascii")


def is_secret(text: str) -> bool:
    """Whether *text* is written as :func:`new_secret` writes one."""
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (ValueError, binascii.Error):
        return False
    return text.startswith("whsec_") and MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES


def _signature(secret: str, webhook_id: str, at_utc: datetime, text: str) -> str:
    try:
        return str(Webhook(secret).sign(webhook_id, at_utc, text))
    except (EmptyWebhookSecretError, binascii.Error):
        raise ValueError("a callback secret is empty or not base64") from None


def _data(event: CallbackEvent) -> dict[str, Any]:
    mode = {"mode": "test"} if event.is_test else {}
    return {
        "id": event.id,
        "messageId": event.message_id,
        "type": event.message_type,
        "status": event.status,
        "reason": event.reason,
        "retryable": event.retryable,
        "party": event.party,
        "to": masked(event.destination),
        "attempts": event.attempts,
        "sessionId": event.session_id,
        "answeredAt": _time(event.answered_at),
        "endedAt": _time(event.ended_at),
        "durationSeconds": event.duration_s,
        "heard": event.heard,
        "keyPressed": event.key_pressed,
        "quality": {"mos": event.mos},
        "metadata": dict(event.metadata),
        **mode,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)
