"""What waits to be dialled and what limits the dialling, read for the ingress's estimates; tests wait for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.backlog import Backlog, Queue, Waiting
from shared.lifecycle import Lane
from shared.voice_api.pretence import PRETENDED_PREFIX

#: Deadlines are told apart more finely the nearer they are: each class is a quarter wider than the one before.
_COUNT: Final = """
SELECT m.lane, m.provider_id, count(*) AS count,
  EXTRACT(EPOCH FROM min(m.deadline))::float8 AS earliest, EXTRACT(EPOCH FROM max(m.deadline))::float8 AS latest
FROM messages m"""
_GROUPED: Final = """
GROUP BY m.lane, m.provider_id, width_bucket(m.deadline, (
  SELECT array_agg(now() + power(1.25, step) * interval '1 second' ORDER BY step)
  FROM generate_series(0, 51) AS step))"""

# Everything it reads stands in the queue's index.
_WAITING: Final = text(f"""{_COUNT}
WHERE m.status = 'queued' AND m.lane <> '{Lane.TEST}' AND m.due_at <= now() AND m.deadline > now() {_GROUPED}""")

#: So few are counted again without those whose phone is busy, as many may wait for one phone while others need not.
_FEW: Final = 2000
_DIALABLE: Final = text(f"""{_COUNT}
LEFT JOIN messages b ON b.busy_destination = m.destination_key
WHERE m.status = 'queued' AND m.lane <> '{Lane.TEST}' AND m.due_at <= now() AND m.deadline > now()
  AND (b.id IS NULL OR b.busy_until >= m.deadline) {_GROUPED}""")

# Those of test messages come last in the order of the ids, and are left out by beginning before them.
_LIMITS: Final = text(f"""
WITH newest AS MATERIALIZED (
  SELECT a.number, a.started_at, m.lane, m.created_at, m.scheduled_at
  FROM (SELECT message_id, number, started_at FROM dial_attempts
    WHERE attempt_id < '{PRETENDED_PREFIX}' ORDER BY attempt_id DESC LIMIT 20) a
  JOIN messages m ON m.id = a.message_id)
SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 AS at,
  LEAST(COALESCE(s.pace_set, :pace),
    CASE WHEN s.pace_cut_at > now() - interval '5 minutes' THEN s.pace_refused END)::float8 AS pace,
  LEAST(COALESCE(s.lines_set, :lines), s.lines)::float8 AS lines,
  COALESCE(s.dialed, 0) AS dialed,
  COALESCE(EXTRACT(EPOCH FROM s.held_until), 0)::float8 AS held_until,
  (SELECT json_agg(lane) FROM lanes WHERE paused_at IS NOT NULL) AS paused,
  EXISTS (SELECT FROM stops WHERE scope = 'global' AND name = '' AND ended_at IS NULL) AS is_stopped,
  (SELECT EXTRACT(EPOCH FROM probe_at)::float8 FROM breakers WHERE scope = 'subaccount' AND name = :subaccount_id)
    AS probe_at,
  (SELECT json_object_agg(name, EXTRACT(EPOCH FROM probe_at)) FROM breakers WHERE scope = 'source') AS sources,
  (SELECT json_object_agg(provider_id, calls) FROM (
    SELECT provider_id, count(*) AS calls FROM messages WHERE busy_until > now() GROUP BY provider_id) f) AS flying,
  (SELECT json_object_agg(lane, began_at) FROM (
    SELECT lane, EXTRACT(EPOCH FROM max(started_at)) AS began_at FROM newest GROUP BY lane) d) AS last_dials,
  (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM started_at - created_at)) FROM newest
   WHERE number = 1 AND scheduled_at IS NULL AND started_at > now() - interval '1 minute') AS quick_s
FROM (SELECT 1) AS one LEFT JOIN subaccounts s ON s.subaccount_id = :subaccount_id
""")


def read(connection: Connection, subaccount_id: str, *, pace: float, lines: float) -> Backlog:
    """
    The backlog now, by several statements: each sees its own moment, milliseconds apart.

    Args:
        connection: May commit each statement by itself.
        subaccount_id: Whose dialling.
        pace: Dials a second that the settings allow.
        lines: Calls in flight that they allow.
    """
    limits = connection.execute(_LIMITS, {"subaccount_id": subaccount_id, "pace": pace, "lines": lines}).one()
    rows = connection.execute(_WAITING).all()
    if 0 < sum(row[2] for row in rows) <= _FEW:
        rows = connection.execute(_DIALABLE).all()
    return Backlog(
        at=limits.at,
        pace=limits.pace,
        lines=limits.lines,
        waiting=_by_queue(rows),
        flying=limits.flying or {},
        dialed=limits.dialed,
        last_dials=limits.last_dials or {},
        held_until=limits.held_until,
        paused=frozenset(Lane) if limits.is_stopped else frozenset(limits.paused or ()),
        probe_at=limits.probe_at,
        source_probe_at=limits.sources or {},
        quick_s=limits.quick_s,
    )


def _by_queue(rows: Sequence[Any]) -> dict[Queue, tuple[Waiting, ...]]:
    queues: dict[Queue, list[Waiting]] = {}
    for lane, provider_id, count, earliest, latest in rows:
        queues.setdefault((lane, provider_id), []).append(Waiting(count, earliest, latest))
    return {queue: tuple(sorted(classes, key=lambda one: one.earliest)) for queue, classes in queues.items()}
