"""
The conservation audit: every message is final and told, or open and looked after; anything else is a bug.

The schema's CHECKs prove half of it at every write. The audit proves the rest, and the CHECKs too,
by few scans; a million messages take a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.lifecycle import CORRECTED, FINALS, event_type

#: Offenders named per finding; the count is of all.
SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of row that should not be; *ids* are the first :data:`SHOWN` of *count*."""

    kind: str
    means: str
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Check:
    means: str
    sql: str  # yields column id; :grace is the grace time in seconds, :finals the types of final events


_FINAL_TYPES: Final = sorted(event_type(status) for status in FINALS)
_OVERDUE: Final = "now() - :grace * interval '1 second'"

CHECKS: Final[Mapping[str, _Check]] = {
    "message_overdue": _Check(
        "open, and nobody looked after it when it was due",
        # A queued message may wait for its turn or for a paused lane, but not beyond its deadline.
        f"""
        SELECT id FROM messages
        WHERE finished_at IS NULL AND CASE WHEN status = 'queued' THEN deadline ELSE due_at END < {_OVERDUE}
        """,
    ),
    "text_outlived": _Check(
        "its text is still there more than an hour after its deadline",
        f"""
        SELECT id FROM messages
        WHERE length(content) > 0 AND deadline < LEAST({_OVERDUE}, now() - interval '5 minutes') - interval '1 hour'
        """,
    ),
    "message_neither_open_nor_final": _Check(
        "its status, due time, finish and text contradict each other",
        """
        SELECT id FROM messages
        WHERE (finished_at IS NULL) = (status = ANY (:statuses))
          OR (finished_at IS NULL) <> (due_at IS NOT NULL) OR (finished_at IS NULL) <> (content IS NOT NULL)
        """,
    ),
    "final_event_missing_or_doubled": _Check(
        "final without exactly one final event, open with one, or told another status than it has",
        f"""
        SELECT m.id FROM messages m LEFT JOIN (
          SELECT message_id,
            count(*) FILTER (WHERE type <> '{CORRECTED}') AS finals,
            count(*) FILTER (WHERE type = '{CORRECTED}') AS corrections,
            COALESCE(max(status) FILTER (WHERE type = '{CORRECTED}'), max(status)) AS status
          FROM feed_events WHERE type = ANY (:finals) OR type = '{CORRECTED}' GROUP BY message_id
        ) told ON told.message_id = m.id
        WHERE COALESCE(told.finals, 0) <> CASE WHEN m.finished_at IS NULL THEN 0 ELSE 1 END
          OR told.corrections > 1 OR told.status <> m.status
        """,
    ),
    "feed_gap": _Check(
        "the provider's event feed has a gap, or does not go from what was purged to its counter",
        """
        SELECT COALESCE(p.provider_id, f.provider_id) AS id
        FROM (SELECT provider_id, count(*) AS events, min(sequence) AS first, max(sequence) AS last
              FROM feed_events GROUP BY provider_id) f
        FULL JOIN providers p USING (provider_id) LEFT JOIN (
          SELECT l.provider_id, sum(GREATEST(0, l.up_to - GREATEST(l.after, q.purged_sequence))) AS numbers
          FROM feed_leaps l JOIN providers q USING (provider_id) GROUP BY l.provider_id) l USING (provider_id)
        WHERE p.provider_id IS NULL OR f.first <= p.purged_sequence OR f.last > p.last_sequence
          OR COALESCE(f.events, 0) + COALESCE(l.numbers, 0) <> p.last_sequence - p.purged_sequence
        """,
    ),
    "purged_by_halves": _Check(
        "gone with its time over, and yet a part of it is there",
        """
        SELECT p.id FROM past_messages p
        WHERE p.buried_at IS NULL AND (EXISTS (SELECT FROM messages m WHERE m.id = p.id)
          OR EXISTS (SELECT FROM dial_attempts a WHERE a.message_id = p.id)
          OR EXISTS (SELECT FROM callbacks c WHERE c.message_id = p.id))
        """,
    ),
    "attempts_overlap": _Check(
        "dialled again, unasked, while an earlier call may still have been on its way",
        """
        SELECT a.message_id AS id FROM dial_attempts a JOIN messages m ON m.id = a.message_id
        WHERE a.settled_at IS NULL AND (a.disposition IS NULL OR a.disposition IN ('created', 'unknown'))
          AND NOT m.redial_unknown
        GROUP BY a.message_id HAVING count(*) > 1
        """,
    ),
    "callback_overdue": _Check(
        "due or being sent, and nobody looked after it when it was due",
        f"""
        SELECT callback_id AS id FROM callbacks
        WHERE state IN ('due', 'sending') AND (due_at IS NULL OR due_at < {_OVERDUE})
        """,
    ),
    "webhook_overdue": _Check(
        "a kept webhook that nobody reconciled when it was due",
        f"SELECT inbox_id::text AS id FROM webhook_inbox WHERE processed_at IS NULL AND due_at < {_OVERDUE}",
    ),
}


def findings(connection: Connection, grace_s: float) -> list[Finding]:
    """
    What is not accounted for; empty when all is well.

    Args:
        connection: With a generous statement timeout.
        grace_s: How long a row may be overdue, in seconds.
    """
    known = {"grace": grace_s, "finals": _FINAL_TYPES, "statuses": sorted(FINALS)}
    found = []
    for kind, check in CHECKS.items():
        statement = text(f"SELECT id, count(*) OVER () AS all_ids FROM ({check.sql}) x ORDER BY id LIMIT {SHOWN}")
        wanted = {name: value for name, value in known.items() if name in statement.compile().params}
        rows = connection.execute(statement, wanted).all()
        if rows:
            found.append(Finding(kind, check.means, rows[0].all_ids, tuple(row.id for row in rows)))
    return found


_TOTALS: Final = text("""
SELECT
  (SELECT jsonb_object_agg(status, rows)
   FROM (SELECT status, count(*) AS rows FROM messages GROUP BY 1) m) AS messages,
  (SELECT jsonb_object_agg(state, rows)
   FROM (SELECT state, count(*) AS rows FROM callbacks GROUP BY 1) c) AS callbacks
""")


def totals(connection: Connection) -> dict[str, Any]:
    """How many messages by status and callbacks by state were audited."""
    row = connection.execute(_TOTALS).one()
    return {"messages": row.messages or {}, "callbacks": row.callbacks or {}}
