"""Step 1: a submitted message becomes a row, once per provider and messageId for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared import failpoints
from shared.db.prepared import Prepared
from shared.db.queries import suppressions
from shared.lifecycle import Status


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One row to be; times that depend on the clock are left to the database's."""

    id: str
    provider_id: str
    message_id: str
    fingerprint: bytes
    lane: str
    content: bytes  # sealed
    destination_key: bytes
    destination_masked: str
    country: str
    source: str
    voice: str
    speed: float
    plays: int
    seconds_per_play: float
    interruptible: bool
    max_attempts: int
    spare_attempts: int
    redial_unknown: bool
    endpoint_id: str | None
    metadata: dict[str, str]
    warnings: list[str]
    scheduled_at: datetime | None
    expires_at: datetime | None
    ttl_s: int | None
    test_type: str | None = None  # of a test message, which waits in the test lane
    traceparent: str | None = None  # of the request, while it is traced


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored message, whether by this request or by an earlier one with the same messageId."""

    id: str
    provider_id: str
    message_id: str
    lane: str
    status: Status
    reason: str | None
    session_id: str | None
    fingerprint: bytes
    deadline: datetime
    due_at: datetime | None
    warnings: list[str]
    is_new: bool


_COLUMNS: Final = (
    "id, provider_id, message_id, lane, status, reason, session_id, fingerprint, deadline, due_at, warnings"
)

#: A number that is not to be called may be taken off the list before the message is due: it is stored all the same.
SUPPRESSED: Final = "customerPhone: is on a list of numbers not to be called; the message will end blocked."

_INSERT: Final = Prepared(
    f"""
INSERT INTO messages (
  id, provider_id, message_id, fingerprint, lane, status, content, destination_key, destination_masked, country,
  source, voice, speed, plays, seconds_per_play, interruptible, max_attempts, spare_attempts, redial_unknown,
  endpoint_id, metadata, warnings, scheduled_at, test_type, traceparent, deadline, due_at)
SELECT id, provider_id, message_id, decode(fingerprint, 'hex'), lane,
  CASE WHEN scheduled_at > now() THEN 'scheduled' ELSE 'queued' END,
  decode(content, 'hex'), decode(destination_key, 'hex'), destination_masked, country, source, voice, speed,
  plays, seconds_per_play, interruptible, max_attempts, spare_attempts, redial_unknown, endpoint_id, metadata,
  CASE WHEN test_type IS NULL AND {suppressions.suppressed("x")} THEN warnings || :warning ELSE warnings END,
  scheduled_at, test_type, traceparent,
  COALESCE(expires_at, GREATEST(scheduled_at, now()) + ttl_s * interval '1 second'),
  GREATEST(scheduled_at, now())
FROM json_to_recordset(:rows) AS x(
  id text, provider_id text, message_id text, fingerprint text, lane text, content text, destination_key text,
  destination_masked text, country text, source text, voice text, speed float8, plays int2, seconds_per_play float8,
  interruptible boolean, max_attempts int2, spare_attempts int2, redial_unknown boolean, endpoint_id text,
  metadata jsonb, warnings jsonb, scheduled_at timestamptz, expires_at timestamptz, ttl_s int, test_type text,
  traceparent text)
WHERE NOT EXISTS (SELECT FROM past_messages p WHERE p.provider_id = x.provider_id AND p.message_id = x.message_id)
ON CONFLICT DO NOTHING
RETURNING id, status, deadline, due_at, jsonb_array_length(warnings) AS warnings
""",
    rows="json",
    warning="jsonb",
)

_WARNING: Final = to_json([SUPPRESSED]).decode()

#: Of messages that were purged; a message that is not yet gone counts as it stands.
_PAST: Final = """
SELECT p.id, p.provider_id, p.message_id, p.lane, p.status, p.reason, NULL AS session_id, p.fingerprint, p.deadline,
  NULL::timestamptz AS due_at, '[]'::jsonb AS warnings
