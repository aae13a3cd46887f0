"""Steps 3 and 4: keep 8x8's webhooks, match them to dial attempts, store what they say."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.db.prepared import Prepared
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Lane, Status
from shared.matching import Candidate
from shared.verdict import Settlement
from shared.voice_api.events import Leg


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A webhook as it came, sealed."""

    dedupe_key: str
    body: bytes


_KEEP: Final = Prepared(
    """
INSERT INTO webhook_inbox (dedupe_key, body)
SELECT dedupe_key, decode(body, 'base64')
FROM json_to_recordset(:rows) AS x(dedupe_key text, body text)
ON CONFLICT DO NOTHING
""",
    rows="json",
)


def keep(connection: Connection, events: Sequence[RawEvent]) -> None:
    """Store webhooks that are not stored yet."""
    rows = [{"dedupe_key": event.dedupe_key, "body": _b64(event.body)} for event in events]
    _KEEP(connection, rows=to_json(rows).decode())


def _b64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A webhook that this worker alone handles until its lease ends."""

    inbox_id: int
    dedupe_key: str
    body: bytes
    attempts: int
    age_s: float


#: Tries after which a row that kills or fails its worker is set aside.
MAX_TRIES: Final = 5

_CLAIM: Final = Prepared(
    """
UPDATE webhook_inbox SET attempts = attempts + 1, due_at = now() + :lease_s * interval '1 second'
WHERE inbox_id IN (
  SELECT inbox_id FROM webhook_inbox
  WHERE processed_at IS NULL AND due_at <= now() AND attempts < :tries AND (attempts = 0) = :fresh
  ORDER BY due_at LIMIT :wanted FOR UPDATE SKIP LOCKED)
RETURNING inbox_id, dedupe_key, body, attempts, EXTRACT(EPOCH FROM now() - received_at)::float8 AS age_s
""",
    lease_s="float8",
    tries="int",
    fresh="boolean",
    wanted="int",
)


def claim(connection: Connection, *, wanted: int, lease_s: float) -> list[InboxRow]:
    """Take due webhooks that nobody tried yet, counting the try first: one that kills its worker is counted too."""
    return _take(connection, wanted=wanted, lease_s=lease_s, fresh=True)


def claim_again(connection: Connection, *, lease_s: float) -> list[InboxRow]:
    """Take one webhook whose worker failed or died: alone, so that no other is counted along with it."""
    return _take(connection, wanted=1, lease_s=lease_s, fresh=False)


def _take(connection: Connection, **limits: Any) -> list[InboxRow]:
    rows = _CLAIM(connection, **limits, tries=MAX_TRIES)
    taken = [InboxRow(row.inbox_id, row.dedupe_key, bytes(row.body), row.attempts, row.age_s) for row in rows]
    return sorted(taken, key=lambda row: row.inbox_id)


@dataclass(frozen=True, slots=True)
class Question:
    """What an event knows of the attempt that it belongs to; *place* is its place in the batch."""

    place: int
    session_id: str | None
    client_request_id: str | None
    destination_key: bytes | None
    source: str | None


# By destination only: sent under two hours ago, still without a session, and not known to be refused.
_FOUND: Final = """
WITH asked AS (
  SELECT * FROM json_to_recordset(:questions) AS x(
    place int, session_id text, client_request_id text, destination_key text, source text)
), found AS (
  SELECT q.place, 0 AS rank, a.attempt_id FROM asked q JOIN dial_attempts a ON a.session_id = q.session_id
  UNION ALL
  SELECT q.place, 1, a.attempt_id FROM asked q JOIN dial_attempts a ON a.attempt_id = q.client_request_id
  WHERE a.session_id IS NULL
  UNION ALL
  SELECT q.place, 2, a.attempt_id FROM asked q
  JOIN dial_attempts a ON a.destination_key = decode(q.destination_key, 'base64') AND a.source = q.source
  WHERE q.client_request_id IS NULL AND a.settled_at IS NULL AND a.session_id IS NULL
    AND (a.disposition IS NULL OR a.disposition = 'unknown') AND a.started_at > now() - interval '2 hours'
)
"""

# First the messages are locked, in the order of their ids, then they are read: what is decided on holds until it is
# written. Two statements, as each has a snapshot of its own.
_MATCH: Final = Prepared(
    f"""
{_FOUND}SELECT m.id FROM messages m
WHERE m.id IN (SELECT a.message_id FROM found f JOIN dial_attempts a USING (attempt_id))
ORDER BY m.id FOR NO KEY UPDATE
""",
    f"""
{_FOUND}SELECT f.place, f.rank, a.attempt_id, a.session_id, a.subaccount_id, a.source, a.destination_key,
  a.settled_at IS NOT NULL AS is_settled, a.key_pressed, a.answered_at,
  m.id AS message_id, COALESCE(m.attempt_id = a.attempt_id, false) AS is_current, m.status, m.lane, m.plays,
  m.seconds_per_play, m.deadline, m.max_attempts, m.spare_attempts,
  (SELECT count(*) FROM dial_attempts s WHERE s.message_id = m.id
     AND ({MAYBE_ACCEPTED} OR s.attempt_id = a.attempt_id)) AS accepted_attempts,
  now() AS now
