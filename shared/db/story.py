"""One message's whole story, as providers and operators read it: status, attempts, events, callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.lifecycle import WAITING, Lane, Status, event_type, mode_of
from shared.reasons import meaning_of
from shared.times import rfc3339
from shared.voice_api.codes import Disposition

#: What :func:`head` reads of a message; never its text or number.
HEAD_COLUMNS: Final = (
    "id", "message_id", "lane", "test_type", "status", "reason", "destination_masked", "country", "source",
    "voice", "speed", "plays", "interruptible", "metadata", "warnings", "scheduled_at", "deadline", "session_id",
    "created_at", "finished_at",
)  # fmt: skip
# What is due at its deadline only is held until then.
_NEXT_DIAL: Final = f"""CASE WHEN status IN ({", ".join(f"'{one}'" for one in sorted(WAITING))}) AND due_at > now()
  AND due_at < deadline THEN due_at END AS next_dial_at"""
_MESSAGE: Final = f"SELECT provider_id, {_NEXT_DIAL}, {', '.join(HEAD_COLUMNS)} FROM messages WHERE"
_ATTEMPTS: Final = text("""
SELECT attempt_id, number, started_at, replied_at, disposition, reason, status_code, session_id, answered_at,
  key_pressed, session_status, error_code, session_started_at, session_ended_at, duration_seconds, heard
FROM dial_attempts WHERE message_id = :id ORDER BY number
""")
_LEGS: Final = text("""
SELECT l.attempt_id, l.leg, l.call_status, l.initiated_at, l.connected_at, l.disconnected_at, l.duration_seconds,
  l.source_country, l.destination_country, l.mos, l.packet_loss_rate, l.jitter_ms
FROM call_legs l JOIN dial_attempts a USING (attempt_id) WHERE a.message_id = :id ORDER BY l.leg
""")
_EVENTS: Final = text("""
SELECT event_id, sequence, type, occurred_at, status, reason, facts
FROM feed_events WHERE message_id = :id ORDER BY sequence
""")
_CALLBACKS: Final = text("""
SELECT c.callback_id, c.event_id, f.type, e.url, c.state, c.attempts, c.due_at, c.finished_at
FROM callbacks c JOIN feed_events f USING (event_id) JOIN endpoints e ON e.endpoint_id = c.endpoint_id
WHERE c.message_id = :id ORDER BY f.sequence, c.callback_id
""")
_DELIVERIES: Final = text("""
SELECT d.callback_id, d.number, d.started_at, d.elapsed_ms, d.http_status, d.error
FROM delivery_attempts d JOIN callbacks c USING (callback_id) WHERE c.message_id = :id ORDER BY d.callback_id, d.number
""")


def of_provider(
    connection: Connection,
    provider_id: str,
    *,
    id_: str | None = None,
    message_id: str | None = None,
    tests_only: bool = False,
) -> dict[str, Any] | None:
    """The story of a provider's message, by our id or by its own messageId; None when it has no such message."""
    by, key = ("id = :key", id_) if id_ is not None else ("message_id = :key", message_id)
    by += f" AND lane = '{Lane.TEST}'" if tests_only else ""
    row = connection.execute(
        text(f"{_MESSAGE} provider_id = :provider_id AND {by}"), {"provider_id": provider_id, "key": key}
    ).first()
    return None if row is None else _story(connection, row)


#: Of a search that names no message of one provider.
_MOST_FOUND: Final = 20
# A provider's own ids are found provider by provider, which are few; a call's session by that of any attempt.
_FOUND: Final = f"""{_MESSAGE} id IN (
  SELECT id FROM messages WHERE id = :key
  UNION SELECT m.id FROM providers p JOIN messages m ON m.provider_id = p.provider_id AND m.message_id = :key
  UNION SELECT message_id FROM dial_attempts WHERE session_id = :key) ORDER BY id LIMIT {_MOST_FOUND}"""


def of_anyone(connection: Connection, key: str) -> list[dict[str, Any]]:
    """For operators: the stories of every message with that id, that messageId at any provider, or that session."""
    rows = connection.execute(text(_FOUND), {"key": key}).all()
    return [{"providerId": row.provider_id, **_story(connection, row)} for row in rows]


def heads_of_anyone(connection: Connection, key: str) -> list[Any]:
    """For operators: the rows of the same messages, as :func:`head` shows them."""
    return list(connection.execute(text(_FOUND), {"key": key}).all())


