"""Ranges of numbers that are not called for a provider for now, and how calls ended that tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared.lifecycle import Status

#: Of a message *m*: a phone was called, and it ended without a doubt.
CALLED: Final = f"""(m.attempt > 0 AND (m.status IN ('{Status.DELIVERED}', '{Status.NO_ANSWER}', '{Status.BUSY}')
    OR m.status = '{Status.CANCELED}' AND m.reason = 'call_canceled'
    OR m.status = '{Status.FAILED}' AND m.reason IN ('not_reached', 'not_heard')))"""
#: Of one that was: somebody heard it.
HEARD: Final = f"(m.status = '{Status.DELIVERED}')"
#: After so many seconds a code that was heard has been used, or is not.
_TOLD_AFTER_S: Final = 180
#: Of an operator's release nothing is quarantined again for so long.
_TRUSTED: Final = "interval '1 day'"

_EVIDENCE: Final = text(f"""
SELECT x.name, count(*) FILTER (WHERE {CALLED}) AS ended, count(*) FILTER (WHERE {HEARD}) AS heard,
  count(*) FILTER (WHERE {HEARD} AND a.heard = 'partial') AS short,
  count(*) FILTER (WHERE {HEARD} AND (o.verified IS NOT NULL
    OR m.finished_at < now() - interval '{_TOLD_AFTER_S} seconds')) AS told_of,
  count(*) FILTER (WHERE {HEARD} AND o.verified) AS verified
FROM json_to_recordset(:samples) AS x(name text, id text) JOIN messages m ON m.id = x.id
LEFT JOIN dial_attempts a ON a.attempt_id = m.attempt_id LEFT JOIN outcomes o ON o.message_id = m.id
GROUP BY x.name
""")
_USUAL: Final = text("""
SELECT sum(rang)::int AS ended, sum(heard)::int AS heard, 0 AS short,
  CASE WHEN sum(reported) > 0 THEN sum(heard)::int ELSE 0 END AS told_of, sum(verified)::int AS verified
FROM hourly_ends WHERE provider_id = :provider_id
  AND hour BETWEEN now() - interval '7 days' AND date_trunc('hour', now()) - interval '1 hour'
""")
_ADD: Final = text(f"""
INSERT INTO quarantines (quarantine_id, provider_id, prefix_key, prefix_masked, country, why, until)
SELECT :id, :provider_id, :key, :masked, :country, :why, now() + :for_s * interval '1 second'
WHERE NOT EXISTS (SELECT FROM quarantines q WHERE q.provider_id = :provider_id AND q.prefix_key = :key
  AND q.released_at > now() - {_TRUSTED})
ON CONFLICT (provider_id, prefix_key) WHERE released_at IS NULL DO UPDATE SET
  quarantine_id = excluded.quarantine_id, why = excluded.why, since = now(), until = excluded.until
WHERE quarantines.until <= now()
RETURNING quarantine_id
""")
_OPEN: Final = text("""
SELECT provider_id, prefix_key FROM quarantines WHERE released_at IS NULL AND until > now() LIMIT 10000
""")
_LIST: Final = text("""
SELECT q.quarantine_id, q.provider_id, p.name AS provider, q.prefix_masked, q.country, q.why, q.since, q.until,
  q.released_at
FROM quarantines q LEFT JOIN providers p USING (provider_id)
WHERE :every OR q.released_at IS NULL AND q.until > now() ORDER BY q.since, q.quarantine_id
""")
_RELEASE: Final = text("""
UPDATE quarantines SET released_at = now() WHERE quarantine_id = :id AND released_at IS NULL
RETURNING provider_id, prefix_masked, why
""")


def evidence(connection: Connection, samples: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """How the calls of samples (ids of messages by a name) ended: ``ended``, ``heard``, ``short``, and so on."""
    asked = to_json([{"name": name, "id": id_} for name, ids in samples.items() for id_ in ids]).decode()
    rows = connection.execute(_EVIDENCE, {"samples": asked}).mappings()
    return {row["name"]: {name: value for name, value in row.items() if name != "name"} for row in rows}


def usual(connection: Connection, provider_id: str) -> dict[str, int]:
    """The same of the provider's calls of the last seven days but for the last hour."""
    row = connection.execute(_USUAL, {"provider_id": provider_id}).mappings().one()
    return {name: value or 0 for name, value in row.items()}


def add(connection: Connection, id_: str, values: Mapping[str, Any], *, for_s: float) -> bool:
    """
    Call a range no more for *for_s* seconds.

    Args:
        connection: Of one statement or more.
        id_: Of the entry.
        values: ``provider_id``, ``key``, ``masked``, ``country`` and ``why``.
        for_s: Seconds.

    Returns:
        False where it is in quarantine already, or an operator released it within the last day.
    """
    return connection.execute(_ADD, {**values, "id": id_, "for_s": for_s}).first() is not None


def open_ranges(connection: Connection) -> frozenset[tuple[str, bytes]]:
    """What is in quarantine now: provider and keyed hash of the range."""
    return frozenset((row.provider_id, bytes(row.prefix_key)) for row in connection.execute(_OPEN))


def every(connection: Connection, *, past: bool) -> list[dict[str, Any]]:
    """Those in force, or all there ever were."""
    return [dict(row) for row in connection.execute(_LIST, {"every": past}).mappings()]


def release(connection: Connection, id_: str) -> Any | None:
    """Call the range again; None where there is no such quarantine in force."""
    return connection.execute(_RELEASE, {"id": id_}).first()
