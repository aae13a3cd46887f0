"""The one guarded UPDATE through which every status changes, with its feed events and callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.db.prepared import Prepared
from shared.db.queries.callbacks import OLD_SECRET
from shared.ids import new_id
from shared.lifecycle import CORRECTED, FINALS, IN_FLIGHT, PROGRESS, REPORTED, TRANSITIONS, Move, Status


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that changed: where it stands now, and whether someone is to be told."""

    message_id: str
    lane: str
    status: Status
    was: Status
    callbacks: int


def _listed(values: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join(f"'{value}'" for value in sorted(values)) + "]"


_STEPS: Final = f"""
asked AS (
  SELECT * FROM json_to_recordset(:moves) AS x(
    message_id text, attempt_id text, sources text[], target text, reason text, session_id text,
    due_at timestamptz, due_in_s float8, event_id text, facts jsonb)
), locked AS (
  SELECT m.status AS was, x.*
  FROM asked x JOIN messages m ON m.id = x.message_id
  WHERE m.status = ANY (x.sources) AND (x.attempt_id IS NULL OR m.attempt_id = x.attempt_id) {{only}}
  ORDER BY m.id
  FOR NO KEY UPDATE OF m
), moved AS (
  UPDATE messages m SET
    status = x.target,
    reason = x.reason,
    session_id = COALESCE(x.session_id, m.session_id),
    due_at = CASE WHEN x.target = ANY ({_listed(FINALS)}) THEN NULL
                  ELSE COALESCE(x.due_at, now() + x.due_in_s * interval '1 second', m.due_at) END,
    finished_at = CASE WHEN x.target = ANY ({_listed(FINALS)}) THEN now() END,
    content = CASE WHEN x.target = ANY ({_listed(FINALS)}) THEN NULL ELSE m.content END,
    busy_destination = CASE WHEN x.target = ANY ({_listed(IN_FLIGHT)}) THEN m.busy_destination END,
    busy_until = CASE WHEN x.target = ANY ({_listed(IN_FLIGHT)}) THEN m.busy_until END,
    updated_at = now()
  FROM locked x
  WHERE m.id = x.message_id
  RETURNING m.id, m.provider_id, m.message_id, m.lane, m.test_type, m.status, m.reason, m.endpoint_id,
    m.destination_masked, m.metadata, m.traceparent, x.was, x.event_id,
    jsonb_build_object('attempts', m.attempt, 'sessionId', m.session_id) || x.facts AS facts
), told AS (
  SELECT *, CASE WHEN was = 'undetermined' THEN '{CORRECTED}' ELSE 'message.' || status END AS type,
         row_number() OVER (PARTITION BY provider_id ORDER BY event_id) AS place
  FROM moved m WHERE status = ANY ({_listed(REPORTED)}) OR status = ANY ({_listed(PROGRESS)})
    AND EXISTS (SELECT FROM endpoints e
      WHERE e.provider_id = m.provider_id AND e.deleted_at IS NULL AND 'message.' || m.status = ANY (e.event_types))
), numbering AS (
  SELECT provider_id FROM providers WHERE provider_id IN (SELECT provider_id FROM told)
  ORDER BY provider_id FOR NO KEY UPDATE
), numbered AS (
  UPDATE providers p SET last_sequence = p.last_sequence + c.told
  FROM (SELECT provider_id, count(*) AS told FROM told GROUP BY provider_id) c
  WHERE p.provider_id = c.provider_id AND p.provider_id IN (SELECT provider_id FROM numbering)
  RETURNING p.provider_id, p.last_sequence - c.told AS base
), events AS (
  INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, reason, facts)
  SELECT t.event_id, t.provider_id, n.base + t.place, t.id, t.type, t.status, t.reason, t.facts
  FROM told t JOIN numbered n USING (provider_id)
  RETURNING event_id
), heard AS (
  SELECT 'cb_' || substr(t.event_id, 5) || '_' || row_number() OVER (PARTITION BY t.event_id ORDER BY e.endpoint_id)
      AS callback_id, t.event_id, t.id, t.provider_id, t.lane, t.status, t.was, t.reason, t.place, t.message_id, t.type,
    t.facts, t.test_type, t.destination_masked, t.metadata, t.traceparent, e.endpoint_id, e.url, e.secret, {OLD_SECRET},
    e.disabled_at IS NOT NULL AS is_disabled, {{taken}} AS is_taken
  FROM told t JOIN endpoints e ON e.provider_id = t.provider_id AND e.deleted_at IS NULL
    AND t.type = ANY (e.event_types) AND (t.endpoint_id IS NULL OR e.endpoint_id = t.endpoint_id)
), written AS (
  INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, attempts, state, due_at, finished_at)
  SELECT callback_id, event_id, endpoint_id, id, is_taken::int,
    CASE WHEN is_disabled THEN 'parked' WHEN is_taken THEN 'sending' ELSE 'due' END,
    CASE WHEN is_disabled THEN NULL WHEN is_taken THEN {{lease_ends}} ELSE now() END,
    CASE WHEN is_disabled THEN now() END
  FROM heard
), opened AS (
  INSERT INTO delivery_attempts (callback_id, number) SELECT callback_id, 1 FROM heard WHERE is_taken
)"""

_MOVED: Final = """
SELECT m.id, m.lane, m.status, m.was, (SELECT count(*) FROM heard h WHERE h.id = m.id) AS callbacks
FROM moved m
"""

#: Of an endpoint *e* that hears of an event *t*: whoever writes the event sends the callback, too.
_FIT: Final = "e.disabled_at IS NULL AND e.failing_since IS NULL AND e.endpoint_id <> ALL (:busy_endpoints)"
_TAKEN: Final = f"""({_FIT}
      AND count(*) FILTER (WHERE {_FIT}) OVER (ORDER BY t.event_id, e.endpoint_id) <= :room)"""


def together(*others: str, select: str = _MOVED, only: str = "", hands_over: bool = False, **types: str) -> Prepared:
    """
    The guarded UPDATE with its feed events and callbacks, in one statement with what belongs to the same step.

    Args:
        others: Further common table expressions, each on other tables than ours.
        select: What comes back; by default what :func:`moved` takes.
        only: A further condition on a move *x* of a message *m*.
        hands_over: Callbacks of endpoints that are well are claimed at once for whoever writes, up to ``room``.
        types: Of their values.
    """
    taken, lease_ends = "false", "NULL"
    if hands_over:
        taken, lease_ends = _TAKEN, "now() + :lease_s * interval '1 second'"
        types |= {"busy_endpoints": "text[]", "room": "int", "lease_s": "float8"}
    steps = _STEPS.format(only=only, taken=taken, lease_ends=lease_ends)
    return Prepared("WITH " + ",\n".join((*others, steps)) + select, moves="json", **types)


_APPLY: Final = together()


def apply(connection: Connection, moves: Sequence[Move]) -> list[Moved]:
    """
    Move messages as ``lifecycle.TRANSITIONS`` allows, and tell the providers.

    Returns:
        Those that moved. A message that is missing was elsewhere by now: a duplicate webhook, another worker,
        a late summary.
    """
    if not moves:
        return []
    return moved(_APPLY(connection, moves=as_json(moves)))


def as_json(moves: Sequence[Move]) -> str:
    """What the statement takes as ``moves``."""
    return to_json([_record(move) for move in moves]).decode()


def moved(rows: Iterable[Any]) -> list[Moved]:
    """What the statement gives."""
    return [Moved(row.id, row.lane, Status(row.status), Status(row.was), row.callbacks) for row in rows]


def _record(move: Move) -> dict[str, Any]:
    step = TRANSITIONS[move.event]
    return {
        "message_id": move.message_id,
        "attempt_id": move.attempt_id,
        "sources": sorted(step.sources),
        "target": step.target,
        "reason": move.reason,
        "session_id": move.session_id,
        "due_at": move.due_at,
        "due_in_s": move.due_in_s,
        "event_id": new_id("evt"),
        "facts": move.facts,
    }