FROM found f JOIN dial_attempts a USING (attempt_id) JOIN messages m ON m.id = a.message_id
ORDER BY f.place, f.rank
""",
    questions="json",
)


def match(connection: Connection, questions: Sequence[Question]) -> dict[int, list[Candidate]]:
    """The attempts that each event may belong to, best first; the choice is made in ``shared.matching``."""
    asked = [
        {
            "place": question.place,
            "session_id": question.session_id,
            "client_request_id": question.client_request_id,
            "destination_key": _b64(question.destination_key),
            "source": question.source,
        }
        for question in questions
    ]
    found: dict[int, list[Candidate]] = {}
    for row in _MATCH(connection, questions=to_json(asked).decode()):
        found.setdefault(row.place, []).append(_candidate(row))
    return found


def _candidate(row: Any) -> Candidate:
    values = row._asdict()
    values["destination_key"] = bytes(row.destination_key)
    values["status"] = Status(row.status)
    values["lane"] = Lane(row.lane)
    return Candidate(**values)


_SETTLE: Final = Prepared(
    """
UPDATE dial_attempts a SET
  session_id = COALESCE(a.session_id, s.session_id),
  answered_at = COALESCE(a.answered_at, s.answered_at),
  key_pressed = COALESCE(a.key_pressed, s.key_pressed),
  session_status = COALESCE(s.session_status, a.session_status),
  session_status_raw = COALESCE(s.session_status_raw, a.session_status_raw),
  error_code = COALESCE(s.error_code, a.error_code),
  error_message = COALESCE(s.error_message, a.error_message),
  last_action = COALESCE(s.last_action, a.last_action),
  session_started_at = COALESCE(s.session_started_at, a.session_started_at),
  session_ended_at = COALESCE(s.session_ended_at, a.session_ended_at),
  duration_seconds = COALESCE(s.duration_seconds, a.duration_seconds),
  heard = COALESCE(s.heard, a.heard),
  settled_at = CASE WHEN s.session_status IS NOT NULL THEN now() ELSE a.settled_at END
FROM json_to_recordset(:rows) AS s(
  attempt_id text, session_id text, answered_at timestamptz, key_pressed text, session_status text,
  session_status_raw text, error_code bigint, error_message text, last_action text, session_started_at timestamptz,
  session_ended_at timestamptz, duration_seconds int, heard text)
WHERE a.attempt_id = s.attempt_id
""",
    rows="json",
)

_LEGS: Final = Prepared(
    """
INSERT INTO call_legs (session_id, leg, attempt_id, call_id, direction, call_status, call_status_raw, initiated_at,
  connected_at, disconnected_at, duration_seconds, source_country, destination_country, mos, packet_loss_rate,
  jitter_ms)
SELECT * FROM json_to_recordset(:rows) AS x(
  session_id text, leg text, attempt_id text, call_id text, direction text, call_status text, call_status_raw text,
  initiated_at timestamptz, connected_at timestamptz, disconnected_at timestamptz, duration_seconds int,
  source_country text, destination_country text, mos float8, packet_loss_rate float8, jitter_ms float8)
ON CONFLICT DO NOTHING
""",
    rows="json",
)


def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Store what events tell of their attempts, and the summaries' call legs."""
    if not settlements:
        return
    rows = [{name: getattr(s, name) for name in Settlement.__slots__ if name != "legs"} for s in settlements]
    _SETTLE(connection, rows=to_json(rows).decode())
    legs = [_leg(s, place, leg) for s in settlements for place, leg in enumerate(s.legs)]
    if legs:
        _LEGS(connection, rows=to_json(legs).decode())


def _leg(settlement: Settlement, place: int, leg: Leg) -> dict[str, Any]:
    return {
        "session_id": settlement.session_id,
        "leg": f"call{chr(ord('A') + place)}",
        "attempt_id": settlement.attempt_id,
        "call_id": leg.call_id,
        "direction": leg.direction,
        "call_status": leg.call_status,
        "call_status_raw": leg.raw_status,
        "initiated_at": leg.initiated_at,
        "connected_at": leg.connected_at,
        "disconnected_at": leg.disconnected_at,
        "duration_seconds": leg.duration_s,
        "source_country": leg.source_country,
        "destination_country": leg.destination_country,
        "mos": leg.mos,
        "packet_loss_rate": leg.packet_loss_rate,
        "jitter_ms": leg.jitter_ms,
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one inbox row: processed with a *result*, or to be tried again in *retry_in_s*."""

    inbox_id: int
    result: str
    retry_in_s: float | None = None
    session_id: str | None = None


_CLOSE: Final = Prepared(
    """
UPDATE webhook_inbox i SET
  result = o.result, session_id = o.session_id,
  attempts = CASE WHEN o.retry_in_s IS NULL THEN i.attempts ELSE 0 END,
  processed_at = CASE WHEN o.retry_in_s IS NULL THEN now() END,
  due_at = now() + COALESCE(o.retry_in_s, 0) * interval '1 second'
FROM json_to_recordset(:rows) AS o(inbox_id bigint, result text, retry_in_s float8, session_id text)
WHERE i.inbox_id = o.inbox_id
""",
    rows="json",
)


def close(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Record what became of the rows."""
    rows = [{name: getattr(outcome, name) for name in Outcome.__slots__} for outcome in outcomes]
    _CLOSE(connection, rows=to_json(rows).decode())
