"""How soon phones ring lately: for people and charts. A bounded read."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db.queries.stats import IN_TIME, IS_DUE, PERCENTILES
from shared.lifecycle import Lane

#: Instead of a lane, for all of them together.
ALL: Final = "all"
#: The newest messages that are looked at, of the last so many minutes.
_MOST: Final = 2000
_MINUTES: Final = 10

_LATELY: Final = text(f"""
WITH newest AS MATERIALIZED (
  SELECT m.* FROM (SELECT id, lane, status, deadline, created_at, GREATEST(created_at, scheduled_at) AS asked_at
    FROM messages ORDER BY id DESC LIMIT {_MOST}) m
  WHERE m.created_at > now() - interval '{_MINUTES} minutes' AND m.lane <> '{Lane.TEST}'
), called AS (
  SELECT c.*, EXTRACT(EPOCH FROM d.dialed_at - c.asked_at)::float8 AS dial_s,
    EXTRACT(EPOCH FROM d.answered_at - c.asked_at)::float8 AS answer_s,
    {IS_DUE} AS is_due, {IN_TIME} AS is_in_time
  FROM newest c LEFT JOIN LATERAL (SELECT min(a.started_at) AS dialed_at, min(a.answered_at) AS answered_at
    FROM dial_attempts a WHERE a.message_id = c.id) d ON true
)
SELECT lane, count(*) AS messages, count(*) FILTER (WHERE is_due) AS due,
  count(*) FILTER (WHERE is_due AND is_in_time) AS in_time,
  {PERCENTILES} dial_s) FILTER (WHERE dial_s IS NOT NULL) AS dial_s,
  {PERCENTILES} answer_s) FILTER (WHERE answer_s IS NOT NULL) AS answer_s
FROM called GROUP BY GROUPING SETS ((), (lane)) ORDER BY lane NULLS FIRST
""")


def lately(connection: Connection) -> list[dict[str, Any]]:
    """
    The messages of the last ten minutes, the newest 2,000 of them: all together (lane :data:`ALL`), and by lane.

    ``hit_rate`` is the share of those that came to their end in which the phone was answered, or dialled where nobody
    answered, before the deadline; ``dial_p50_s`` to ``answer_p95_s`` are seconds from the request, or from the time
    that it asked for.
    """
    return [_figures(row) for row in connection.execute(_LATELY)]


def _figures(row: Any) -> dict[str, Any]:
    dial, answer = row.dial_s or (None, None), row.answer_s or (None, None)
    return {
        "lane": row.lane or ALL,
        "messages": row.messages,
        "hit_rate": row.in_time / row.due if row.due else None,
        "dial_p50_s": dial[0],
        "dial_p95_s": dial[1],
        "answer_p50_s": answer[0],
        "answer_p95_s": answer[1],
    }
