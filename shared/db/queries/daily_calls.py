"""
How many calls were made today, and what becomes of messages once a cap is met.

The claim counts, in its own statement: a row a provider and one, named ``*``, for all of them. Whoever claims holds
that row, so that no two count at once, for whichever subaccount they dial. A day is UTC's. What is counted is the
claim, which the POST follows: a worker that dies between the two has used up the call. What surely never left is given
back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping, text

from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import TYPES
from shared.pacing import Pace
from shared.reasons import Reason

#: The row that counts the calls of all providers.
ALL: Final = "*"
TODAY: Final = "(now() AT TIME ZONE 'UTC')::date"
MIDNIGHT: Final = f"(({TODAY} + 1)::timestamp AT TIME ZONE 'UTC')"
#: Of a row *d*: calls made today, and how many there may be; null for any number.
CALLS: Final = f"CASE WHEN d.day = {TODAY} THEN d.calls ELSE 0 END"
CAP: Final = f"""CASE WHEN d.name = '{ALL}' THEN CAST(:daily_calls AS bigint)
  WHEN NOT d.is_uncapped THEN COALESCE(d.cap, CAST(:provider_daily_calls AS bigint)) END"""
_IS_MET: Final = f"{CALLS} >= {CAP}"
#: Names of providers that may make no more calls today.
_MET: Final = f"""SELECT d.name FROM daily_calls d WHERE d.name <> '{ALL}' AND ({_IS_MET}
  OR EXISTS (SELECT FROM daily_calls d WHERE d.name = '{ALL}' AND {_IS_MET}))"""
#: True while a cap is met: a look at few rows.
ANY_MET: Final = f"EXISTS (SELECT FROM daily_calls d WHERE {_IS_MET})"


def caps_of(pace: Pace) -> dict[str, int | None]:
    """The settings, as the statements here ask for them."""
    return {"daily_calls": pace.daily_calls, "provider_daily_calls": pace.provider_daily_calls}


def open_counts(connection: Connection, names: Sequence[str]) -> None:
    """Make sure that each of these providers, and all together, have a row to count in."""
    connection.execute(
        text(f"INSERT INTO daily_calls (name, day) SELECT x, {TODAY} FROM unnest(:names) x ON CONFLICT DO NOTHING"),
        {"names": sorted({ALL, *names})},
    )


_LOCK: Final = text(f"SELECT 1 FROM daily_calls WHERE name = '{ALL}' FOR NO KEY UPDATE")
_RETURN: Final = text("""
UPDATE daily_calls d SET calls = GREATEST(0, d.calls - x.calls), turns = d.turns + 1
FROM json_to_recordset(:given) AS x(name text, calls int)
WHERE d.name = x.name AND d.day = (CAST(:claimed_at AS timestamptz) AT TIME ZONE 'UTC')::date
""")


def give_back(connection: Connection, calls: Iterable[tuple[str, datetime]]) -> None:
    """
    Uncount calls that were claimed and surely not made.

    Args:
        connection: The transaction that says so of them, and does so once.
        calls: Provider and moment of the claim of each.
    """
    connection.execute(_LOCK)  # as a claim does: two that lock in turn never wait for each other
    claimed: dict[datetime, Counter[str]] = defaultdict(Counter)
    for provider_id, claimed_at in calls:
        claimed[claimed_at].update((provider_id, ALL))
    for claimed_at, counts in sorted(claimed.items()):
        given = [{"name": name, "calls": many} for name, many in sorted(counts.items())]
        connection.execute(_RETURN, {"given": to_json(given).decode(), "claimed_at": claimed_at})


@dataclass(frozen=True, slots=True)
class TooMany:
    """A message that met an exhausted cap and cannot wait for the next day."""

    id: str
    has_doubt: bool  # a call that 8x8 may have taken is not settled


# By provider and lane, in the queue's index: what is due later, or of others, is not read.
_PUT_OFF: Final = text(f"""
WITH met AS MATERIALIZED ({_MET}), found AS MATERIALIZED (
  SELECT m.* FROM met x CROSS JOIN unnest(CAST(:lanes AS text[])) AS l(lane) CROSS JOIN LATERAL (
    SELECT m.id, m.deadline FROM messages m
    WHERE m.status = 'queued' AND m.lane = l.lane AND m.provider_id = x.name AND m.deadline > now()
      AND m.due_at <= now() LIMIT :page FOR NO KEY UPDATE SKIP LOCKED) m LIMIT :page
), later AS (
  UPDATE messages m SET due_at = {MIDNIGHT}, reason = '{Reason.DAILY_CAP}', updated_at = now()
  FROM found f WHERE m.id = f.id AND f.deadline > {MIDNIGHT}
)
SELECT f.id, f.deadline > {MIDNIGHT} AS can_wait,
  EXISTS (SELECT FROM dial_attempts s WHERE s.message_id = f.id AND s.settled_at IS NULL AND {MAYBE_ACCEPTED})
    AS has_doubt
