"""A provider's figures over a span of time: how its messages ended, and how soon phones rang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.lifecycle import FINALS, Lane, Mode, Status

#: Messages that are counted at most, the newest of the span: about a second of PostgreSQL.
MOST: Final = 100_000

#: Their end is nobody's lateness.
_NOT_MEANT: Final = f"('{Status.CANCELED}', '{Status.BLOCKED}')"
_FINALS: Final = ", ".join(f"'{status}'" for status in sorted(FINALS))
_COUNTS: Final = ", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in Status)
#: Of a message *c* and its calls *d*: whether it counts for the deadline hit rate, and as hit.
IS_DUE: Final = f"c.status IN ({_FINALS}) AND c.status NOT IN {_NOT_MEANT}"
IN_TIME: Final = f"""c.status <> '{Status.EXPIRED}' AND d.dialed_at <= c.deadline
      AND COALESCE(d.answered_at, d.dialed_at) <= c.deadline"""
PERCENTILES: Final = "percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY"
_STATS: Final = text(f"""
WITH counted AS MATERIALIZED (
  SELECT m.id, COALESCE(m.test_type, m.lane) AS type, m.country, m.status, m.deadline, m.created_at,
    GREATEST(m.created_at, m.scheduled_at) AS asked_at
  FROM messages m
  WHERE m.provider_id = :provider_id AND m.created_at >= :since AND m.created_at < :until
    AND (m.lane = '{Lane.TEST}') = (:mode = '{Mode.TEST}')
  ORDER BY m.created_at DESC, m.id DESC LIMIT :most + 1
), called AS (
  SELECT c.*, d.dialed_at, d.answered_at, o.verified,
    EXTRACT(EPOCH FROM d.dialed_at - c.asked_at)::float8 AS dial_s,
    EXTRACT(EPOCH FROM d.answered_at - c.asked_at)::float8 AS answer_s,
    {IS_DUE} AS is_due, {IN_TIME} AS is_in_time
  FROM (SELECT * FROM counted ORDER BY created_at DESC, id DESC LIMIT :most) c
  LEFT JOIN LATERAL (SELECT min(a.started_at) AS dialed_at, min(a.answered_at) AS answered_at
    FROM dial_attempts a WHERE a.message_id = c.id) d ON true
  LEFT JOIN outcomes o ON o.message_id = c.id
)
SELECT type, country, count(*) AS messages, {_COUNTS},
  count(*) FILTER (WHERE is_due) AS due, count(*) FILTER (WHERE is_due AND is_in_time) AS in_time,
  {PERCENTILES} dial_s) FILTER (WHERE dial_s IS NOT NULL) AS dial_s,
  {PERCENTILES} answer_s) FILTER (WHERE answer_s IS NOT NULL) AS answer_s,
  count(*) FILTER (WHERE verified) AS verified, count(*) FILTER (WHERE NOT verified) AS unverified,
  min(created_at) AS oldest, (SELECT count(*) FROM counted) > :most AS is_cut
FROM called GROUP BY GROUPING SETS ((), (type), (country)) ORDER BY type, country
""")


@dataclass(frozen=True, slots=True)
class Stats:
    """Rows of figures: of all messages, by type, by country; and since when they are counted, where not all were."""

    total: Any
    by_type: Sequence[Any]
    by_country: Sequence[Any]
    counted_since: datetime | None


def read(
    connection: Connection,
    provider_id: str,
    span: tuple[datetime, datetime],
    mode: Mode,
    *,
    most: int = MOST,
) -> Stats:
    """The figures of the messages of *mode* that came in from the one moment of *span* on and before the other."""
    asked = {"provider_id": provider_id, "since": span[0], "until": span[1], "mode": mode, "most": most}
    rows = connection.execute(_STATS, asked).all()
    total = next(row for row in rows if row.type is None and row.country is None)
    return Stats(
        total=total,
        by_type=[row for row in rows if row.type is not None],
        by_country=[row for row in rows if row.country is not None],
        counted_since=total.oldest if total.is_cut else None,
    )
