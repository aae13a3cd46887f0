"""Step 4: what a batch of 8x8's webhooks comes to, written by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.db.queries import moves
from shared.lifecycle import Move
from shared.verdict import Settlement
from shared.voice_api.events import Leg

_SETTLED: Final = """settled AS (
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
FROM json_to_recordset(:settlements) AS s(
  attempt_id text, session_id text, answered_at timestamptz, key_pressed text, session_status text,
  session_status_raw text, error_code bigint, error_message text, last_action text, session_started_at timestamptz,
  session_ended_at timestamptz, duration_seconds int, heard text)
WHERE a.attempt_id = s.attempt_id
)"""

_LEGS: Final = """legs AS (
INSERT INTO call_legs (session_id, leg, attempt_id, call_id, direction, call_status, call_status_raw, initiated_at,
  connected_at, disconnected_at, duration_seconds, source_country, destination_country, mos, packet_loss_rate,
  jitter_ms)
SELECT * FROM json_to_recordset(:legs) AS x(
  session_id text, leg text, attempt_id text, call_id text, direction text, call_status text, call_status_raw text,
  initiated_at timestamptz, connected_at timestamptz, disconnected_at timestamptz, duration_seconds int,
  source_country text, destination_country text, mos float8, packet_loss_rate float8, jitter_ms float8)
ON CONFLICT DO NOTHING
)"""


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


_CLOSED: Final = """closed AS (
UPDATE webhook_inbox i SET
  result = o.result, session_id = o.session_id,
  attempts = CASE WHEN o.retry_in_s IS NULL THEN i.attempts ELSE 0 END,
  processed_at = CASE WHEN o.retry_in_s IS NULL THEN now() END,
  due_at = now() + COALESCE(o.retry_in_s, 0) * interval '1 second'
FROM json_to_recordset(:outcomes) AS o(inbox_id bigint, result text, retry_in_s float8, session_id text)
WHERE i.inbox_id = o.inbox_id
)"""


_PROVEN: Final = """proven AS (
DELETE FROM breakers WHERE scope = 'source' AND name = ANY (:proven) AND probing
)"""

_WRITE: Final = moves.together(
    _SETTLED, _LEGS, _CLOSED, _PROVEN, settlements="json", legs="json", outcomes="json", proven="text[]"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What some events come to."""

    moves: Sequence[Move]
    settlements: Sequence[Settlement]
    outcomes: Sequence[Outcome]
    proven_sources: Sequence[str] = ()  # caller ids that 8x8 took after all


def write(connection: Connection, batch: Batch) -> list[moves.Moved]:
    """
    Store what events tell of their attempts, the summaries' call legs and what became of the events; move the messages.

    Returns:
        The messages that moved, see :func:`shared.db.queries.moves.apply`.
    """
    rows = _WRITE(
        connection,
        settlements=_json([_fields(settlement, leave_out="legs") for settlement in batch.settlements]),
        legs=_json([_leg(one, place, leg) for one in batch.settlements for place, leg in enumerate(one.legs)]),
        outcomes=_json([_fields(outcome) for outcome in batch.outcomes]),
        proven=sorted(set(batch.proven_sources)),
        moves=moves.as_json(batch.moves),
    )
    return moves.moved(rows)


def _fields(value: Settlement | Outcome, leave_out: str | None = None) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__slots__ if name != leave_out}


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return to_json(rows).decode()
