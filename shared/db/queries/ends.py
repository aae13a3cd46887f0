"""How calls end, counted by provider, country and hour; and where they end worse than they usually do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries.quarantines import CALLED, HEARD
from shared.lifecycle import FINALS, Lane

#: So many of the newest are counted in one round: of a flood, a part, which shows the same shares.
MOST: Final = 2000
_KEPT_DAYS: Final = 30
#: What was begun before somebody counts is committed by then, in seconds.
_SETTLED_S: Final = 10
#: Pairs of provider and country that are compared, those with the most calls.
_PAIRS: Final = 100
#: Fewer calls, or usual ones, say nothing.
_FEWEST: Final = 30
_FEWEST_USUAL: Final = 100
#: A share has fallen below this part of the usual one, by so many standard errors.
_FALLEN: Final = 0.7
_ERRORS: Final = 3

_BEGIN: Final = text("INSERT INTO tallies (name, place) VALUES ('ends', ''), ('outcomes', '') ON CONFLICT DO NOTHING")
_ADD: Final = """
INSERT INTO hourly_ends AS h (provider_id, country, hour, {columns})
SELECT provider_id, country, date_trunc('hour', at), {sums} FROM fresh WHERE {only} GROUP BY 1, 2, 3
ON CONFLICT (provider_id, country, hour) DO UPDATE SET {added}
"""
_ENDS: Final = text(
    f"""
WITH place AS (
  SELECT place FROM tallies WHERE name = 'ends' FOR UPDATE SKIP LOCKED
), fresh AS MATERIALIZED (
  SELECT e.event_id, m.provider_id, m.country, e.occurred_at AS at, {HEARD} AS heard,
    {CALLED} AND m.lane <> '{Lane.TEST}' AS called
  FROM (SELECT f.event_id, f.message_id, f.occurred_at FROM feed_events f
    WHERE f.event_id > (SELECT place FROM place) AND f.occurred_at < now() - interval '{_SETTLED_S} seconds'
      AND f.status = ANY (:finals)
    ORDER BY f.event_id DESC LIMIT {MOST}) e
  JOIN messages m ON m.id = e.message_id
), moved AS (
  UPDATE tallies SET place = (SELECT max(event_id) FROM fresh) WHERE name = 'ends' AND EXISTS (SELECT FROM fresh)
)
"""
    + _ADD.format(
        columns="rang, heard",
        sums="count(*), count(*) FILTER (WHERE heard)",
        only="called",
        added="rang = h.rang + excluded.rang, heard = h.heard + excluded.heard",
    )
)
_OUTCOMES: Final = text(
    f"""
WITH place AS (
  SELECT place FROM tallies WHERE name = 'outcomes' FOR UPDATE SKIP LOCKED
), fresh AS MATERIALIZED (
  SELECT o.provider_id, o.country, o.reported_at AS at, o.verified,
    NOT EXISTS (SELECT FROM messages m WHERE m.id = o.message_id AND m.lane = '{Lane.TEST}') AS is_live
  FROM outcomes o
  WHERE reported_at > (SELECT COALESCE(NULLIF(place, ''), '-infinity')::timestamptz FROM place)
    AND reported_at < now() - interval '{_SETTLED_S} seconds'
  ORDER BY reported_at DESC LIMIT {MOST}
), moved AS (
  UPDATE tallies SET place = (SELECT max(at)::text FROM fresh) WHERE name = 'outcomes' AND EXISTS (SELECT FROM fresh)
)
"""
    + _ADD.format(
        columns="reported, verified",
        sums="count(*), count(*) FILTER (WHERE verified)",
        only="is_live",
        added="reported = h.reported + excluded.reported, verified = h.verified + excluded.verified",
    )
)
_PURGE: Final = text(f"DELETE FROM hourly_ends WHERE hour < now() - interval '{_KEPT_DAYS} days'")


def tally(connection: Connection) -> int:
    """Count what ended and what was told since the last time; how many rows of the hour that changed."""
    connection.execute(_BEGIN)
    changed = connection.execute(_ENDS, {"finals": sorted(FINALS)}).rowcount
    changed += connection.execute(_OUTCOMES).rowcount
    connection.execute(_PURGE)
    return changed


@dataclass(frozen=True, slots=True)
class Fallen:
    """A share that is far below what it usually is."""

    provider: str
    country: str
    what: str  # "heard" of the calls, or "used" of the codes that were heard
    share: float
    usual: float
    calls: int

    def __str__(self) -> str:
        of = "calls" if self.what == "heard" else "codes"
        return (
            f"{self.provider}: of {self.calls} {of} to {self.country} {self.share:.0%} were {self.what}"
            f" lately, usually {self.usual:.0%}"
        )


# Two counts of one pair: of the present hour and the one before it, and of the seven days before those.
_COMPARE: Final = text(f"""
WITH lately AS (
  SELECT provider_id, country, sum(rang) AS rang, sum(heard) AS heard, sum(verified) AS verified FROM hourly_ends
  WHERE hour >= date_trunc('hour', now()) - interval '1 hour'
  GROUP BY 1, 2 HAVING sum(rang) >= {_FEWEST} ORDER BY 3 DESC LIMIT {_PAIRS}
), compared AS (
  SELECT COALESCE(p.name, n.provider_id) AS provider, n.country, n.rang, n.heard, n.verified,
    u.rang AS usual_rang, u.heard AS usual_heard, u.verified AS usual_verified
  FROM lately n LEFT JOIN providers p USING (provider_id) CROSS JOIN LATERAL (
    SELECT sum(rang) AS rang, sum(heard) AS heard, sum(verified) AS verified FROM hourly_ends h
    WHERE h.provider_id = n.provider_id AND h.country = n.country
      AND h.hour < date_trunc('hour', now()) - interval '1 hour' AND h.hour >= now() - interval '7 days') u
), shares AS (
  SELECT provider, country, 'heard' AS what, heard AS hits, rang AS calls, usual_heard AS usual_hits,
    usual_rang AS usual_calls FROM compared
  UNION ALL
  SELECT provider, country, 'used', verified, heard, usual_verified, usual_heard FROM compared
)
SELECT provider, country, what, (hits / calls)::float8 AS share, (usual_hits / usual_calls)::float8 AS usual,
  calls::int AS calls
FROM shares
WHERE calls >= {_FEWEST} AND usual_calls >= {_FEWEST_USUAL} AND usual_hits > 0
  AND hits / calls < {_FALLEN} * usual_hits / usual_calls
  AND usual_hits / usual_calls - hits / calls
    > {_ERRORS} * sqrt((usual_hits / usual_calls) * GREATEST(0, 1 - usual_hits / usual_calls) / calls)
ORDER BY provider, country, what
""")


def fallen(connection: Connection) -> list[Fallen]:
    """Where fewer calls are heard, or fewer codes used, than in the week before."""
    return [Fallen(**row._asdict()) for row in connection.execute(_COMPARE)]