FROM found f
""")


def put_off(connection: Connection, caps: Mapping[str, int | None], page: int) -> tuple[int, list[TooMany]]:
    """
    Let one page of what meets an exhausted cap wait for midnight, if its deadline allows.

    Returns:
        How many messages were found, and those of them, locked, that cannot wait.
    """
    rows = connection.execute(_PUT_OFF, {**caps, "lanes": list(TYPES), "page": page}).all()
    return len(rows), [TooMany(row.id, row.has_doubt) for row in rows if not row.can_wait]


_RELEASE: Final = text(f"""
UPDATE messages SET due_at = now(), reason = NULL, updated_at = now()
WHERE id IN (SELECT id FROM messages
  WHERE finished_at IS NULL AND status = 'queued' AND due_at > now() AND reason = '{Reason.DAILY_CAP}'
    AND provider_id = COALESCE(CAST(:provider_id AS text), provider_id)
  LIMIT :page FOR NO KEY UPDATE)
""")


def release(connection: Connection, page: int, provider_id: str | None = None) -> int:
    """Let one page of what waits for midnight be looked at again: the cap may be another one now."""
    return connection.execute(_RELEASE, {"provider_id": provider_id, "page": page}).rowcount


_SET_CAP: Final = text(f"""
INSERT INTO daily_calls (name, day, cap, is_uncapped) VALUES (:name, {TODAY}, :cap, :is_uncapped)
ON CONFLICT (name) DO UPDATE SET cap = excluded.cap, is_uncapped = excluded.is_uncapped
""")


def set_cap(connection: Connection, provider_id: str, cap: int | None, *, is_uncapped: bool = False) -> None:
    """A provider's calls a day; None: the setting's number."""
    connection.execute(_SET_CAP, {"name": provider_id, "cap": cap, "is_uncapped": is_uncapped})


_EXHAUSTED: Final = text(f"""
SELECT (SELECT array_agg(name) FROM ({_MET}) x) AS providers,
  COALESCE((SELECT {_IS_MET} FROM daily_calls d WHERE d.name = '{ALL}'), false) AS is_all,
  EXTRACT(EPOCH FROM {MIDNIGHT})::float8 AS midnight
""")


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Whose calls are used up until *midnight*, in seconds since 1970."""

    providers: frozenset[str] = frozenset()
    is_all: bool = False
    midnight: float = 0.0


def exhausted(connection: Connection, caps: Mapping[str, int | None]) -> Exhausted:
    """Which caps are met now."""
    row = connection.execute(_EXHAUSTED, caps).one()
    return Exhausted(frozenset(row.providers or ()), row.is_all, row.midnight)


_COUNTED: Final = text(f"""
SELECT x.name AS provider_id, x.calls, x.cap, x.is_own, x.calls / NULLIF(x.cap, 0)::float8 AS share,
  COALESCE(p.name, x.name) AS name
FROM (SELECT d.name, {CALLS} AS calls, {CAP} AS cap, d.cap IS NOT NULL OR d.is_uncapped AS is_own FROM daily_calls d) x
LEFT JOIN providers p ON p.provider_id = x.name
ORDER BY share DESC NULLS LAST, x.calls DESC LIMIT :limit
""")


def counted(connection: Connection, caps: Mapping[str, Any], limit: int) -> Sequence[RowMapping]:
    """Today's calls with their caps, the fullest first; ``*`` for all providers together."""
    return connection.execute(_COUNTED, {**caps, "limit": limit}).mappings().all()


_OWN: Final = text(f"SELECT {CALLS} AS calls, {CAP} AS cap FROM daily_calls d WHERE d.name = :provider_id")


def of_provider(connection: Connection, caps: Mapping[str, int | None], provider_id: str) -> tuple[int, int | None]:
    """Calls that a provider made today, and how many there may be; None: any number."""
    row = connection.execute(_OWN, {**caps, "provider_id": provider_id}).first()
    return (row.calls, row.cap) if row else (0, caps["provider_daily_calls"])