FROM past_messages p
WHERE NOT EXISTS (SELECT FROM messages m WHERE m.id = p.id) AND {chosen}
"""
_ASKED: Final = (
    "(p.provider_id, p.message_id) IN (SELECT provider_id, message_id"
    " FROM json_to_recordset(:keys) AS k(provider_id text, message_id text))"
)
_FIND: Final = text(f"""
SELECT {_COLUMNS} FROM messages
JOIN json_to_recordset(:keys) AS k(provider_id text, message_id text) USING (provider_id, message_id)
UNION ALL {_PAST.format(chosen=_ASKED)}
""")


def store(connection: Connection, messages: Sequence[NewMessage]) -> list[Accepted]:
    """
    Store the messages whose messageId is new, and find the others; one result each, in order.

    Repeating it after a lost commit is safe: a row that bears our own id is ours, hence new.
    """
    failpoints.hit("accept.before_commit")
    rows = _INSERT(connection, rows=to_json(messages, bytes_mode="hex").decode(), warning=_WARNING)
    stored = {row.id: row for row in rows}
    failpoints.hit("accept.after_commit")
    missing = [message for message in messages if message.id not in stored]
    others = _find(connection, missing) if missing else {}
    return [
        _new(message, stored[message.id])
        if message.id in stored
        else _accepted(others[message.provider_id, message.message_id], new_id=message.id)
        for message in messages
    ]


_EARLIER: Final = text(f"""
SELECT {_COLUMNS} FROM messages WHERE provider_id = :provider_id AND message_id = ANY (:ids)
UNION ALL {_PAST.format(chosen="p.provider_id = :provider_id AND p.message_id = ANY (:ids)")}
""")


def earlier(connection: Connection, provider_id: str, message_ids: Sequence[str]) -> dict[str, Accepted]:
    """The provider's messages that are stored already, by messageId."""
    rows = connection.execute(_EARLIER, {"provider_id": provider_id, "ids": list(message_ids)})
    return {row.message_id: _accepted(row) for row in rows}


def _find(connection: Connection, messages: Sequence[NewMessage]) -> dict[tuple[str, str], Any]:
    keys = [{"provider_id": message.provider_id, "message_id": message.message_id} for message in messages]
    rows = connection.execute(_FIND, {"keys": to_json(keys).decode()})
    return {(row.provider_id, row.message_id): row for row in rows}


def _new(message: NewMessage, row: Any) -> Accepted:
    """What was just inserted: all but what depends on the database's clock is known."""
    return Accepted(
        id=message.id,
        provider_id=message.provider_id,
        message_id=message.message_id,
        lane=message.lane,
        status=Status(row.status),
        reason=None,
        session_id=None,
        fingerprint=message.fingerprint,
        deadline=row.deadline,
        due_at=row.due_at,
        warnings=[*message.warnings, SUPPRESSED] if row.warnings > len(message.warnings) else message.warnings,
        is_new=True,
    )


def _accepted(row: Any, *, new_id: str | None = None) -> Accepted:
    return Accepted(
        id=row.id,
        provider_id=row.provider_id,
        message_id=row.message_id,
        lane=row.lane,
        status=Status(row.status),
        reason=row.reason,
        session_id=row.session_id,
        fingerprint=bytes(row.fingerprint),
        deadline=row.deadline,
        due_at=row.due_at,
        warnings=row.warnings,
        is_new=row.id == new_id,
    )


_AWAITED: Final = text(f"""
SELECT {_COLUMNS} FROM messages
WHERE id = ANY (:ids) AND status NOT IN ('scheduled', 'queued', 'dialing')
""")


def answered(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Status, str | None, str | None]]:
    """Of the messages that requests wait for, those that 8x8 has answered: id -> status, reason, session_id."""
    rows = connection.execute(_AWAITED, {"ids": list(ids)})
    return {row.id: (Status(row.status), row.reason, row.session_id) for row in rows}
