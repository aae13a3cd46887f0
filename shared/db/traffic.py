"""Where calls go and how they end there, by which caller id, and what 8x8 says of them: for people. Bounded reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from shared.voice_api.codes import Disposition

#: Pairs of provider and country that are told, those with the most calls.
_PAIRS: Final = 200
#: The newest attempts that are looked at.
ATTEMPTS: Final = 5000

_BY_COUNTRY: Final = text(f"""
WITH lately AS (
  SELECT provider_id, country, sum(rang)::bigint AS rang, sum(heard)::bigint AS heard,
    sum(reported)::bigint AS reported, sum(verified)::bigint AS verified
  FROM hourly_ends WHERE hour >= date_trunc('hour', now()) - :hours * interval '1 hour'
  GROUP BY 1, 2 ORDER BY 3 DESC LIMIT {_PAIRS}
)
SELECT n.provider_id, COALESCE(p.name, n.provider_id) AS provider, n.country, n.rang, n.heard, n.reported, n.verified,
  n.heard::float8 / NULLIF(n.rang, 0) AS heard_share, n.verified::float8 / NULLIF(n.reported, 0) AS used_share,
  u.heard::float8 / NULLIF(u.rang, 0) AS usual_heard_share, t.seconds AS talk_seconds
FROM lately n LEFT JOIN providers p USING (provider_id) CROSS JOIN LATERAL (
  SELECT sum(h.rang) AS rang, sum(h.heard) AS heard FROM hourly_ends h
  WHERE h.provider_id = n.provider_id AND h.country = n.country
    AND h.hour < date_trunc('hour', now()) - :hours * interval '1 hour' AND h.hour >= now() - interval '7 days') u
LEFT JOIN (
  SELECT m.provider_id, m.country, sum(a.duration_seconds)::bigint AS seconds FROM (
    SELECT message_id, duration_seconds FROM dial_attempts
    WHERE started_at >= date_trunc('hour', now()) - :hours * interval '1 hour'
    ORDER BY attempt_id DESC LIMIT {ATTEMPTS}) a
  JOIN messages m ON m.id = a.message_id GROUP BY 1, 2) t ON t.provider_id = n.provider_id AND t.country = n.country
ORDER BY n.rang DESC, provider, n.country
""")


def by_country(connection: Connection, hours: int) -> Sequence[RowMapping]:
    """
    Calls of the last *hours* by provider and country, the most first.

    ``talk_seconds`` is of the newest :data:`ATTEMPTS` calls alone, ``usual_heard_share`` of the seven days before.
    """
    return connection.execute(_BY_COUNTRY, {"hours": hours}).mappings().all()


_BY_SOURCE: Final = text(f"""
SELECT a.source, count(*) AS calls, count(a.answered_at) AS answered,
  count(a.answered_at)::float8 / NULLIF(count(*) FILTER (WHERE a.settled_at IS NOT NULL), 0) AS answered_share,
  count(*) FILTER (WHERE a.disposition NOT IN ('{Disposition.CREATED}', '{Disposition.UNKNOWN}')) AS refused,
  max(a.started_at) AS last_at
FROM (SELECT source, disposition, settled_at, answered_at, started_at FROM dial_attempts
  WHERE started_at > now() - interval '24 hours' ORDER BY attempt_id DESC LIMIT {ATTEMPTS}) a
GROUP BY a.source ORDER BY calls DESC
""")


def by_source(connection: Connection) -> Sequence[RowMapping]:
    """The newest :data:`ATTEMPTS` calls of the last day by caller id."""
    return connection.execute(_BY_SOURCE).mappings().all()


_ANSWERS: Final = text(f"""
SELECT a.disposition, a.reason, a.status_code, count(*) AS calls, max(a.started_at) AS last_at
FROM (SELECT disposition, reason, status_code, started_at FROM dial_attempts
  WHERE started_at > now() - interval '1 hour' ORDER BY attempt_id DESC LIMIT {ATTEMPTS}) a
WHERE a.disposition IS NOT NULL GROUP BY 1, 2, 3 ORDER BY calls DESC LIMIT 20
""")


def answers(connection: Connection) -> Sequence[RowMapping]:
    """What 8x8 answered to the newest :data:`ATTEMPTS` dials of the last hour, by its code."""
    return connection.execute(_ANSWERS).mappings().all()