def _story(connection: Connection, row: Any) -> dict[str, Any]:
    key = {"id": row.id}
    legs = connection.execute(_LEGS, key).all()
    deliveries = connection.execute(_DELIVERIES, key).all()
    dialed = connection.execute(_ATTEMPTS, key).all()
    attempts = [_attempt(one, [leg for leg in legs if leg.attempt_id == one.attempt_id]) for one in dialed]
    callbacks = [
        _callback(callback, [one for one in deliveries if one.callback_id == callback.callback_id])
        for callback in connection.execute(_CALLBACKS, key)
    ]
    told = [_event(event) for event in connection.execute(_EVENTS, key)]
    events = _timeline(row, dialed, told)
    parts = {"attempts": attempts, "events": events, "callbacks": callbacks}
    return {**head(row), "nextDialAt": _time(row.next_dial_at), **parts}


def _timeline(row: Any, dialed: Sequence[Any], told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the feed tells, and what it leaves out because no endpoint asked for it."""
    accepted = {"type": "message.accepted", "at": rfc3339(row.created_at), "status": "queued"}
    placed = [
        {
            "type": event_type(Status.PLACED),
            "at": rfc3339(one.replied_at),
            "status": Status.PLACED,
            "attempts": one.number,
            "sessionId": one.session_id,
        }
        for one in dialed
        if one.disposition == Disposition.CREATED
    ]
    is_told = any(event["type"] == event_type(Status.PLACED) for event in told)
    return sorted([accepted, *([] if is_told else placed), *told], key=itemgetter("at"))


def head(row: Any) -> dict[str, Any]:
    """A message as lists show it, from a row with :data:`HEAD_COLUMNS`: all but what happened on its way."""
    meaning = meaning_of(row.reason)
    return {
        "id": row.id,
        "messageId": row.message_id,
        "type": row.test_type or row.lane,
        "mode": mode_of(row.lane),
        "status": row.status,
        "reason": row.reason,
        "retryable": meaning is not None and meaning.retryable,
        "party": None if meaning is None else meaning.party,
        "to": row.destination_masked,
        "country": row.country,
        "from": row.source,
        "voice": row.voice,
        "speed": row.speed,
        "repetition": row.plays,
        "interruptible": row.interruptible,
        "sessionId": row.session_id,
        "createdAt": rfc3339(row.created_at),
        "scheduledAt": _time(row.scheduled_at),
        "expiresAt": rfc3339(row.deadline),
        "finishedAt": _time(row.finished_at),
        "metadata": row.metadata,
        "warnings": row.warnings,
        "links": {"self": f"/v1/messages/{row.id}"},
    }


def _attempt(row: Any, legs: list[Any]) -> dict[str, Any]:
    return {
        "id": row.attempt_id,
        "number": row.number,
        "startedAt": rfc3339(row.started_at),
        "outcome": row.disposition,
        "reason": row.reason,
        "statusCode": row.status_code,
        "sessionId": row.session_id,
        "sessionStatus": row.session_status,
        "errorCode": row.error_code,
        "answeredAt": _time(row.answered_at),
        "endedAt": _time(row.session_ended_at),
        "durationSeconds": row.duration_seconds,
        "heard": row.heard,
        "keyPressed": row.key_pressed,
        "legs": [_leg(leg) for leg in legs],
    }


def _leg(row: Any) -> dict[str, Any]:
    return {
        "leg": row.leg,
        "callStatus": row.call_status,
        "initiatedAt": _time(row.initiated_at),
        "connectedAt": _time(row.connected_at),
        "disconnectedAt": _time(row.disconnected_at),
        "durationSeconds": row.duration_seconds,
        "sourceCountry": row.source_country,
        "destinationCountry": row.destination_country,
        "quality": {"mos": row.mos, "packetLossRate": row.packet_loss_rate, "jitterMs": row.jitter_ms},
    }


def _event(row: Any) -> dict[str, Any]:
    return {
        "id": row.event_id,
        "sequence": row.sequence,
        "type": row.type,
        "at": rfc3339(row.occurred_at),
        "status": row.status,
        "reason": row.reason,
        **row.facts,
    }


def _callback(row: Any, deliveries: list[Any]) -> dict[str, Any]:
    return {
        "id": row.callback_id,
        "eventId": row.event_id,
        "type": row.type,
        "url": row.url,
        "state": row.state,
        "attempts": row.attempts,
        "nextAt": _time(row.due_at),
        "finishedAt": _time(row.finished_at),
        "deliveries": [
            {
                "number": one.number,
                "at": rfc3339(one.started_at),
                "elapsedMs": one.elapsed_ms,
                "httpStatus": one.http_status,
                "error": one.error,
            }
            for one in deliveries
        ],
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else rfc3339(moment)
