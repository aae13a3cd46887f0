"""Step 4: what a batch of 8x8's webhooks comes to, written by one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.db.queries import moves
from shared.db.queries.callbacks import NOTHING, ClaimedCallback, HandOver, claimed
from shared.db.queries.inbox import VERSION
from shared.lifecycle import Move, Status
from shared.verdict import Settlement
from shared.voice_api.events import Leg

# What was decided holds only while attempt and message are as they were read. IS TRUE keeps these looks apart from
# their statement's joins: each is one into a hash.
_HELD: Final = f"""held AS (
SELECT a.attempt_id, m.id FROM json_to_recordset(:believed) AS b(attempt_id text, version text)
JOIN dial_attempts a USING (attempt_id) JOIN messages m ON m.id = a.message_id
WHERE {VERSION} = b.version
ORDER BY m.id FOR NO KEY UPDATE OF m, a
)"""
_IF_HELD: Final = "({} IN (SELECT attempt_id FROM held)) IS TRUE"

_SETTLED: Final = f"""settled AS (
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
WHERE a.attempt_id = s.attempt_id AND {_IF_HELD.format("s.attempt_id")}
)"""

_LEGS: Final = f"""legs AS (
INSERT INTO call_legs (session_id, leg, attempt_id, call_id, direction, call_status, call_status_raw, initiated_at,
  connected_at, disconnected_at, duration_seconds, source_country, destination_country, mos, packet_loss_rate,
  jitter_ms)
SELECT * FROM json_to_recordset(:legs) AS x(
  session_id text, leg text, attempt_id text, call_id text, direction text, call_status text, call_status_raw text,
  initiated_at timestamptz, connected_at timestamptz, disconnected_at timestamptz, duration_seconds int,
  source_country text, destination_country text, mos float8, packet_loss_rate float8, jitter_ms float8)
WHERE {_IF_HELD.format("x.attempt_id")}
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
    attempt_id: str | None = None  # that it belongs to
    retry_in_s: float | None = None
    session_id: str | None = None


_CLOSED: Final = f"""closed AS (
UPDATE webhook_inbox i SET
  result = o.result, session_id = o.session_id,
  attempts = CASE WHEN o.retry_in_s IS NULL THEN i.attempts ELSE 0 END,
  processed_at = CASE WHEN o.retry_in_s IS NULL THEN now() END,
  due_at = now() + COALESCE(o.retry_in_s, 0) * interval '1 second'
FROM json_to_recordset(:outcomes) AS o(
  inbox_id bigint, result text, attempt_id text, retry_in_s float8, session_id text)
WHERE i.inbox_id = o.inbox_id AND (o.attempt_id IS NULL OR {_IF_HELD.format("o.attempt_id")})
)"""


_PROVEN: Final = """proven AS (
DELETE FROM breakers WHERE scope = 'source' AND name = ANY (:proven) AND probing
)"""

# First the messages that moved, then the callbacks that were taken: joined, each would be compared with each.
_WRITTEN: Final = """
SELECT l.lost, m.id, m.lane, m.status, m.was, m.reason,
  (m.id IN (SELECT id FROM heard WHERE NOT is_taken AND NOT is_disabled)) IS TRUE AS is_due,
  NULL AS callback_id, NULL AS endpoint_id, NULL AS url, NULL::bytea AS secret,
  NULL::bytea AS old_secret, NULL AS event_id, NULL AS type,
  NULL::bigint AS sequence, now() AS occurred_at, NULL::jsonb AS facts, NULL AS message_id, NULL AS destination_masked,
  NULL::jsonb AS metadata, NULL AS test_type, NULL AS traceparent
FROM (SELECT ARRAY(SELECT attempt_id FROM json_to_recordset(:believed) AS b(attempt_id text)
  WHERE attempt_id NOT IN (SELECT attempt_id FROM held)) AS lost) l
LEFT JOIN moved m ON true
UNION ALL
SELECT NULL, h.id, h.lane, h.status, h.was, h.reason, false,
  h.callback_id, h.endpoint_id, h.url, h.secret, h.old_secret, h.event_id, h.type, n.base + h.place, now(), h.facts,
  h.message_id, h.destination_masked, h.metadata, h.test_type, h.traceparent
FROM heard h JOIN numbered n USING (provider_id) WHERE h.is_taken
"""

_WRITE: Final = moves.together(
    _HELD,
    _SETTLED,
    _LEGS,
    _CLOSED,
    _PROVEN,
    select=_WRITTEN,
    only="AND (x.message_id IN (SELECT id FROM held)) IS TRUE",
    hands_over=True,
    believed="json",
    settlements="json",
    legs="json",
    outcomes="json",
    proven="text[]",
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What some events come to."""

    versions: Mapping[str, str]  # of the attempts that they belong to, as read
    moves: Sequence[Move]
    settlements: Sequence[Settlement]
    outcomes: Sequence[Outcome]
    proven_sources: Sequence[str] = ()  # caller ids that 8x8 took after all


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch."""

    lost: frozenset[str]  # attempts that changed since they were read: nothing of their events is written
    moved: Sequence[moves.Moved]  # with the callbacks that are due
    handed: Sequence[ClaimedCallback]  # callbacks that the caller has to send, in the order of their events


def write(connection: Connection, batch: Batch, hand_over: HandOver = NOTHING) -> Written:
    """
    Store what events tell of their attempts, the summaries' call legs and what became of the events; move the messages.

    Where an attempt or its message has changed since :func:`shared.db.queries.inbox.match` read it, nothing is.
    """
    rows = _WRITE(
        connection,
        believed=_json([{"attempt_id": name, "version": version} for name, version in batch.versions.items()]),
        settlements=_json([_fields(settlement, leave_out="legs") for settlement in batch.settlements]),
        legs=_json([_leg(one, place, leg) for one in batch.settlements for place, leg in enumerate(one.legs)]),
        outcomes=_json([_fields(outcome) for outcome in batch.outcomes]),
        proven=sorted(set(batch.proven_sources)),
        moves=moves.as_json(batch.moves),
        room=hand_over.room,
        busy_endpoints=list(hand_over.busy_endpoints),
        lease_s=hand_over.lease_s,
    )
    told = [row for row in rows if row.lost is not None]
    moved = [moves.Moved(row.id, row.lane, Status(row.status), Status(row.was), row.is_due) for row in told if row.id]
    handed = [_handed(row) for row in rows if row.callback_id is not None]
    return Written(frozenset(told[0].lost), moved, sorted(handed, key=lambda one: one.sequence))


def _handed(row: Any) -> ClaimedCallback:
    values = {name: value for name, value in row._asdict().items() if name in ClaimedCallback.__slots__}
    return claimed(row, **values, attempts=1, failures_forgiven=0, is_failing=False)


def _fields(value: Settlement | Outcome, leave_out: str | None = None) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__slots__ if name != leave_out}


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return to_json(rows).decode()
